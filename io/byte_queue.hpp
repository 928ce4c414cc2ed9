#pragma once

#include <gyre/core/frame_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace gyre::detail {

/// Bytes that come in at the back and go out at the front. They stay where they are until more
/// room is asked for, so a view of what was taken is good until then.
class byte_queue {
public:
    byte_queue() noexcept = default;
    byte_queue(const byte_queue&) = delete;
    byte_queue& operator=(const byte_queue&) = delete;
    ~byte_queue() { give_back(); }

    std::size_t size() const noexcept { return end_ - begin_; }
    const char* data() const noexcept { return data_ + begin_; }
    std::string_view view() const noexcept { return {data_ + begin_, size()}; }

    void take(std::size_t n) noexcept { begin_ += n; }

    /// Free memory behind the bytes, at least `n`; add() says how much of it was filled.
    std::span<char> room(std::size_t n) {
        if (begin_ == end_) {
            begin_ = end_ = 0;
            if (capacity_ > kept)
                give_back();
        }
        if (capacity_ - end_ < n)
            make_room(n);
        return {data_ + end_, capacity_ - end_};
    }
    void add(std::size_t n) noexcept { end_ += n; }

    void append(const void* bytes, std::size_t n) {
        if (n == 0)
            return;
        std::memcpy(room(n).data(), bytes, n);
        add(n);
    }

private:
    static constexpr std::size_t least = 8192;                  // the largest that the pool keeps
    static constexpr std::size_t kept = std::size_t{256} << 10; ///< when it is empty

    void give_back() noexcept {
        if (data_ != nullptr)
            frame_pool::deallocate(data_, capacity_);
        data_ = nullptr;
        capacity_ = 0;
    }

    void make_room(std::size_t n) {
        const std::size_t bytes = size();
        if (bytes + n <= capacity_ && bytes <= capacity_ / 2) {
            std::memmove(data_, data_ + begin_, bytes);
        } else {
            const std::size_t larger = std::max({least, 2 * capacity_, bytes + n});
            auto* fresh = static_cast<char*>(frame_pool::allocate(larger));
            if (data_ != nullptr) {
                std::memcpy(fresh, data_ + begin_, bytes);
                frame_pool::deallocate(data_, capacity_);
            }
            data_ = fresh;
            capacity_ = larger;
        }
        begin_ = 0;
        end_ = bytes;
    }

    char* data_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace gyre::detail
