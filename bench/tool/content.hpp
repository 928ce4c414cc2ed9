#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace tool {

/// What is sent, so that every byte that comes back can be checked: each message of each
/// connection is another window on the same random bytes. Making one costs nothing, and a
/// message that was mixed up with another connection's, or with an earlier one, is noticed.
class content {
public:
    explicit content(std::size_t message_size) : size_(message_size), bytes_(windows + size_) {
        std::mt19937_64 random(4711); // the same in every run
        for (std::size_t i = 0; i < bytes_.size(); i += sizeof(std::uint64_t)) {
            const std::uint64_t word = random();
            std::memcpy(&bytes_[i], &word, std::min(sizeof word, bytes_.size() - i));
        }
    }

    /// Stays where it is as long as this does.
    std::span<const std::byte> message(std::size_t connection,
                                       std::uint64_t number) const noexcept {
        // Odd factors: neighbours in either direction never share a window.
        const std::uint64_t window = connection * 40503 + number * 27061;
        return std::span(bytes_).subspan(window % windows, size_);
    }

private:
    static constexpr std::size_t windows = std::size_t{1} << 16;

    std::size_t size_;
    std::vector<std::byte> bytes_;
};

} // namespace tool
