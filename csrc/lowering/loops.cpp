// Launches -> loops, by the conventions of torch's inductor: statistics over planes (group norm, batch
// statistics) are a loop before the loop that uses them; a concatenation is a loop per part unless it can be
// read in place; the loop after a product adds the bias.
#include "lowering/loops.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/threads.hpp"
#include "lowering/memory_access.hpp"
#include "lowering/operand_copies.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kRanksOfImages = 4;

// The loops so far, and the value that each storage has after them.
class LoopWriter {
  public:
    explicit LoopWriter(const Pass& pass)
        : pass_(pass), graph_(pass.graph), current_(graph_.tensors().size(), kNoValue) {}

    Loops& loops() { return result_; }

    std::size_t root(TensorIndex t) const { return static_cast<std::size_t>(pass_.storage.root(t)); }
    // Whether a node without a launch returns its operand or a view of it.
    bool is_view(const Node& node) const {
        for (const std::int64_t out : graph_.node_outputs(node)) {
            bool own = root(static_cast<TensorIndex>(out)) != static_cast<std::size_t>(out);
            graph_.for_each_input(node, [&](TensorIndex t) { own = own || t == out; });
            if (!own) return false;
        }
        return true;
    }
    ValueIndex value(TensorIndex t) {
        ValueIndex& v = current_[root(t)];
        if (v == kNoValue) v = renew(t);
        return v;
    }
    ValueIndex renew(TensorIndex t) {
        const ValueIndex v = add();
        // Parameters, inputs and caches outlive the run.
        result_.values[v].escapes = graph_.tensors()[root(t)].role != Role::activation;
        current_[root(t)] = v;
        return v;
    }
    // A value that no tensor of the graph has.
    ValueIndex add() {
        result_.values.emplace_back();
        return static_cast<ValueIndex>(result_.values.size()) - 1;
    }
    void set(TensorIndex t, ValueIndex v) { current_[root(t)] = v; }
    void escape(TensorIndex t) { result_.values[value(t)].escapes = true; }
    // A node that is not modelled reads memory and writes memory.
    void pass_over(const Node& node) {
        graph_.for_each_input(node, [&](TensorIndex t) { escape(t); });
        for (const std::int64_t out : graph_.node_outputs(node)) renew(static_cast<TensorIndex>(out));
    }

    std::int32_t push(Loop loop) {
        const auto index = static_cast<std::int32_t>(result_.loops.size());
        for (const Stream& stream : loop.reads) {
            if (stream.value == kNoValue) continue;
            std::vector<std::int32_t>& readers = result_.values[stream.value].readers;
            if (readers.empty() || readers.back() != index) readers.push_back(index);
        }
        for (const Stream& stream : loop.writes) result_.values[stream.value].producers.push_back(index);
        result_.loops.push_back(std::move(loop));
        return index;
    }

    // Add operands one by one if their bytes equal those of the rule; otherwise add the bytes of each role
    // together.
    void read(Loop& loop, const Call& call) {
        EnumArray<Traffic, Expr> sums;
        std::vector<Stream> streams;
        const List<Expr> out = call.output_count() > 0 ? call.strides(call.output()) : List<Expr>();
        call.for_each_input([&](TensorIndex t) {
            const Traffic role = call.traffic(t);
            sums[role] += call.bytes(t);
            const bool across = loop.kind != LoopClass::library &&
                                !(loop.hints.access.strided_bytes == Expr(0)) && call.rank(t) > 1 &&
                                !call.is_contiguous(t);
            streams.push_back({value(t), t, call.bytes(t), role, across, call.rank(t) > 0});
        });
        for (std::size_t r = 0; r < kTrafficCount; ++r) {
            if (sums[r] == loop.work.read[r]) continue;
            for (Stream& stream : streams) {
                if (static_cast<std::size_t>(stream.role) == r) stream.bytes = 0;
            }
            streams.push_back(
                {kNoValue, kNoTensor, loop.work.read[r], static_cast<Traffic>(r), false, false});
        }
        loop.reads = std::move(streams);
    }

