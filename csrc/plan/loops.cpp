// Launches -> loops. Conventions are those of torch's inductor: pooling and resampling are loops, a
// normalisation over rows is one loop, one over planes (group norm, batch statistics) is two with the whole
// tensor between them, a concatenation is a loop for each of its parts.
#include "plan/loops.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "ops/operand_copies.hpp"
#include "plan/access.hpp"

namespace infercost {
namespace {

bool named(const OpName& op, std::initializer_list<std::string_view> parts) {
    return std::any_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return op.name.find(part) != std::string::npos; });
}

constexpr std::int64_t kRanksOfImages = 4;

class Reader {
  public:
    Reader(const Pass& pass, std::vector<FusedLaunch> launches, bool channels_last)
        : pass_(pass),
          graph_(pass.graph),
          launches_(std::move(launches)),
          channels_last_(channels_last),
          current_(graph_.tensors().size(), kNoValue) {}

    Loops run() {
        std::size_t next = 0;
        for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph_.nodes().size()); ++i) {
            const Node& node = graph_.nodes()[static_cast<std::size_t>(i)];
            if (next < launches_.size() && launches_[next].nodes.front() == i) {
                add(launches_[next++], Call(pass_, node));
            } else if (!is_view(node)) {  // not modelled: it reads memory and writes memory
                graph_.for_each_input(node, [&](TensorIndex t) { at(value(t)).escapes = true; });
                for (const std::int64_t out : graph_.node_outputs(node)) renew(static_cast<TensorIndex>(out));
            }
        }
        for (const TensorIndex t : graph_.outputs()) at(value(t)).escapes = true;
        return std::move(result_);
    }

  private:
    std::size_t root(TensorIndex t) const { return static_cast<std::size_t>(pass_.storage.root(t)); }
    Value& at(ValueIndex v) { return result_.values[static_cast<std::size_t>(v)]; }

    // A node that launches nothing and gives no new storage is another name for its operand, or its operand.
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
        const auto v = static_cast<ValueIndex>(result_.values.size());
        result_.values.emplace_back();
        // What lies in a parameter, an input or a cache is there after the run.
        at(v).escapes = graph_.tensors()[root(t)].role != Role::activation;
        current_[root(t)] = v;
        return v;
    }

    void add(FusedLaunch& launch, const Call& call) {
        if (is_repeated_cast(launch, call)) return;
        Loop loop;
        loop.node = launch.nodes.front();
        loop.work = std::move(launch.work);
        classify(loop, call, launch.opaque);
        read(loop, call);
        if (loop.kind == LoopClass::library && !launch.opaque) copy_operands(loop, call);
        if (loop.kind == LoopClass::pointwise && named(call.op(), {"aten.cat", "aten.stack"}) &&
            loop.reads.size() > 1) {
            add_parts(std::move(loop), call);
            return;
        }
        if (loop.kind == LoopClass::reduction && over_planes(call)) {
            add_statistics(loop, call);
        }
        write(loop, call);
        push(std::move(loop));
    }

    // Equal expressions are computed once.
    bool is_repeated_cast(const FusedLaunch& launch, const Call& call) {
        if (call.op().name != "aten._to_copy" || launch.opaque) return false;
        const TensorIndex source = call.first_operand();
        const TensorIndex result = call.output();
        const std::array<std::int64_t, 3> key = {value(source), source,
                                                 static_cast<std::int64_t>(call.stored_dtype(result))};
        const auto [known, fresh] = casts_.try_emplace(
            (key[0] * static_cast<std::int64_t>(graph_.tensors().size()) + key[1]) * 64 + key[2],
            static_cast<std::int32_t>(result_.loops.size()));
        if (fresh) return false;
        Loop& loop = result_.loops[static_cast<std::size_t>(known->second)];
        loop.twins.push_back(launch.nodes.front());
        current_[root(result)] = loop.writes.front().value;
        return true;
    }

    static bool over_planes(const Call& call) {
        if (named(call.op(), {"group_norm", "instance_norm"})) {
            return call.rank(call.first_operand()) >= kRanksOfImages;
        }
        return named(call.op(), {"batch_norm"});
    }

    void classify(Loop& loop, const Call& call, bool opaque) const {
        if (opaque || call.output_count() == 0) return;
        const Expr results = call.numel(call.output());
        loop.results = results;
        switch (loop.work.kind) {
            case WorkKind::pointwise:
            case WorkKind::copy:
            case WorkKind::fill:
            case WorkKind::gather:
                loop.kind = LoopClass::pointwise;
                return;
            case WorkKind::scatter:
            case WorkKind::scan:
                loop.kind = LoopClass::closed;
                return;
            case WorkKind::pooling: {
                loop.kind = LoopClass::window;
                // One result for a whole plane is a mean or a maximum.
                const TensorIndex input = call.first_operand();
                bool whole = named(call.op(), {"adaptive"});
                for (int axis = 2; whole && axis < call.rank(call.output()); ++axis) {
                    whole = call.dim(call.output(), axis) == Expr(1);
                }
                if (whole && call.rank(call.output()) > 2) {
                    loop.kind = LoopClass::reduction;
                    loop.length = call.numel(input) / results;
                }
                return;
            }
            case WorkKind::reduction:
                loop.kind = LoopClass::reduction;
                loop.length = call.numel(call.first_operand()) / results;
                return;
            case WorkKind::softmax:
            case WorkKind::normalization:
                classify_rows(loop, call);
                return;
            default:
                return;
        }
    }

    void classify_rows(Loop& loop, const Call& call) const {
        const TensorIndex input = call.first_operand();
        loop.kind = LoopClass::reduction;
        loop.uses = 2;
        if (named(call.op(), {"batch_norm"})) {
            const bool training = call.flag("training", false) || call.flag("train", false) ||
                                  named(call.op(), {"with_update"});
            if (!training) {
                loop.kind = LoopClass::pointwise;  // statistics are constants
                loop.uses = 1;
                return;
            }
            loop.length = call.numel(input) / call.dim(input, 1);
        } else if (named(call.op(), {"group_norm", "instance_norm"})) {
            const Expr groups =
                named(call.op(), {"group_norm"}) ? call.integer("num_groups", 1) : call.dim(input, 1);
            loop.length = call.numel(input) / (call.dim(input, 0) * groups);
        } else if (loop.work.kind == WorkKind::softmax) {
            const Expr axis = call.integer("dim", -1);
            loop.length = call.rank(input) == 0
                              ? Expr(1)
                              : call.dim(input, axis.is_constant() ? static_cast<int>(axis.constant()) : -1);
        } else if (call.has("normalized_shape")) {
            for (const Expr& length : call.integers("normalized_shape")) loop.length = loop.length * length;
        } else {
            loop.length = loop.results;
        }
        loop.results = loop.results / loop.length;
    }

    // Its operands one by one where they add up to what the rule says, else the role's bytes together.
    void read(Loop& loop, const Call& call) {
        std::array<Expr, kTrafficCount> sums;
        std::vector<Stream> streams;
        const std::vector<Expr> out =
            call.output_count() > 0 ? call.strides(call.output()) : std::vector<Expr>();
        call.for_each_input([&](TensorIndex t) {
            const Traffic role = call.traffic(t);
            sums[static_cast<std::size_t>(role)] += call.bytes(t);
            const bool across = loop.kind != LoopClass::library && !(loop.work.strided_bytes == Expr(0)) &&
                                call.rank(t) > 1 && !call.is_contiguous(t);
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

    void write(Loop& loop, const Call& call) {
        std::array<Expr, kTrafficCount> sums;
        for (std::size_t i = 0; i < call.output_count(); ++i) {
            const TensorIndex t = call.output(i);
            // A part of a storage is written: the rest of it comes from the value before.
            const TensorIndex whole = call.root(t);
            if (whole != t && current_[root(t)] != kNoValue && !(call.numel(whole) == call.numel(t))) {
                loop.reads.push_back({value(t), whole, 0, call.traffic(t), false, false});
            }
            sums[static_cast<std::size_t>(call.traffic(t))] += call.bytes(t);
            loop.writes.push_back({renew(t), t, call.bytes(t), call.traffic(t), false, false});
        }
        for (std::size_t r = 0; r < kTrafficCount; ++r) {
            if (sums[r] == loop.work.written[r]) continue;
            bool given = false;
            for (Stream& stream : loop.writes) {
                if (static_cast<std::size_t>(stream.role) != r) continue;
                stream.bytes = given ? Expr(0) : loop.work.written[r];
                given = true;
            }
        }
    }

    // A library takes operands in one layout. What lies otherwise goes through a loop before it, which takes
    // in what comes before. Weights are laid out anew in every run: a compiler that does not know their
    // values cannot keep them so.
    void copy_operands(Loop& loop, const Call& call) {
        for (const OperandCopy& copy : product_copies(call))
            copy_operand(loop, call, copy.tensor, copy.bytes);
        if (loop.work.kind != WorkKind::convolution || !channels_last_) return;
        loop.work.channels_first = false;
        std::size_t position = 0;
        call.for_each_input([&](TensorIndex t) {
            const bool given = graph_.tensors()[root(t)].role != Role::activation;
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
        copy.results = call.numel(t);
        const auto made = static_cast<ValueIndex>(result_.values.size());
        result_.values.emplace_back();
        for (Stream& stream : loop.reads) {
            if (stream.tensor != t) continue;
            if (copy.reads.empty()) {
                copy.reads.push_back(stream);
                copy.reads.back().bytes = call.bytes(t);
                copy.reads.back().across = !(copy.work.strided_bytes == Expr(0));
            }
            stream.value = made;
        }
        copy.writes = {
            {made, t, bytes, Traffic::activation, false, false}
        };
        push(std::move(copy));
    }

    std::int32_t push(Loop loop) {
        const auto index = static_cast<std::int32_t>(result_.loops.size());
        for (const Stream& stream : loop.reads) {
            if (stream.value == kNoValue) continue;
            std::vector<std::int32_t>& readers = at(stream.value).readers;
            if (readers.empty() || readers.back() != index) readers.push_back(index);
        }
        for (const Stream& stream : loop.writes) at(stream.value).producers.push_back(index);
        result_.loops.push_back(std::move(loop));
        return index;
    }

    // Each part goes to its place in the result by a loop of its own.
    void add_parts(Loop whole, const Call& call) {
        const TensorIndex t = call.output();
        const ValueIndex made = renew(t);
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
            push(std::move(part));
        }
    }

    // Statistics of planes, before the loop that uses them.
    void add_statistics(Loop& loop, const Call& call) {
        constexpr int kPerElement = 3;  // of the convention: subtract, square, add
        Loop statistics;
        statistics.kind = LoopClass::reduction;
        statistics.node = loop.node;
        statistics.work.kind = WorkKind::reduction;
        statistics.work.dtype = loop.work.dtype;
        statistics.work.pointwise_flops = call.numel(call.first_operand()) * kPerElement;
        statistics.results = loop.results;
        statistics.length = loop.length;
        const TensorIndex input = call.first_operand();
        for (const Stream& stream : loop.reads) {
            if (stream.tensor == input) statistics.reads.push_back(stream);
        }
        const std::int32_t before = push(std::move(statistics));
        result_.barriers.emplace_back(before, before + 1);
        loop.work.pointwise_flops = loop.work.pointwise_flops - call.numel(input) * kPerElement;
        loop.kind = LoopClass::pointwise;
        loop.results = call.numel(call.output());
        loop.length = 1;
        loop.uses = 1;
    }

    const Pass& pass_;
    const Graph& graph_;
    std::vector<FusedLaunch> launches_;
    bool channels_last_;
    std::vector<ValueIndex> current_;  // of the storage with this root
    std::unordered_map<std::int64_t, std::int32_t> casts_;
    Loops result_;
};

}  // namespace

Loops to_loops(const Pass& pass, std::vector<FusedLaunch> launches, bool channels_last) {
    return Reader(pass, std::move(launches), channels_last).run();
}

}  // namespace infercost
