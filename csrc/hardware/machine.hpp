// Kernel x Hardware -> seconds, for a block of points at a time. A machine model knows no ops: it sees a
// kernel's kind, dimensions, FLOPs and bytes.
#pragma once

#include <cstddef>

#include "core/kinds.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// How many points are evaluated together: small enough to stay in the first cache.
inline constexpr std::size_t kBlock = 256;

// One kernel over a block of points; every pointer has `points` values.
struct KernelBlock {
    WorkKind kind;
    DType dtype;
    int operand_bits;  // width of a contraction's operands
    double window;     // elements of a convolution's kernel
    std::size_t points;
    const double* contraction_flops;
    const double* pointwise_flops;
    const double* weight_bytes;  // read, and the same in every call
    const double* other_bytes;   // activations, caches and indices, read and written
    const double* written_bytes;
    const double* batch;
    const double* m;
    const double* n;
    const double* k;
    const double* n_value;
    const double* footprint;  // bytes of weights and activations of the whole plan
};

// Seconds of each term; the kernel takes launch + max(compute, dram, cache).
struct KernelTimes {
    double* compute;
    double* dram;
    double* cache;
    double* launch;
};

// The model for a kind of machine: the only place that chooses by kind.
void time_kernel(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                 const KernelTimes& times);

void time_on_gpu(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                 const KernelTimes& times);
void time_on_cpu(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                 const KernelTimes& times);
void time_on_systolic(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                      const KernelTimes& times);

// What bytes cost at dram and at the innermost cache that holds them.
void time_memory(const Hardware& hardware, const KernelBlock& kernel, const KernelTimes& times);

inline double ceil_div(double a, double b) {
    return __builtin_ceil(a / b);
}

}  // namespace infercost