    // `exact`: use the bytes of the rule if those of the results differ.
    void write(Loop& loop, const Call& call, bool exact = true) {
        EnumArray<Traffic, Expr> sums;
        for (std::size_t i = 0; i < call.output_count(); ++i) {
            const TensorIndex t = call.output(i);
            // Only a part of the storage is written; the rest comes from the value before.
            const TensorIndex whole = call.root(t);
            if (whole != t && current_[root(t)] != kNoValue && !(call.numel(whole) == call.numel(t))) {
                loop.reads.push_back({value(t), whole, 0, call.traffic(t), false, false});
            }
            sums[call.traffic(t)] += call.bytes(t);
            loop.writes.push_back({renew(t), t, call.bytes(t), call.traffic(t), false, false});
        }
        for (std::size_t r = 0; r < kTrafficCount; ++r) {
            if (!exact || sums[r] == loop.work.written[r]) continue;
            bool given = false;
            for (Stream& stream : loop.writes) {
                if (static_cast<std::size_t>(stream.role) != r) continue;
                stream.bytes = given ? Expr(0) : loop.work.written[r];
                given = true;
            }
        }
    }

  private:
    const Pass& pass_;
    const Graph& graph_;
    std::vector<ValueIndex> current_;  // of the storage with this root
    Loops result_;
};

bool joins(const Call& call) {
    return call.op().name == "aten.cat" || call.op().name == "aten.stack";
}

// Statistics of planes, which run before the loop that uses them: the loop keeps what is computed with them.
Loop take_statistics(Loop& loop, const Call& call) {
    constexpr int kPerElement = 3;  // by the convention: subtract, square, add
    const TensorIndex input = call.first_operand();
    const Expr flops = call.numel(input) * kPerElement;
    Loop statistics;
    statistics.kind = LoopClass::reduction;
    statistics.node = loop.node;
    statistics.work.kind = WorkKind::reduction;
    statistics.work.dtype = loop.work.dtype;
    statistics.work.pointwise_flops = flops;
    statistics.results = loop.results;
    statistics.length = loop.length;
    statistics.inner = loop.inner;
    for (const Stream& stream : loop.reads) {
        if (stream.tensor == input) statistics.reads.push_back(stream);
    }
    // A vector unit cannot load elements that are not contiguous.
    Expr& rows = loop.hints.slow_loops[SlowLoop::row];
    statistics.hints.slow_loops[SlowLoop::scattered] = rows;
    rows = 0;
    loop.work.pointwise_flops = loop.work.pointwise_flops - flops;
    loop.work.kind = WorkKind::pointwise;
    loop.work.dims = {};
    loop.hints.rows = {};
    loop.kind = LoopClass::pointwise;
    loop.results = call.numel(call.output());
    loop.length = 1;
    loop.uses = 1;
    loop.inner = true;
    return statistics;
}

class Reader {
  public:
    Reader(const Pass& pass, std::vector<Launch> launches, bool channels_last)
        : pass_(pass),
          graph_(pass.graph),
          launches_(std::move(launches)),
          channels_last_(channels_last),
          written_(pass),
          readers_(graph_.tensors().size()) {
        for (std::size_t i = 0; i < launches_.size(); ++i) {
            const Node& node = graph_.nodes()[launches_[i].nodes.front()];
            graph_.for_each_input(node, [&](TensorIndex t) {
                readers_[written_.root(t)].push_back(static_cast<std::int32_t>(i));
            });
        }
    }

