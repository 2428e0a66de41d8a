// Graph -> Counts: FLOPs, bytes, parameters and memory, by node, op and module, independent of hardware.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "count/memory.hpp"
#include "lowering/lowered_graph.hpp"

namespace infercost {

// One row of a report: the whole model, a module, an op, or a single node.
struct CountRow {
    std::int64_t nodes = 0;
    Expr contraction_flops;
    Expr causal_flops;
    Expr pointwise_flops;
    Expr parameters;
    Expr parameter_bytes;
    Expr buffer_bytes;
    EnumArray<Traffic, Expr> read;
    EnumArray<Traffic, Expr> written;
    Expr bytes_sent;  // to other devices of the group
    Expr peak_activation_bytes;
    Expr peak_memory_bytes;

    void add(const Work& work);
    // Add a tensor that is a parameter or a buffer; `any` is a call of its pass.
    void add_stored(const Call& any, TensorIndex t);
    Expr macs() const { return contraction_flops / 2; }
    Expr bytes_read() const;
    Expr bytes_written() const;
};

struct LayerRow {
    NodeIndex index;
    std::string module;
    std::string op;
    std::string source;
    Phase phase;
    Work work;
    CountRow row;
};

// The constructor computes totals; rows by layer, module and op are computed on demand.
class Counts {
  public:
    Counts(LoweredGraph lowered, Sizes sizes, MemoryOf device = MemoryOf::cpu);

    const CountRow& total() const { return total_; }
    const MemoryUse& memory() const { return memory_; }
    const std::map<std::string, std::int64_t>& unmodelled() const { return unmodelled_; }
    std::int64_t nodes() const { return static_cast<std::int64_t>(graph().nodes().size()); }
    std::int64_t modelled_nodes() const { return modelled_; }

    std::vector<LayerRow> layers() const;
    std::map<std::string, CountRow> by_op() const;
    // Forward, and backward if the graph has one.
    std::map<Phase, CountRow> by_phase() const;
    // Every module path down to `depth` (all if negative), including submodules; "" is the model.
    std::map<std::string, CountRow> by_module(int depth) const;

  private:
    const Graph& graph() const { return *lowered_.graph; }
    void add_operands(CountRow& row, const Call& call) const;
    template <class Visit>
    void for_each_work(Visit&& visit) const;

    LoweredGraph lowered_;
    Sizes sizes_;
    CountRow total_;
    MemoryUse memory_;
    std::map<std::string, std::int64_t> unmodelled_;
    std::int64_t modelled_ = 0;
};

// Counts a captured graph in a precision. Sizes without a value stay open; `overrides` refer to its nodes.
// Memory is that of a CPU or of an accelerator.
Counts count(const std::shared_ptr<const Graph>& graph, const Sizes& sizes, const Precision& precision,
             const Overrides& overrides = {}, MemoryOf device = MemoryOf::cpu);

}  // namespace infercost
