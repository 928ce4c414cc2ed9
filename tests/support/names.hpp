#pragma once

#include <string>
#include <vector>

/// Names for tests, in programs that are linked with names.cpp: getaddrinfo(3) knows them there,
/// beside all that it knows anyway, and asks no server for them.

namespace gyre_test {

/// From now on `name` has these numeric addresses, in this order.
void let_name_be(const std::string& name, std::vector<std::string> addresses);
/// Looking it up fails with this EAI_*.
void let_name_fail(const std::string& name, int eai);

/// A name that nothing else looks up. A held one should be such: who joined a look-up of it that
/// had begun before gets that one's answer.
std::string fresh_name();

/// While this lives, looking up `name` does not return. Then it has the address 127.0.0.1.
class held_name {
public:
    explicit held_name(std::string name);
    held_name(const held_name&) = delete;
    ~held_name();

    /// Returns once so many look-ups of it are under way (or after 10 s).
    void await_lookups(int n) const;

private:
    std::string name_;
};

} // namespace gyre_test
