#include <gyre/io/kernel.hpp>
#include <gyre/resolver/inherited_sockets.hpp>

#include <charconv>
#include <climits>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <unistd.h>

namespace gyre {
namespace {

constexpr int first_descriptor = 3;

std::optional<std::string> take_variable(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr)
        return std::nullopt;
    std::string text = value;
    ::unsetenv(name);
    return text;
}

[[noreturn]] void refuse(std::string_view name, std::string_view value, const std::string& why) {
    throw error(std::make_error_code(std::errc::invalid_argument),
                std::string(name) + " is \"" + std::string(value) + "\" (expected " + why + ")");
}

int positive_number(std::string_view name, std::string_view text, int at_most) {
    int n = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (failed != std::errc() || end != text.data() + text.size() || n <= 0 || n > at_most)
        refuse(name, text, "a number from 1 to " + std::to_string(at_most));
    return n;
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts(1);
    for (const char c : text) {
        if (c == ':')
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

} // namespace

std::vector<inherited_socket> inherited_sockets() {
    const auto process = take_variable("LISTEN_PID");
    const auto number = take_variable("LISTEN_FDS");
    const auto names = take_variable("LISTEN_FDNAMES");
    if (!process || !number || positive_number("LISTEN_PID", *process, INT_MAX) != ::getpid())
        return {};
    const int n = positive_number("LISTEN_FDS", *number, INT_MAX - first_descriptor);
    std::vector<std::string> list;
    if (names) {
        list = split(*names);
        if (list.size() != static_cast<std::size_t>(n))
            refuse("LISTEN_FDNAMES", *names, "as many names as LISTEN_FDS says, " + *number);
    }
    std::vector<inherited_socket> all;
    for (int i = 0; i < n; ++i) {
        const int fd = first_descriptor + i;
        socket s = socket::adopt(fd);
        detail::check(detail::kernel().make_inheritable(fd, false), "close on exec");
        all.push_back({names ? list[static_cast<std::size_t>(i)] : "unknown", std::move(s)});
    }
    return all;
}

} // namespace gyre
