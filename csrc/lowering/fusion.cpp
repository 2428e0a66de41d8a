// Loops -> fused kernels. A fused kernel reads each value once, keeps values between its parts in registers,
// and writes only values that other kernels read.
#include "lowering/fusion.hpp"

#include <algorithm>

#include "lowering/layout.hpp"
#include "lowering/loops.hpp"

namespace infercost {
namespace {

// A fused kernel has the kind of its part with the highest rank.
int rank_of(WorkKind kind) {
    switch (kind) {
        case WorkKind::fill:
            return 0;
        case WorkKind::copy:
            return 1;
        case WorkKind::pointwise:
            return 2;
        case WorkKind::gather:
            return 3;
        case WorkKind::pooling:
            return 4;
        case WorkKind::reduction:
            return 5;
        case WorkKind::softmax:
            return 6;
        case WorkKind::normalization:
            return 7;
        default:
            return 8;
    }
}

class Fuser {
  public:
    explicit Fuser(const Loops& all)
        : all_(all), read_(all.values.size(), false), inside_(all.values.size(), -1) {}

    std::vector<Launch> run() {
        const std::vector<std::vector<std::int32_t>> groups = group_loops(all_);
        for (std::size_t g = 0; g < groups.size(); ++g) {
            mark_inside(groups[g], static_cast<std::int32_t>(g));
            for_each_read(groups[g], static_cast<std::int32_t>(g), [&](const Stream& stream) {
                if (stream.value != kNoValue) read_[stream.value] = true;
            });
        }
        std::vector<Launch> launches;
        launches.reserve(groups.size());
        for (std::size_t g = 0; g < groups.size(); ++g) {
            mark_inside(groups[g], static_cast<std::int32_t>(g));
            launches.push_back(kernel(groups[g], static_cast<std::int32_t>(g)));
        }
        return launches;
    }

  private:
    const Loop& loop(LoopIndex i) const { return all_.loops[i]; }

    void mark_inside(const std::vector<std::int32_t>& group, std::int32_t g) {
        for (const std::int32_t i : group) {
            for (const Stream& stream : loop(i).writes) inside_[stream.value] = g;
        }
    }
    bool made_inside(ValueIndex v, std::int32_t g) const {
        if (v == kNoValue || inside_[v] != g) return false;
        // A loop that writes a part of a concatenation does not write the whole.
        return all_.values[v].producers.size() == 1;
    }

    template <class Visit>
    void for_each_read(const std::vector<std::int32_t>& group, std::int32_t g, Visit&& visit) const {
        for (const std::int32_t i : group) {
            for (const Stream& stream : loop(i).reads) {
                if (!made_inside(stream.value, g)) visit(stream);
            }
        }
    }

    Launch kernel(const std::vector<std::int32_t>& group, std::int32_t g) const {
        Launch launch;
        const Loop& lead = loop(group.front());
        if (group.size() == 1 && lead.kind == LoopClass::library) {
            launch.nodes = {lead.node};
            launch.work = lead.work;
            launch.hints = lead.hints;
            return launch;
        }
        launch.work.kind = WorkKind::fill;
        for (const std::int32_t i : group) {
            const Loop& part = loop(i);
            Work& work = launch.work;
            if (launch.nodes.empty() || launch.nodes.back() != part.node) launch.nodes.push_back(part.node);
            launch.nodes.insert(launch.nodes.end(), part.twins.begin(), part.twins.end());
            work.contraction_flops += part.work.contraction_flops;
            work.causal_flops += part.work.causal_flops;
            work.pointwise_flops += part.work.pointwise_flops;
            launch.hints.slow_loops += part.hints.slow_loops;
            if (i == group.front() || rank_of(part.work.kind) > rank_of(work.kind)) {
                work.kind = part.work.kind;
                work.dtype = part.work.dtype;
                work.dims = part.work.dims;
                launch.hints.rows = part.hints.rows;
                if (part.kind == LoopClass::reduction) {
                    work.dims.m = part.results;
                    work.dims.n = part.length;
                    launch.hints.rows.count = launch.hints.rows.length = 0;
                }
            }
            for (const Stream& stream : part.writes) {
                const StorageState& value = all_.values[stream.value];
                const bool needed = value.escapes || read_[stream.value];
                if (needed) work.written[stream.role] += stream.bytes;
            }
        }
        // Each operand and each of its views once.
        std::vector<const Stream*> seen;
        for_each_read(group, g, [&](const Stream& stream) {
            const auto same = [&](const Stream* other) {
                return stream.value != kNoValue && other->value == stream.value &&
                       other->bytes == stream.bytes;
            };
            if (std::any_of(seen.begin(), seen.end(), same)) return;
            seen.push_back(&stream);
            launch.work.read[stream.role] += stream.bytes;
            if (stream.across) launch.hints.access.strided_bytes += stream.bytes;
        });
        std::sort(launch.nodes.begin(), launch.nodes.end());
        launch.nodes.erase(std::unique(launch.nodes.begin(), launch.nodes.end()), launch.nodes.end());
        return launch;
    }

    const Loops& all_;
    IndexedVector<ValueIndex, bool> read_;            // by a kernel that does not compute it
    IndexedVector<ValueIndex, std::int32_t> inside_;  // the last kernel that was found to compute it
};

}  // namespace

std::vector<Launch> fuse(const Pass& pass, std::vector<Launch> launches) {
    const bool channels_last = prefers_channels_last(pass, launches);
    const Loops loops = to_loops(pass, std::move(launches), channels_last);
    return Fuser(loops).run();
}

}  // namespace infercost
