#include <gyre/io/address_families.hpp>
#include <gyre/io/socket_names.hpp>

#include <linux/tipc.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <limits>
#include <vector>

namespace gyre {

using namespace detail;

namespace {

using result = made_address;

// ---- From text ---------------------------------------------------------------------------------

// Made from text, and so the text stands before what is wrong.
result named(std::string_view text, result made) {
    if (!made)
        return bad(text, made.error().message, made.error().code);
    return made;
}

// One more than the longest form has: enough to see that there are too many.
std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> fields;
    while (fields.size() < 5) {
        const std::size_t end = text.find(separator);
        fields.push_back(text.substr(0, end));
        if (end == text.npos)
            return fields;
        text.remove_prefix(end + 1);
    }
    fields.push_back(text);
    return fields;
}

std::unexpected<bad_address> expected_form(std::string_view text, std::string_view form) {
    return bad(text, "this should read " + std::string(form));
}

// Reads the fields of an address, and remembers the first that is wrong.
class field_reader {
public:
    explicit field_reader(std::string_view text) : text_(text) {}

    template <class T>
    T number(std::string_view what, std::string_view field,
             T largest = std::numeric_limits<T>::max()) {
        return static_cast<T>(unsigned_number(what, field, largest));
    }

    std::uint32_t interface(std::string_view field) {
        if (field.empty() || field[0] == '0' || is_decimal(field))
            return number<std::uint32_t>("interface", field, INT_MAX);
        const auto found = read_interface(text_, "the interface", field);
        if (found)
            return *found;
        fail(found.error());
        return 0;
    }

    std::vector<std::byte> hardware_address(std::string_view field) {
        std::vector<std::byte> bytes;
        for (std::size_t i = 0; i < field.size(); i += 3) {
            const int high = hex_value(field[i]);
            const int low = i + 1 < field.size() ? hex_value(field[i + 1]) : -1;
            const bool ends = i + 2 == field.size();
            if (high < 0 || low < 0 || (!ends && (field[i + 2] != ':' || i + 3 == field.size()))) {
                fail(bad(text_, "the hardware address is not written as in 02:fc:00:00:00:01")
                         .error());
                return {};
            }
            bytes.push_back(static_cast<std::byte>(high * 16 + low));
        }
        return bytes;
    }

    std::string bytes(std::string_view field) {
        auto plain = unescape(field);
        if (!plain)
            fail(bad(text_, how_to_escape).error());
        return std::move(plain).value_or("");
    }

    // The address that `make()` makes, when all the fields were right.
    template <class Make>
    result then(Make make) {
        if (failure_)
            return std::unexpected(*std::move(failure_));
        return named(text_, make());
    }

private:
    void fail(const bad_address& why) {
        if (!failure_)
            failure_ = why;
    }

    std::uint64_t unsigned_number(std::string_view what, std::string_view field,
                                  std::uint64_t largest) {
        const std::string subject = std::string(what) + ' ' + escape(field.substr(0, 32));
        const bool hexadecimal = field.starts_with("0x");
        const std::string_view digits = hexadecimal ? field.substr(2) : field;
        if (digits.empty() || (!hexadecimal && digits[0] == '0' && digits.size() > 1) ||
            std::ranges::any_of(digits, [&](char c) {
                return hexadecimal ? hex_value(c) < 0 : c < '0' || c > '9';
            })) {
            fail(bad(text_, subject + " is not a number, decimal without leading zeros or "
                                      "hexadecimal behind 0x")
                     .error());
            return 0;
        }
        std::uint64_t value = 0;
        const auto error = std::from_chars(digits.data(), digits.data() + digits.size(), value,
                                           hexadecimal ? 16 : 10)
                               .ec;
        if (error != std::errc{} || value > largest) {
            fail(bad(text_, subject + " is not in 0.." + std::to_string(largest)).error());
            return 0;
        }
        return value;
    }

