#include <gyre/resolver/interleave.hpp>

#include <algorithm>

namespace gyre::detail {

std::vector<address> interleave(std::vector<address> found, unsigned first) {
    if (first == 0 || found.empty())
        return found;
    const auto leads = [family = found.front().family()](const address& a) {
        return a.family() == family;
    };
    const auto others = std::stable_partition(found.begin(), found.end(), leads);
    auto a = found.begin();
    auto b = others;
    std::vector<address> order;
    order.reserve(found.size());
    while (--first > 0 && a != others)
        order.push_back(*a++);
    while (a != others || b != found.end()) {
        if (a != others)
            order.push_back(*a++);
        if (b != found.end())
            order.push_back(*b++);
    }
    return order;
}

} // namespace gyre::detail
