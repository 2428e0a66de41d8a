#include "hardware/machine.hpp"

#include <algorithm>

namespace infercost {

void time_kernel(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                 const KernelTimes& times) {
    switch (hardware.kind) {
        case MachineKind::gpu:
            return time_on_gpu(hardware, execution, kernel, times);
        case MachineKind::cpu:
            return time_on_cpu(hardware, execution, kernel, times);
        case MachineKind::systolic:
            return time_on_systolic(hardware, execution, kernel, times);
    }
}

void time_memory(const Hardware& hardware, const KernelBlock& kernel, const KernelTimes& times) {
    const auto reached = [&](const char* key) {
        const auto found = hardware.achieved.find(key);
        return found == hardware.achieved.end() ? 1.0 : found->second;
    };
    const double dram = hardware.dram().bandwidth_byte_per_s * reached("dram");
    const MemoryLevel* last = hardware.last_cache();
    const double last_capacity = last ? last->capacity_bytes : 0.0;
    for (std::size_t i = 0; i < kernel.points; ++i) {
        const double weights = kernel.weight_bytes[i];
        const double others = kernel.other_bytes[i];
        // Activations were written a moment ago: a working set that fits the last cache is still in it.
        // Weights were last read one whole forward ago: they stay only if everything fits.
        const double cold_weights = kernel.footprint[i] > last_capacity ? weights : 0.0;
        const double cold_others = weights + others > last_capacity ? others : 0.0;
        times.dram[i] = (cold_weights + cold_others) / dram;
        times.cache[i] = 0.0;
    }
    if (!last) return;
    // The innermost level that holds the working set serves it; each pass through the last one is paid too.
    const double cache_fraction = reached("cache");
    for (std::size_t i = 0; i < kernel.points; ++i) {
        const double bytes = kernel.weight_bytes[i] + kernel.other_bytes[i];
        double bandwidth = last->bandwidth_byte_per_s;
        for (std::size_t level = 0; level + 1 < hardware.memory.size(); ++level) {
            if (bytes <= hardware.memory[level].capacity_bytes) {
                bandwidth = std::max(bandwidth, hardware.memory[level].bandwidth_byte_per_s);
                break;
            }
        }
        times.cache[i] = bytes / (bandwidth * cache_fraction);
    }
}

}  // namespace infercost