    Loops run() {
        std::size_t next = 0;
        for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph_.nodes().size()); ++i) {
            const Node& node = graph_.nodes()[i];
            if (next < launches_.size() && launches_[next].nodes.front() == i) {
                check_interrupt();
                const Call call(pass_, node);
                call.within([&] { add(launches_[next++], call); });
            } else if (!written_.is_view(node)) {
                written_.pass_over(node);
            }
        }
        for (const TensorIndex t : graph_.outputs()) written_.escape(t);
        return std::move(written_.loops());
    }

  private:
    void add(Launch& launch, const Call& call) {
        if (is_repeated_cast(launch, call)) return;
        Loop loop;
        loop.node = launch.nodes.front();
        loop.work = std::move(launch.work);
        loop.hints = std::move(launch.hints);
        if (!launch.opaque && call.output_count() > 0) classify(loop, call, channels_last_);
        written_.read(loop, call);
        if (loop.kind == LoopClass::library) {
            if (!launch.opaque) copy_operands(loop, call);
            if (!launch.opaque && adds_bias_apart(loop, call)) {
                add_bias(std::move(loop), call);
                return;
            }
        } else if (joins(call) && loop.reads.size() > 1 && !reads_in_place(loop, call)) {
            add_parts(loop, call);
            return;
        } else if (!loop.inner && loop.uses > 1) {
            const std::int32_t before = written_.push(take_statistics(loop, call));
            written_.loops().barriers.emplace_back(before, before + 1);
        }
        written_.write(loop, call);
        written_.push(std::move(loop));
    }

    // Whether all readers of this result compute element by element.
    bool feeds_pointwise(const Call& call) const {
        const std::vector<std::int32_t>& readers = readers_[written_.root(call.output())];
        return std::all_of(readers.begin(), readers.end(),
                           [&](std::int32_t reader) {
                               const Launch& launch = launches_[reader];
                               const Node& node = graph_.nodes()[launch.nodes.front()];
                               const WorkKind kind = launch.work.kind;
                               return !launch.opaque &&
                                      (kind == WorkKind::pointwise || kind == WorkKind::copy ||
                                       (kind == WorkKind::normalization &&
                                        graph_.ops()[node.op].name == "aten.batch_norm"));
                           }) &&
               !readers.empty();
    }

    // On a GPU the bias is separated from every convolution, and from a matrix product if the next loop can
    // add the bias.
    bool adds_bias_apart(const Loop& loop, const Call& call) const {
        if (call.tensor("bias") == kNoTensor || call.output_count() != 1) return false;
        return loop.work.kind == WorkKind::convolution ||
               (loop.work.kind == WorkKind::gemm && feeds_pointwise(call));
    }

    void add_bias(Loop product, const Call& call) {
        const TensorIndex bias = call.tensor("bias");
        const TensorIndex result = call.output();
        Loop sum;
        sum.kind = LoopClass::pointwise;
        sum.node = product.node;
        sum.work.kind = WorkKind::pointwise;
        sum.work.dtype = call.stored_dtype(result);
        sum.work.pointwise_flops = product.work.pointwise_flops;
        product.work.pointwise_flops = 0;
        sum.results = call.numel(result);
        const ValueIndex made = written_.add();
        const Stream passed{made, result, call.bytes(result), call.traffic(result), false, true};
        for (const Stream& stream : product.reads) {
            if (stream.tensor != bias) continue;
            sum.reads.push_back(stream);
            sum.reads.back().bytes = call.bytes(bias);
            product.work.read[stream.role] = product.work.read[stream.role] - call.bytes(bias);
        }
        std::erase_if(product.reads, [&](const Stream& stream) { return stream.tensor == bias; });
        sum.reads.push_back(passed);
        product.writes = {passed};
        written_.push(std::move(product));
        written_.write(sum, call, false);
        written_.push(std::move(sum));
    }

    // Whether the readers of a concatenation read its parts directly. This requires few parts, and no other
    // kernel that needs them in memory. It is preferable if a producer cannot write its part in place.
    bool reads_in_place(const Loop& loop, const Call& call) {
        constexpr std::size_t kParts = 8;    // max_pointwise_cat_inputs
        constexpr std::size_t kComplex = 2;  // max_complex_pointwise_cat_inputs
        if (loop.reads.size() > kParts) return false;
        bool any = false;
        bool all = true;
        for (const Stream& stream : loop.reads) {
            if (stream.value == kNoValue) return false;
            const StorageState& part = written_.loops().values[stream.value];
            bool copied = part.producers.size() == 1;
            if (copied) {
                const Loop& producer = written_.loops().loops[part.producers.front()];
                copied = producer.kind == LoopClass::library || producer.kind == LoopClass::pointwise;
                if (producer.kind != LoopClass::library && loop.reads.size() > kComplex) return false;
            }
            any = any || copied;
            all = all && copied;
            if (readers_[written_.root(stream.tensor)].size() > 1) return false;
        }
        return (any && feeds_pointwise(call)) || all;
    }

    // Equal expressions are computed once.
    bool is_repeated_cast(const Launch& launch, const Call& call) {
        if (call.op().name != "aten._to_copy" || launch.opaque) return false;
        const TensorIndex source = call.first_operand();
        const TensorIndex result = call.output();
        const std::array<std::int64_t, 3> key = {written_.value(source), source,
                                                 static_cast<std::int64_t>(call.stored_dtype(result))};
        const auto [known, fresh] = casts_.try_emplace(
            (key[0] * static_cast<std::int64_t>(graph_.tensors().size()) + key[1]) * 64 + key[2],
            static_cast<std::int32_t>(written_.loops().loops.size()));
        if (fresh) return false;
        Loop& loop = written_.loops().loops[known->second];
        loop.twins.push_back(launch.nodes.front());
        written_.set(result, loop.writes.front().value);
        return true;
    }

    // A library requires operands in one layout. Operands in another layout are copied by a loop before it,
    // which may be fused with the loops before. Weights are copied in every run: a compiler that does not
    // know their values cannot keep the copy.
    void copy_operands(Loop& loop, const Call& call) {
        for (const OperandCopy& copy : product_copies(call))
            copy_operand(loop, call, copy.tensor, copy.bytes);
        if (loop.work.kind != WorkKind::convolution || !channels_last_) return;
        loop.hints.access.channels_first = false;
        std::size_t position = 0;
        call.for_each_input([&](TensorIndex t) {
            const bool given = graph_.tensors()[written_.root(t)].role != Role::activation;
            if (position++ < 2 && call.rank(t) >= kRanksOfImages && given && has_channels_first(call, t)) {
                copy_operand(loop, call, t, call.bytes(t, call.numel(t)));
            }
        });
    }

    void copy_operand(Loop& loop, const Call& call, TensorIndex t, const Expr& bytes) {
        Loop copy;
        copy.kind = LoopClass::pointwise;
        copy.node = loop.node;
        copy.work = copy_work(call, t, bytes);
        copy.hints = copy_hints(call, t);
        copy.results = call.numel(t);
        const ValueIndex made = written_.add();
        for (Stream& stream : loop.reads) {
            if (stream.tensor != t) continue;
            if (copy.reads.empty()) {
                copy.reads.push_back(stream);
                copy.reads.back().bytes = call.bytes(t);
                copy.reads.back().across = !(copy.hints.access.strided_bytes == Expr(0));
            }
            stream.value = made;
        }
        copy.writes = {
            {made, t, bytes, Traffic::activation, false, false}
        };
        written_.push(std::move(copy));
    }

    // A separate loop writes each part to its place in the result.
    void add_parts(const Loop& whole, const Call& call) {
        const TensorIndex t = call.output();
        const ValueIndex made = written_.renew(t);
        bool first = true;
        for (const Stream& stream : whole.reads) {
            Loop part;
            part.kind = LoopClass::pointwise;
            part.node = whole.node;
            part.work.kind = whole.work.kind;
            part.work.dtype = whole.work.dtype;
            if (first) part.work.pointwise_flops = whole.work.pointwise_flops;
            first = false;
            const Expr elements = stream.tensor == kNoTensor ? Expr(0) : call.numel(stream.tensor);
            part.results = elements;
            part.reads = {stream};
            part.writes = {
                {made, t, call.bytes(t, elements), call.traffic(t), false, false}
            };
            written_.push(std::move(part));
        }
    }

    const Pass& pass_;
    const Graph& graph_;
    IndexedVector<std::int32_t, Launch> launches_;
    bool channels_last_;
    LoopWriter written_;
    std::vector<std::vector<std::int32_t>> readers_;  // launches, by storage
    std::unordered_map<std::int64_t, std::int32_t> casts_;
};

}  // namespace

Loops to_loops(const Pass& pass, std::vector<Launch> launches, bool channels_last) {
    return Reader(pass, std::move(launches), channels_last).run();
}

}  // namespace infercost
