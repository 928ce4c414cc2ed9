#include <gyre/resolver/interleave.hpp>

namespace gyre::detail {

std::vector<address> interleave(std::vector<address> found, unsigned first) {
    if (first == 0 || found.empty())
        return found;
    std::vector<address> leading;
    std::vector<address> others;
    for (const address& a : found)
        (a.family() == found.front().family() ? leading : others).push_back(a);
    auto a = leading.begin();
    auto b = others.begin();
    std::vector<address> order;
    order.reserve(found.size());
    while (--first > 0 && a != leading.end())
        order.push_back(*a++);
    while (a != leading.end() || b != others.end()) {
        if (a != leading.end())
            order.push_back(*a++);
        if (b != others.end())
            order.push_back(*b++);
    }
    return order;
}

} // namespace gyre::detail
