// Loops -> groups that become one kernel each. First inductor's lowering: the result of a pointwise loop
// stays in memory only if necessary, or if computing it again would read many values; otherwise each reader
// contains a copy of the loop. Then its scheduler: kept loops that share values and run over the same space
// are fused.
//
// Source: torch/_inductor of PyTorch 2.13: GraphLowering.run_node and StorageBox in ir.py (kept results),
// Scheduler.can_fuse and SIMDScheduling.can_fuse (fusion), config.py (the numbers).
#include <algorithm>
#include <cstdint>

#include "core/threads.hpp"
#include "lowering/loops.hpp"

namespace infercost {
namespace {

constexpr std::size_t kReadsToReuse =
    4;  // realize_reads_threshold: more, and several readers share one result
constexpr std::size_t kReadsToAccumulate = 8;  // realize_acc_reads_threshold: more, and it is kept anyway
constexpr std::size_t kLoopsInKernel = 64;     // max_fusion_size

using GroupIndex = std::int32_t;

class Grouper {
  public:
    explicit Grouper(const Loops& loops)
        : all_(loops), kept_(loops.loops.size(), true), bodies_(loops.loops.size()) {}

    std::vector<std::vector<LoopIndex>> run() {
        for (LoopIndex i = 0; i < count(); ++i) {
            check_interrupt();
            decide(i);
        }
        group_of_.assign(all_.loops.size(), -1);
        for (LoopIndex i = 0; i < count(); ++i) {
            check_interrupt();
            if (kept_[i]) place(i);
        }
        std::vector<std::vector<LoopIndex>> result;
        for (Group& group : groups_) {
            if (group.loops.empty()) continue;
            std::sort(group.loops.begin(), group.loops.end());
            group.loops.erase(std::unique(group.loops.begin(), group.loops.end()), group.loops.end());
            result.push_back(std::move(group.loops));
        }
        std::sort(result.begin(), result.end());
        return result;
    }

  private:
    // A loop with all loops that are recomputed inside it.
    struct Body {
        std::vector<LoopIndex> loops;     // the loop itself is last
        std::vector<ValueIndex> values;   // read from memory
        std::vector<ValueIndex> counted;  // the arrays among them
    };
    struct Group {
        std::vector<LoopIndex> loops;
        Expr results = 1;
        Expr length = 1;
        bool inner = true;
        bool open = false;  // can be fused with others
        std::size_t kept = 0;
        LoopIndex first = 0;
        LoopIndex last = 0;
        std::vector<LoopIndex> needs;  // loops outside of it that write its operands
        std::uint32_t visited = 0;
    };

    LoopIndex count() const { return static_cast<LoopIndex>(all_.loops.size()); }
    const Loop& loop(LoopIndex i) const { return all_.loops[i]; }
    const StorageState& value(ValueIndex v) const { return all_.values[v]; }

    static void add(std::vector<std::int32_t>& set, std::int32_t element) {
        if (std::find(set.begin(), set.end(), element) == set.end()) set.push_back(element);
    }

    bool is_inlined(ValueIndex v) const {
        const std::vector<LoopIndex>& producers = value(v).producers;
        return producers.size() == 1 && !kept_[producers.front()];
    }

    void decide(LoopIndex i) {
        const Loop& self = loop(i);
        Body& body = bodies_[i];
        for (const Stream& stream : self.reads) {
            if (stream.value == kNoValue) continue;
            if (is_inlined(stream.value)) {
                const Body& inner = bodies_[value(stream.value).producers.front()];
                for (const LoopIndex l : inner.loops) add(body.loops, l);
                for (const ValueIndex v : inner.values) add(body.values, v);
                for (const ValueIndex v : inner.counted) add(body.counted, v);
            } else {
                add(body.values, stream.value);
                if (stream.counted) add(body.counted, stream.value);
            }
        }
        body.loops.push_back(i);
        kept_[i] = is_kept(self, body);
    }

    bool is_kept(const Loop& self, const Body& body) const {
        const bool elementwise = self.kind == LoopClass::pointwise || self.kind == LoopClass::window;
        if (!elementwise || body.loops.size() >= kLoopsInKernel) return true;
        int users = 0;
        for (const Stream& stream : self.writes) {
            const StorageState& written = value(stream.value);
            if (written.escapes || written.producers.size() > 1) return true;
            for (const LoopIndex reader : written.readers) {
                const Loop& other = loop(reader);
                if (other.kind == LoopClass::library) return true;
                if (other.kind == LoopClass::window && body.counted.size() > 1) return true;
                users += other.uses;
            }
        }
        // A loop without readers runs for its side effect.
        if (users == 0) return true;
        if (self.kind == LoopClass::window && users > 1) return true;
        return (users > 1 && body.counted.size() > kReadsToReuse) || body.counted.size() > kReadsToAccumulate;
    }

