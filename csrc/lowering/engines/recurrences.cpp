#include "lowering/engines/recurrences.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/names.hpp"

namespace infercost {
namespace {

// Operators between products in one module from which on it is taken for a loop that was captured step by
// step. Modules without products of activations have at most about 30.
constexpr int kLoop = 64;
// The same for an update of states that is one step of such a loop.
constexpr int kUpdate = 16;

constexpr int kNone = -1;

bool works(const Flow& flow, NodeIndex node) {
    return flow.is_live(node) && !flow.is_free(node);
}

bool is_short_convolution(const Flow& flow, NodeIndex node) {
    if (flow.op(node) != "aten.conv1d" && flow.op(node) != "aten.convolution") return false;
    const Call call = flow.call(node);
    const TensorIndex weight = call.tensor("weight");
    if (weight == kNoTensor) return false;
    const std::vector<Expr> shape = flow.shape(weight);
    return shape.size() == 3 && shape[1] == Expr(1) && call.integer("groups", 1) == shape[0];
}

// A product of two activations.
bool is_inner_product(const Flow& flow, NodeIndex node) {
    const WorkKind kind = flow.kind(node);
    if (kind == WorkKind::library) return true;  // a triangular system
    return kind == WorkKind::gemm && flow.weight_of(node) == kNoTensor &&
           flow.op(node) != "aten._grouped_mm" && !flow.op(node).starts_with("pyinfercost.");
}

// Caches that nothing is appended to are states.
bool reads_state(const Flow& flow, NodeIndex node) {
    return std::any_of(flow.operands(node).begin(), flow.operands(node).end(), [&](const Operand& read) {
        TensorIndex t = read.tensor;
        for (NodeIndex made = read.producer;
             made != kNoNode && flow.is_free(made) && !flow.operands(made).empty();
             made = flow.operands(made).front().producer) {
            t = flow.operands(made).front().tensor;
        }
        return flow.tensor(t).role == Role::kv_cache;
    });
}

class RecurrenceFinder {
  public:
    explicit RecurrenceFinder(const Flow& flow)
        : flow_(flow),
          part_(flow.count(), kNone),
          level_(flow.count(), 0),
          readers_(flow.count()),
          makers_(flow.count()) {}

    Units run() {
        inspect_modules();
        choose_modules();
        Units found{{}, std::vector<int>(part_.size(), kNone)};
        if (members_.empty()) return found;
        for (NodeIndex i = 0; i < flow_.count(); ++i) assign(i);
        link();
        join_convolutions();
        set_levels();
        delay();
        collect(found);
        return found;
    }

  private:
    // What a module contains directly.
    struct Module {
        bool attends = false;
        bool routes = false;
        bool has_weights = false;
        bool has_norm = false;
        bool has_convolution = false;  // one channel per group: of a short causal window
        bool multiplies = false;       // activations with activations
        bool keeps_state = false;      // from step to step, apart from keys and values
        int operators = 0;             // live, and no views
    };