    std::string_view text_;
    std::optional<bad_address> failure_;
};

using u32 = std::uint32_t;

result read_netlink(std::string_view text, std::string_view rest) {
    const auto fields = split(rest, '/');
    if (fields.size() != 2)
        return expected_form(text, "netlink:PID/GROUPS");
    field_reader read(text);
    const u32 pid = read.number<u32>("pid", fields[0]);
    const u32 groups = read.number<u32>("groups", fields[1]);
    return read.then([&] { return address::netlink(pid, groups); });
}

result read_packet(std::string_view text, std::string_view rest) {
    const auto fields = split(rest, '/');
    if (fields.size() != 2 && fields.size() != 3 && fields.size() != 5)
        return expected_form(
            text, "packet:INTERFACE/PROTOCOL[/HARDWARE_ADDRESS[/PACKET_TYPE/HARDWARE_TYPE]]");
    field_reader read(text);
    packet_parts parts;
    std::vector<std::byte> hardware_address;
    parts.interface = read.interface(fields[0]);
    parts.protocol = read.number<std::uint16_t>("protocol", fields[1]);
    if (fields.size() > 2)
        hardware_address = read.hardware_address(fields[2]);
    parts.hardware_address = hardware_address;
    if (fields.size() > 3) {
        parts.packet_type = read.number<std::uint8_t>("packet type", fields[3]);
        parts.hardware_type = read.number<std::uint16_t>("hardware type", fields[4]);
    }
    return read.then([&] { return make_packet(parts); });
}

result read_vsock(std::string_view text, std::string_view rest) {
    const auto fields = split(rest, ':');
    if (fields.size() != 2)
        return expected_form(text, "vsock:CID:PORT");
    field_reader read(text);
    const u32 cid = read.number<u32>("cid", fields[0]);
    const u32 port = read.number<u32>("port", fields[1]);
    return read.then([&] { return address::vsock(cid, port); });
}

result read_tipc(std::string_view text, std::string_view rest, tipc_kind kind,
                 std::string_view form) {
    field_reader read(text);
    tipc_parts parts{.kind = kind, .scope = TIPC_CLUSTER_SCOPE};
    if (const std::size_t at = rest.find('@'); at != rest.npos) {
        std::string_view scope = rest.substr(at + 1);
        const int sign = scope.starts_with('-') ? -1 : 1;
        if (sign < 0)
            scope.remove_prefix(1);
        parts.scope = sign * read.number<std::uint8_t>("scope", scope);
        rest = rest.substr(0, at);
    }
    const auto fields = split(rest, '/');
    const std::size_t least = kind == tipc_kind::nameseq ? 3 : 2;
    const std::size_t most = kind == tipc_kind::id ? 2 : 3;
    if (fields.size() < least || fields.size() > most)
        return expected_form(text, form);
    const bool is_id = kind == tipc_kind::id;
    const bool is_name = kind == tipc_kind::name;
    parts.v1 = read.number<u32>(is_id ? "node" : "type", fields[0]);
    parts.v2 = read.number<u32>(is_id ? "reference" : is_name ? "instance" : "lower", fields[1]);
    if (fields.size() > 2)
        parts.v3 = read.number<u32>(is_name ? "domain" : "upper", fields[2]);
    return read.then([&] { return make_tipc(parts); });
}

result read_tipc_nameseq(std::string_view text, std::string_view rest) {
    return read_tipc(text, rest, tipc_kind::nameseq, "tipc:nameseq:TYPE/LOWER/UPPER[@SCOPE]");
}

result read_tipc_name(std::string_view text, std::string_view rest) {
    return read_tipc(text, rest, tipc_kind::name, "tipc:name:TYPE/INSTANCE[/DOMAIN][@SCOPE]");
}

result read_tipc_id(std::string_view text, std::string_view rest) {
    return read_tipc(text, rest, tipc_kind::id, "tipc:id:NODE/REF[@SCOPE]");
}

result read_unknown_tipc(std::string_view text, std::string_view) {
    return expected_form(text, "tipc:nameseq:..., tipc:name:... or tipc:id:...");
}

result read_can(std::string_view text, std::string_view rest) {
    field_reader read(text);
    const can_parts parts{.kind = can_kind::raw, .interface = read.interface(rest)};
    return read.then([&] { return make_can(parts); });
}

result read_can_isotp(std::string_view text, std::string_view rest) {
    const auto fields = split(rest, '/');
    if (fields.size() != 3)
        return expected_form(text, "can-isotp:INTERFACE/RX_ID/TX_ID");
    field_reader read(text);
    const can_parts parts{.kind = can_kind::isotp,
                          .interface = read.interface(fields[0]),
                          .rx_id = read.number<u32>("rx_id", fields[1]),
                          .tx_id = read.number<u32>("tx_id", fields[2])};
    return read.then([&] { return make_can(parts); });
}

result read_can_j1939(std::string_view text, std::string_view rest) {
    const auto fields = split(rest, '/');
    if (fields.size() != 4)
        return expected_form(text, "can-j1939:INTERFACE/NAME/PGN/ADDR");
    field_reader read(text);
    const can_parts parts{.kind = can_kind::j1939,
                          .interface = read.interface(fields[0]),
                          .name = read.number<std::uint64_t>("name", fields[1]),
                          .pgn = read.number<u32>("PGN", fields[2]),
                          .addr = read.number<std::uint8_t>("addr", fields[3])};
    return read.then([&] { return make_can(parts); });
}

result read_alg(std::string_view text, std::string_view rest) {
    const auto fields = split(rest, '/');
    if (fields.size() != 2 && fields.size() != 4)
        return expected_form(text, "alg:TYPE/NAME[/FEAT/MASK]; a slash in a name is \\x2f");
    field_reader read(text);
    const std::string type = read.bytes(fields[0]);
    const std::string name = read.bytes(fields[1]);
    alg_parts parts{.type = type, .name = name};
    if (fields.size() > 2) {
        parts.feat = read.number<u32>("feat", fields[2]);
        parts.mask = read.number<u32>("mask", fields[3]);
    }
    return read.then([&] { return make_alg(parts); });
}

struct form {
    std::string_view prefix;
    result (*read)(std::string_view text, std::string_view rest);
};

constexpr form forms[] = {
    {"netlink:", read_netlink},
    {"packet:", read_packet},
    {"vsock:", read_vsock},
    {"tipc:nameseq:", read_tipc_nameseq},
    {"tipc:name:", read_tipc_name},
    {"tipc:id:", read_tipc_id},
    {"tipc:", read_unknown_tipc},
    {"can:", read_can},
    {"can-isotp:", read_can_isotp},
    {"can-j1939:", read_can_j1939},
    {"alg:", read_alg},
};

// ---- To text -----------------------------------------------------------------------------------

std::string to_text(const netlink_parts& parts) {
    return "netlink:" + std::to_string(parts.pid) + '/' + hex(parts.groups);
}

std::string to_text(const packet_parts& parts) {
    std::string text = "packet:" + std::to_string(parts.interface) + '/' + hex(parts.protocol);
    const bool has_types = parts.packet_type != 0 || parts.hardware_type != 0;
    if (!parts.hardware_address.empty() || has_types)
        text += '/';
    constexpr std::string_view digits = "0123456789abcdef";
    std::string_view colon;
    for (const std::byte byte : parts.hardware_address) {
        const auto value = std::to_integer<unsigned>(byte);
        text += colon;
        text += {digits[value >> 4], digits[value & 15]};
        colon = ":";
    }
    if (has_types)
        text += '/' + std::to_string(parts.packet_type) + '/' + std::to_string(parts.hardware_type);
    return text;
}

std::string to_text(const vsock_parts& parts) {
    return "vsock:" + std::to_string(parts.cid) + ':' + std::to_string(parts.port);
}

std::string to_text(const tipc_parts& parts) {
    std::string text = parts.kind == tipc_kind::nameseq ? "tipc:nameseq:"
                       : parts.kind == tipc_kind::name  ? "tipc:name:"
                                                        : "tipc:id:";
    text += std::to_string(parts.v1) + '/' + std::to_string(parts.v2);
    if (parts.kind == tipc_kind::nameseq || parts.v3 != 0)
        text += '/' + std::to_string(parts.v3);
    if (parts.scope != TIPC_CLUSTER_SCOPE)
        text += '@' + std::to_string(parts.scope);
    return text;
}

std::string to_text(const can_parts& parts) {
    const std::string interface = std::to_string(parts.interface);
    if (parts.kind == can_kind::raw)
        return "can:" + interface;
    if (parts.kind == can_kind::isotp)
        return "can-isotp:" + interface + '/' + hex(parts.rx_id) + '/' + hex(parts.tx_id);
    return "can-j1939:" + interface + '/' + hex(parts.name) + '/' + hex(parts.pgn) + '/' +
           hex(parts.addr);
}

std::string to_text(const alg_parts& parts) {
    std::string text = "alg:" + escape(parts.type, "\\/") + '/' + escape(parts.name, "\\/");
    if (parts.feat != 0 || parts.mask != 0)
        text += '/' + hex(parts.feat) + '/' + hex(parts.mask);
    return text;
}

} // namespace

std::optional<result> detail::read_other_family(std::string_view text) {
    for (const form& f : forms) {
        if (text.starts_with(f.prefix))
            return f.read(text, text.substr(f.prefix.size()));
    }
    return std::nullopt;
}

std::string address::other_family_to_string() const {
    if (is_netlink())
        return to_text(as_netlink());
    if (is_packet())
        return to_text(as_packet());
    if (is_vsock())
        return to_text(as_vsock());
    if (is_tipc())
        return to_text(as_tipc());
    if (is_can())
        return to_text(as_can());
    if (is_alg())
        return to_text(as_alg());
    const std::string family_text = family_name(family());
    return (family_text.starts_with("AF_") ? "(" : "(family ") + family_text + ", " +
           std::to_string(size_) + " bytes)";
}

} // namespace gyre