    // Put a kept loop into a group of its own, and merge it with every group that allows it.
    void place(LoopIndex i) {
        const Loop& self = loop(i);
        const Body& body = bodies_[i];
        Group group;
        group.loops = body.loops;
        group.results = self.results;
        group.length = self.length;
        group.inner = self.inner;
        group.open = self.kind != LoopClass::library && self.kind != LoopClass::closed;
        group.kept = 1;
        group.first = group.last = i;
        for (const ValueIndex v : body.values) {
            for (const LoopIndex producer : value(v).producers) add(group.needs, producer);
        }
        for (const auto& [before, after] : all_.barriers) {
            if (after == i) add(group.needs, before);
        }
        auto mine = static_cast<GroupIndex>(groups_.size());
        groups_.push_back(std::move(group));
        group_of_[i] = mine;
        if (!groups_[mine].open) return;

        // First the loops that write its operands, latest first; then the loops that read the same operands.
        std::vector<LoopIndex> others;
        for (const ValueIndex v : body.values) {
            if (reads_across(i, v)) continue;
            for (const LoopIndex producer : value(v).producers) others.push_back(producer);
        }
        std::sort(others.rbegin(), others.rend());
        for (const ValueIndex v : body.values) {
            for (const LoopIndex reader : readers_of(v)) {
                if (reader < i) others.push_back(reader);
            }
        }
        for (const LoopIndex other : others) {
            const GroupIndex theirs = group_of_[other];
            if (theirs >= 0 && theirs != mine && may_join(theirs, mine)) mine = join(theirs, mine);
        }
    }

    // Return the kept loops that read a value, directly or through loops inside them. The search is partial
    // for a value with many readers (a mask, a table of positions).
    std::vector<LoopIndex> readers_of(ValueIndex v) const {
        constexpr std::size_t kLooked = 64;
        std::vector<LoopIndex> result;
        const std::vector<LoopIndex>& readers = value(v).readers;
        for (std::size_t r = readers.size(); r-- > 0 && result.size() < kLooked;) {
            if (kept_[readers[r]]) result.push_back(readers[r]);
        }
        return result;
    }

    bool reads_across(LoopIndex i, ValueIndex v) const {
        for (const LoopIndex l : bodies_[i].loops) {
            for (const Stream& stream : loop(l).reads) {
                if (stream.value == v && stream.across) return true;
            }
        }
        return false;
    }

    bool may_join(GroupIndex a, GroupIndex b) {
        const Group& one = groups_[a];
        const Group& two = groups_[b];
        if (!one.open || !two.open || one.kept + two.kept > kLoopsInKernel) return false;
        if (!same_space(one, two)) return false;
        for (const auto& [before, after] : all_.barriers) {
            if ((group_of_[before] == a && group_of_[after] == b) ||
                (group_of_[before] == b && group_of_[after] == a)) {
                return false;
            }
        }
        return !depends_through_others(a, b) && !depends_through_others(b, a);
    }

    static bool same_space(const Group& one, const Group& two) {
        const bool reduces = !(one.length == Expr(1));
        const bool other_reduces = !(two.length == Expr(1));
        if (reduces == other_reduces) return one.results == two.results && one.length == two.length;
        const Group& rows = reduces ? one : two;
        const Group& elements = reduces ? two : one;
        // Rows across the order of the elements traverse memory in another order.
        return (rows.inner && elements.results == rows.results * rows.length) ||
               elements.results == rows.results;
    }

    // Whether `from` depends on `to` through a third group.
    bool depends_through_others(GroupIndex from, GroupIndex to) {
        ++visit_;
        std::vector<GroupIndex> open = {from};
        const LoopIndex first = groups_[to].first;
        groups_[from].visited = visit_;
        while (!open.empty()) {
            const GroupIndex group = open.back();
            open.pop_back();
            for (const LoopIndex need : groups_[group].needs) {
                const GroupIndex next = group_of_[need];
                if (next == to) {
                    if (group != from) return true;
                    continue;
                }
                if (next < 0 || groups_[next].visited == visit_ || groups_[next].last < first) continue;
                groups_[next].visited = visit_;
                open.push_back(next);
            }
        }
        return false;
    }

    GroupIndex join(GroupIndex into, GroupIndex from) {
        Group& target = groups_[into];
        Group& source = groups_[from];
        for (const LoopIndex l : source.loops) {
            add(target.loops, l);
            if (kept_[l]) group_of_[l] = into;
        }
        for (const LoopIndex need : source.needs) add(target.needs, need);
        std::erase_if(target.needs, [&](LoopIndex need) { return group_of_[need] == into; });
        if (!(source.length == Expr(1))) {
            target.results = source.results;
            target.length = source.length;
            target.inner = source.inner;
        }
        target.kept += source.kept;
        target.first = std::min(target.first, source.first);
        target.last = std::max(target.last, source.last);
        source = Group{};
        return into;
    }

    const Loops& all_;
    IndexedVector<LoopIndex, bool> kept_;
    IndexedVector<LoopIndex, Body> bodies_;
    IndexedVector<GroupIndex, Group> groups_;
    IndexedVector<LoopIndex, GroupIndex> group_of_;  // of kept loops
    std::uint32_t visit_ = 0;
};

}  // namespace

std::vector<std::vector<LoopIndex>> group_loops(const Loops& loops) {
    return Grouper(loops).run();
}

}  // namespace infercost