    void inspect_modules() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!works(flow_, i)) continue;
            Module& module = modules_[flow_.module(i)];
            const WorkKind kind = flow_.kind(i);
            ++module.operators;
            module.attends = module.attends || kind == WorkKind::attention || kind == WorkKind::softmax;
            module.routes = module.routes || is_top(flow_, i) || flow_.op(i) == "aten._grouped_mm";
            module.has_weights = module.has_weights || flow_.weight_of(i) != kNoTensor;
            module.has_norm = module.has_norm || is_statistic(flow_, i);
            module.has_convolution = module.has_convolution || is_short_convolution(flow_, i);
            module.multiplies = module.multiplies || is_inner_product(flow_, i);
            module.keeps_state = module.keeps_state || reads_state(flow_, i);
        }
    }

    bool is_recurrent(const Module& module) const {
        if (module.attends || module.routes) return false;
        // A loop with products of weights is one over experts.
        const bool loops = module.operators >= kLoop && !module.has_weights;
        return module.has_convolution || module.multiplies || module.keeps_state || loops;
    }

    // Recurrent modules, with activations and convolutions that are modules of their own in them.
    void choose_modules() {
        std::set<std::string> recurrent;
        for (const auto& [name, module] : modules_) {
            if (!is_recurrent(module)) continue;
            const bool alone = module.has_convolution && module.operators == 1;
            recurrent.emplace(alone ? parent_of(name) : name);
        }
        for (const std::string& name : recurrent) {
            const auto found = modules_.find(name);
            if (found != modules_.end() && (found->second.attends || found->second.routes)) continue;
            members_.emplace(name, static_cast<int>(members_.size()));
            least_.push_back(found != modules_.end() && updates(found->second) ? kUpdate : kLoop);
        }
        std::map<std::string, int> inner;
        for (const auto& [name, module] : modules_) {
            const auto around = members_.find(std::string(parent_of(name)));
            if (around == members_.end() || members_.contains(name)) continue;
            if (!module.attends && !module.routes && !module.has_weights && !module.has_norm) {
                inner.emplace(name, around->second);
            }
        }
        members_.insert(inner.begin(), inner.end());
    }

    static bool updates(const Module& module) { return module.has_convolution || module.keeps_state; }

    // A module has two parts, its convolution and the rest: numbers 2 m and 2 m + 1.
    void assign(NodeIndex node) {
        if (!works(flow_, node) || flow_.weight_of(node) != kNoTensor ||
            flow_.kind(node) == WorkKind::unknown || flow_.traits(node).relation == Relation::embedding) {
            return;
        }
        const auto found = members_.find(flow_.module(node));
        if (found == members_.end()) return;
        part_[node] = 2 * found->second + (is_short_convolution(flow_, node) ? 0 : 1);
    }

    bool is_convolution_part(int part) const { return part >= 0 && part % 2 == 0; }

    // The live nodes that read results of a node and that make its operands, through views.
    void link() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!works(flow_, i)) continue;
            std::vector<NodeIndex>& readers = readers_[i];
            flow_.for_each_reader(i, [&](NodeIndex reader) { readers.push_back(reader); });
            std::sort(readers.begin(), readers.end());
            readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
            for (const NodeIndex reader : readers) makers_[reader].push_back(i);
        }
    }

    bool moves(NodeIndex node) const {
        const WorkKind kind = flow_.kind(node);
        return kind == WorkKind::copy || kind == WorkKind::fill ||
               (kind == WorkKind::pointwise && flow_.pointwise_flops(node) == Expr(0));
    }

    // The kernel of a convolution also shifts its window of earlier tokens, and applies an activation.
    void join_convolutions() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!is_convolution_part(part_[i])) continue;
            NodeIndex last = i;
            while (readers_[last].size() == 1 && !flow_.is_result(last)) {
                const NodeIndex next = readers_[last].front();
                const bool elementwise = flow_.kind(next) == WorkKind::pointwise || moves(next);
                if (part_[next] != part_[i] + 1 || !elementwise || makers_[next].size() > 1) break;
                part_[next] = part_[i];
                last = next;
            }
        }
        for (bool changed = true; changed;) {
            changed = false;
            for (NodeIndex i = flow_.count(); i-- > 0;) {
                const int part = part_[i];
                if (part < 0 || is_convolution_part(part) || !moves(i) || !belongs(i, part - 1)) continue;
                part_[i] = part - 1;
                changed = true;
            }
        }
    }

    // Whether what a node moves goes to a convolution, or comes from its window and goes nowhere else.
    bool belongs(NodeIndex node, int convolution) const {
        const std::vector<NodeIndex>& readers = readers_[node];
        if (readers.empty()) {
            const std::vector<NodeIndex>& makers = makers_[node];
            return std::any_of(makers.begin(), makers.end(), [&](NodeIndex maker) {
                const std::vector<NodeIndex>& others = readers_[maker];
                return part_[maker] == convolution ||
                       std::any_of(others.begin(), others.end(),
                                   [&](NodeIndex other) { return part_[other] == convolution; });
            });
        }
        bool feeds = false;
        for (const NodeIndex reader : readers) {
            const bool own = part_[reader] == convolution;
            const bool keeps = moves(reader) && readers_[reader].empty() && part_[reader] == convolution + 1;
            if (!own && !keeps) return false;
            feeds = feeds || own;
        }
        return feeds;
    }

    // How often a path to a node changes between parts. Nodes of one part and level form a unit: a path that
    // leaves it has another level when it returns.
    void set_levels() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!works(flow_, i)) continue;
            int level = 0;
            for (const NodeIndex maker : makers_[i]) {
                level = std::max(level, level_[maker] + (part_[maker] != part_[i] ? 1 : 0));
            }
            level_[i] = level;
        }
    }

    // What only a later unit of the module reads belongs to that.
    void delay() {
        for (NodeIndex i = flow_.count(); i-- > 0;) {
            const int part = part_[i];
            const std::vector<NodeIndex>& readers = readers_[i];
            if (part < 0 || is_convolution_part(part) || readers.empty() || flow_.is_result(i)) continue;
            int least = level_[readers.front()];
            bool inside = true;
            for (const NodeIndex reader : readers) {
                inside = inside && part_[reader] == part;
                least = std::min(least, level_[reader]);
            }
            if (inside) level_[i] = std::max(level_[i], least);
        }
    }

    // Parts without a product of activations and without a loop are left to the units of other modules.
    void collect(Units& found) const {
        std::map<std::pair<int, int>, Nodes> units;
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (part_[i] >= 0) units[{part_[i], level_[i]}].push_back(i);
        }
        for (auto& [key, nodes] : units) {
            const bool convolution = is_convolution_part(key.first);
            const bool multiplies = std::any_of(
                nodes.begin(), nodes.end(), [&](NodeIndex node) { return is_inner_product(flow_, node); });
            const int least = least_[key.first / 2];
            if (!convolution && !multiplies && static_cast<int>(nodes.size()) < least) continue;
            for (const NodeIndex node : nodes) found.of_node[node] = static_cast<int>(found.units.size());
            found.units.push_back({.nodes = std::move(nodes),
                                   .pattern = convolution ? Pattern::convolution : Pattern::recurrence});
        }
    }

    const Flow& flow_;
    std::map<std::string, Module> modules_;
    std::map<std::string, int> members_;  // number of the recurrent module
    IndexedVector<int, int> least_;       // operators of a kernel of each, without products
    IndexedVector<NodeIndex, int> part_;
    IndexedVector<NodeIndex, int> level_;
    IndexedVector<NodeIndex, std::vector<NodeIndex>> readers_;
    IndexedVector<NodeIndex, std::vector<NodeIndex>> makers_;
};

}  // namespace

Units find_recurrences(const Flow& flow) {
    return RecurrenceFinder(flow).run();
}

}  // namespace infercost
