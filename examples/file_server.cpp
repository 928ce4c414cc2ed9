// Serves the files of a folder over HTTP/1.1, until SIGINT or SIGTERM. They go from the page cache
// to the socket by sendfile, and one that is not there yet holds nobody else (looking up its name
// may).
//
//     build/release/examples/file_server 127.0.0.1:8080 docs
//     curl http://127.0.0.1:8080/architecture.md      prints that file
//     curl --head http://127.0.0.1:8080/none          HTTP/1.1 404 Not Found
//
// GET and HEAD of regular files; no listings, no ranges. What is not below the folder (by .. or by
// a symbolic link that leads out of it) is not found.

#include <gyre/gyre.hpp>

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

constexpr std::size_t header_max = 16384;

class file {
public:
    explicit file(int fd) noexcept : fd_(fd) {}
    file(file&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    file& operator=(file&&) = delete;
    ~file() {
        if (fd_ >= 0)
            close(fd_);
    }
    int number() const noexcept { return fd_; }
    /// Of a regular file; else nothing.
    std::optional<std::int64_t> size() const noexcept {
        struct stat about{};
        if (fd_ < 0 || fstat(fd_, &about) != 0 || !S_ISREG(about.st_mode))
            return std::nullopt;
        return about.st_size;
    }

private:
    int fd_;
};

// %2e is a dot, too. A bad escape stays as it is, and so names no file.
std::string unescape(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        constexpr std::string_view digits = "0123456789abcdefABCDEF";
        if (text[i] == '%' && i + 2 < text.size() && digits.contains(text[i + 1]) &&
            digits.contains(text[i + 2])) {
            plain += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

file open_below(const std::filesystem::path& folder, std::string_view target) {
    const std::string name = unescape(target.substr(0, target.find('?')));
    std::error_code failed;
    const auto path = std::filesystem::canonical(folder / ("." + name), failed);
    const auto [end, rest] = std::ranges::mismatch(folder, path);
    if (failed || !name.starts_with('/') || name.contains('\0') || end != folder.end())
        return file(-1);
    // A pipe would wait here for somebody who writes.
    return file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
}

std::string head_of(std::string_view status, std::int64_t length, bool stays) {
    return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(length) +
           (stays ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
}

/// Answers one request; whether the connection goes on.
gyre::task<bool> answer(gyre::socket& s, std::string_view request,
                        const std::filesystem::path& folder) {
    const bool get = request.starts_with("GET ");
    const bool stays = request.find("\r\nConnection: close") == request.npos;
    if (!get && !request.starts_with("HEAD ")) {
        co_await s.sendall("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n"
                           "Content-Length: 0\r\nConnection: close\r\n\r\n");
        co_return false;
    }
    request.remove_prefix(get ? 4 : 5);
    const file f = open_below(folder, request.substr(0, request.find(' ')));
    const std::optional<std::int64_t> size = f.size();
    std::string head = size ? head_of("200 OK", *size, stays) : head_of("404 Not Found", 10, stays);
    if (!get || !size) {
        if (get)
            head += "not found\n";
        co_await s.sendall(head);
        co_return stays;
    }
    // In one packet with the first of the file.
    co_await s.sendall(head, *size > 0 ? MSG_MORE : 0);
    const std::size_t sent = co_await s.sendfile(f.number(), 0, size);
    co_return sent == static_cast<std::size_t>(*size) && stays; // else it was cut meanwhile
}

gyre::task<> converse(gyre::socket s, const std::filesystem::path& folder) try {
    s.settimeout(10min); // for each request to come, and for each answer to go
    std::string input;
    char buffer[4096];
    while (const std::size_t n = co_await s.recv(buffer)) {
        input.append(buffer, n);
        for (std::size_t end = 0; (end = input.find("\r\n\r\n")) != input.npos;) {
            if (!co_await answer(s, std::string_view(input).substr(0, end), folder))
                co_return;
            input.erase(0, end + 4);
        }
        if (input.size() > header_max)
            co_return;
    }
} catch (const gyre::error& e) {
    if (e.code() == gyre::errc::cancelled)
        throw;
    // The client is gone, or too slow: its own affair.
}

gyre::task<> serve(gyre::address at, const std::filesystem::path& folder) {
    gyre::listener l = co_await gyre::create_server(at);
    std::printf("http://%s/\n", l.getsockname().to_string().c_str());
    std::fflush(stdout);
    const auto handler = [&](gyre::socket peer) { return converse(std::move(peer), folder); };
    co_await gyre::serve(std::move(l), handler, {.end_input = true});
}

gyre::task<> serve_until_stopped(gyre::address at, const std::filesystem::path& folder) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), serve(at, folder));
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::fprintf(stderr, "usage: file_server ADDRESS FOLDER (such as 127.0.0.1:8080 docs)\n");
        return 2;
    }
    const std::filesystem::path folder = std::filesystem::canonical(argv[2]);
    gyre::run(serve_until_stopped(gyre::address::parse(argv[1]), folder));
} catch (const std::exception& e) {
    std::fprintf(stderr, "file_server: %s\n", e.what());
    return 1;
}
