#include "lowering/kernel_hints.hpp"

#include "lowering/memory_access.hpp"
#include "lowering/row_hints.hpp"
#include "lowering/slow_loops.hpp"
#include "lowering/winograd.hpp"

namespace infercost {

SlowLoops& SlowLoops::operator+=(const SlowLoops& other) {
    for (std::size_t i = 0; i < kSlowLoopCount; ++i) elements[i] += other.elements[i];
    return *this;
}

// What tells kernels of equal Work apart most often.
std::size_t KernelHints::hash() const {
    return access.strided_bytes.hash() * 31 + copied_bytes.hash();
}

KernelHints kernel_hints(const Call& call, const Work& work) {
    return {.access = memory_access(call, work),
            .winograd_tiles = winograd_tiles(call, work),
            .rows = row_hints(call, work),
            .slow_loops = slow_loops(call, work)};
}

KernelHints opaque_hints(const Call& call, const Work& work) {
    return {.access = memory_access(call, work)};
}

}  // namespace infercost
