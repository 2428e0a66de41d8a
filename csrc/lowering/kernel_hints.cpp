#include "lowering/kernel_hints.hpp"

namespace infercost {

SlowLoops& SlowLoops::operator+=(const SlowLoops& other) {
    for (std::size_t i = 0; i < kSlowLoopCount; ++i) elements[i] += other.elements[i];
    return *this;
}

// Hash the hints that most often differ between kernels of equal Work.
std::size_t KernelHints::hash() const {
    return (access.strided_bytes.hash() * 31 + copied_bytes.hash()) * 31 + kept_bytes.hash();
}

}  // namespace infercost
