#pragma once

#include <gyre/io/address_text.hpp>

/// The addresses of the families whose parts have to be looked at: what the factories throw and the
/// reader of text reports comes from here, without the text.

namespace gyre::detail {

using made_address = std::expected<address, bad_address>;

made_address make_packet(const packet_parts& parts);
made_address make_tipc(const tipc_parts& parts);
made_address make_can(const can_parts& parts);
made_address make_alg(const alg_parts& parts);

} // namespace gyre::detail
