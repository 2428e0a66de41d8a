// Collectives: the fastest way for each message (hardware/collectives.hpp), on machines of every kind. The
// start of the way is the kernel's launch, its bytes are the term of the link; an engine's copy in eager
// execution comes before.
#pragma once

#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

struct FastestWay {
    Vec start;
    Vec link;
    Vec copy;
    Vec way;  // its place among the ways
};

INFERCOST_INLINE FastestWay fastest_way(const ExchangeCosts& costs, Vec bytes) {
    FastestWay best{splat(0.0), splat(0.0), splat(0.0), splat(0.0)};
    if (costs.count == 0) return best;
    Vec least = splat(0.0);
    for (int w = 0; w < costs.count; ++w) {
        const ExchangeWay& way = costs.ways[w];
        const Vec start = splat(way.start_s);
        const Vec link = max(splat(way.least_s), bytes * splat(way.s_per_byte));
        const Vec total = start + link;
        if (w == 0) {  // of a library, for messages of any size
            least = total;
            best.start = start;
            best.link = link;
            continue;
        }
        const Mask better = both(total < least, splat(way.most_bytes) >= bytes);
        least = select(better, total, least);
        best.start = select(better, start, best.start);
        best.link = select(better, link, best.link);
        best.way = select(better, splat(static_cast<double>(w)), best.way);
    }
    best.copy = splat(costs.copy_s) + bytes * splat(costs.copy_s_per_byte);
    return best;
}

template <class Sink>
INFERCOST_INLINE void run_exchange(const BoundKernel& kernel, const BlockColumns& block, int points,
                                   const Sink& sink) {
    const ExchangeCosts& costs = kernel.exchange;
    const Quantity message = block[kernel.terms.message_bytes];
    for (int i = 0; i < points; i += Vec::lanes) {
        const FastestWay way = fastest_way(costs, message.at(i));
        Times times;
        times.compute = splat(0.0);
        times.dram = way.copy;
        times.cache = splat(0.0);
        times.link = way.link;
        times.launch = way.start;
        times.busy = way.link + way.copy;
        times.total = way.start + times.busy;
        sink.over_link(i, times);
    }
}

}  // namespace infercost::INFERCOST_ISA
