// The words that op tables, plans and machine models share: what kind of work a kernel is, and how a graph is
// run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/indexed.hpp"

namespace infercost {

enum class WorkKind : std::uint8_t {
    free,  // metadata only: no kernel runs
    gemm,
    convolution,
    attention,
    pointwise,
    reduction,
    softmax,
    normalization,
    pooling,
    gather,
    scatter,
    copy,
    fill,
    sort,
    scan,
    library,     // an algorithm of a vendor library: Fourier transforms, factorisations
    collective,  // an exchange between the ranks of a group (core/exchange.hpp)
    unknown,
    count_
};
inline constexpr std::size_t kWorkKindCount = static_cast<std::size_t>(WorkKind::count_);
std::string_view name_of(WorkKind kind);
WorkKind parse_work_kind(std::string_view name);

inline bool is_contraction(WorkKind kind) {
    return kind == WorkKind::gemm || kind == WorkKind::convolution || kind == WorkKind::attention;
}

// Loops over elements that cost more than the arithmetic in them. `special`: exp and kin, in vectors of
// torch's own; `library`: in eager execution by a vendor's; `row`: rows that are passed over several times;
// `window`: an element of a pooling window; `scattered`: of a row whose elements do not lie side by side,
// which a compiler goes along one by one.
enum class SlowLoop : std::uint8_t { special, library, row, softmax, window, scattered, score, half, count_ };
inline constexpr std::size_t kSlowLoopCount = static_cast<std::size_t>(SlowLoop::count_);
inline constexpr std::int64_t kSlowLoopUnit = 100;  // quantities of loops are in hundredths
std::string_view name_of(SlowLoop loop);

// How a kernel deals rows to threads. by_kind: as the library's kernel for this kind of work. block_per_row:
// a kernel of a serving engine, one block of threads per row (a token). thread_per_row: one thread goes along
// a whole row.
enum class RowSchedule : std::uint8_t { by_kind, block_per_row, thread_per_row };

// eager: one kernel per op, issued by the host. compiled: ops are fused. cuda_graph: the kernels of eager,
// launched from a recorded graph. reduce_overhead: the kernels of compiled, launched from a recorded graph,
// as by this mode of torch.compile.
enum class Execution : std::uint8_t { eager, compiled, cuda_graph, reduce_overhead };
// Whether a compiler fuses ops and generates kernels.
constexpr bool is_fused(Execution execution) {
    return execution == Execution::compiled || execution == Execution::reduce_overhead;
}
// Whether kernels are launched from a recorded graph.
constexpr bool is_replayed(Execution execution) {
    return execution == Execution::cuda_graph || execution == Execution::reduce_overhead;
}
std::string_view name_of(Execution execution);
Execution parse_execution(std::string_view name);
std::vector<std::string> execution_names();

// The term of a kernel's time that the others wait for.
enum class Bound : std::uint8_t { compute, dram, cache, link, launch, count_ };
inline constexpr std::size_t kBoundCount = static_cast<std::size_t>(Bound::count_);
std::string_view name_of(Bound bound);
std::vector<std::string> bound_names();

}  // namespace infercost
