// Collective operations between the ranks of a group: what is exchanged, by which kernel, and between which
// machines. Plain data that op rules write and machine models read. A new collective is a name here, its row in
// ops/collective.cpp and its times in hardware/collectives.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/indexed.hpp"

namespace infercost {

// Host time to issue a kernel of an engine, in the steps and forwards that no recorded graph runs. The host
// of an engine calls few functions for a kernel; that of torch's eager forward belongs to the machine.
inline constexpr std::int64_t kEngineLaunchNs = 6'600;
inline constexpr double kEngineLaunchS = 1e-9 * kEngineLaunchNs;

// dispatch and combine exchange the tokens of a mixture of experts: a token travels to the ranks of its
// experts, and their results travel back.
enum class Collective : std::uint8_t {
    all_reduce,
    all_gather,
    reduce_scatter,
    alltoall,
    broadcast,
    send,
    dispatch,
    combine,
    count_
};
inline constexpr std::size_t kCollectiveCount = static_cast<std::size_t>(Collective::count_);
inline constexpr EnumArray<Collective, std::string_view> kCollectives = {
    "all_reduce", "all_gather", "reduce_scatter", "alltoall", "broadcast", "send", "dispatch", "combine"};
Collective parse_collective(std::string_view name);
constexpr bool exchanges_tokens(Collective op) {
    return op == Collective::dispatch || op == Collective::combine;
}

// library: NCCL and its kin. engine: the all-reduce of a serving engine with a barrier before and after it
// (vLLM; SGLang before 0.5.14); for tokens of experts, the faster of the next two. push: the same with flags
// in the data instead of barriers (TensorRT-LLM, SGLang). low_latency and normal: the modes of DeepEP.
enum class ExchangeKernel : std::uint8_t { library, engine, push, low_latency, normal, count_ };
inline constexpr std::size_t kExchangeKernelCount = static_cast<std::size_t>(ExchangeKernel::count_);
inline constexpr EnumArray<ExchangeKernel, std::string_view> kExchangeKernels = {"library", "engine", "push",
                                                                                 "low_latency", "normal"};
ExchangeKernel parse_exchange_kernel(std::string_view name);

inline constexpr std::int64_t kBalanced = 1000;

// What does not depend on the size of a message.
struct ExchangeGroup {
    Collective op = Collective::all_reduce;
    ExchangeKernel kernel = ExchangeKernel::library;
    std::int64_t devices = 0;        // ranks of the group; 0: nothing is exchanged
    std::int64_t nodes = 1;          // machines that the group spans
    std::int64_t share = kBalanced;  // bytes of the busiest rank over the mean, in thousandths
    // Of tokens of experts:
    std::int64_t top_k = 1;        // experts of a token
    std::int64_t experts = 256;    // of all ranks together
    std::int64_t token_bytes = 0;  // of one token on the link
    std::int64_t cores = 20;       // that mode `normal` may use
    bool operator==(const ExchangeGroup&) const = default;
};

// Throws InputError for numbers of ranks, machines, experts or cores that cannot be.
void check(const ExchangeGroup& group);

}  // namespace infercost
