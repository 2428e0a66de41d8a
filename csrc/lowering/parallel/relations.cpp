#include "lowering/parallel/relations.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>

#include "core/errors.hpp"
#include "core/threads.hpp"

namespace infercost {
namespace {

constexpr std::string_view kCacheName = "past_key_value";
constexpr std::int64_t kFirstPrime = 1009;  // beyond the usual factors of lengths

bool is_prime(std::int64_t n) {
    for (std::int64_t d = 2; d * d <= n; ++d) {
        if (n % d == 0) return false;
    }
    return true;
}

Sizes primes_of(const Graph& graph) {
    Sizes primes;
    std::int64_t next = kFirstPrime;
    for (const std::string& name : graph.size_names()) {
        while (!is_prime(next)) ++next;
        primes.emplace(name, next++);
    }
    return primes;
}

// Memory or numbers made from nothing: their axes follow from their readers.
bool relate_made(Relations& relations, const Call& call) {
    for (std::size_t i = 0; i < call.output_count(); ++i) {
        relations.set(call.output(i), relations.fresh(call.output(i)));
    }
    return true;
}

RelationRule rule_of(Relation relation) {
    static const auto rules = [] {
        EnumArray<Relation, RelationRule, static_cast<std::size_t>(Relation::count_)> all{};
        all[Relation::made] = relate_made;
        all[Relation::elements] = relate_elements;
        for (const std::span<const RelationRow> family :
             {view_relations(), product_relations(), narrow_relations(), row_relations(),
              backward_relations()}) {
            for (const RelationRow& row : family) all[row.relation] = row.rule;
        }
        for (std::size_t i = 1; i < all.size(); ++i) {
            if (all[static_cast<Relation>(i)]) continue;
            throw std::logic_error("relation '" + std::string(kRelationNames[i]) + "' has no function");
        }
        return all;
    }();
    return rules[relation];
}

}  // namespace

int dim_of(const Call& call, std::string_view name, int rank, std::int64_t otherwise) {
    const Expr given = call.integer(name, otherwise);
    if (!given.is_constant()) return -1;
    const std::int64_t dim = given.constant() < 0 ? given.constant() + rank : given.constant();
    return dim >= 0 && dim < rank ? static_cast<int>(dim) : -1;
}

Relations::Relations(const std::shared_ptr<const Graph>& graph)
    : flow_(graph),
      primes_(primes_of(*graph)),
      axes_of_(graph->tensors().size()),
      lengths_(graph->tensors().size()),
      head_(graph->nodes().size(), false) {
    find_heads();
    find_gradients_of_logits();
    for (node_ = 0; node_ < flow_.count(); ++node_) {
        check_interrupt();
        relate(node_);
        divide_gradient_of_logits(node_);
    }
    fix_ends();
    weigh();
    keep_blocks();
}

const Lengths& Relations::lengths(TensorIndex t) {
    Lengths& known = lengths_[t];
    if (known.empty() && flow_.tensor(t).shape.count > 0) {
        for (const Expr& length : flow_.shape(t)) known.push_back(number(length));
    }
    return known;
}

bool Relations::is_live(TensorIndex t) const {
    const NodeIndex maker = flow_.maker(t);
    if (maker != kNoNode) return flow_.is_live(maker);
    const Role role = flow_.tensor(t).role;
    return role == Role::input || role == Role::kv_cache;
}

// A parameter, or what is made of parameters alone.
bool Relations::is_weight(TensorIndex t) const {
    for (NodeIndex made = flow_.maker(t); made != kNoNode;) {
        if (flow_.is_live(made) || flow_.operands(made).empty()) return false;
        t = flow_.operands(made).front().tensor;
        made = flow_.operands(made).front().producer;
    }
    return flow_.tensor(t).role == Role::parameter;
}

TensorIndex Relations::origin_of(TensorIndex t) const {
    for (NodeIndex made = flow_.maker(t); made != kNoNode && !flow_.operands(made).empty();) {
        t = flow_.operands(made).front().tensor;
        made = flow_.operands(made).front().producer;
    }
    return t;
}

bool Relations::looks_up_words(NodeIndex node) const {
    if (flow_.traits(node).relation != Relation::embedding) return false;
    TensorIndex ids = flow_.call(node).require_tensor("indices");
    for (NodeIndex made = flow_.maker(ids); made != kNoNode;) {
        if (flow_.operands(made).empty()) return false;
        ids = flow_.operands(made).front().tensor;
        made = flow_.operands(made).front().producer;
    }
    return flow_.tensor(ids).role == Role::input;
}

AxisList Relations::fresh(TensorIndex t) {
    AxisList axes;
    for (const Axes::Length length : lengths(t)) axes.push_back(axes_.leaf(length));
    return axes;
}

const AxisList& Relations::of(TensorIndex t) {
    AxisList& known = axes_of_[t];
    if (known.empty() && flow_.tensor(t).shape.count > 0) {
        known = fresh(t);
        const Tensor& tensor = flow_.tensor(t);
        if (tensor.role == Role::input) {
            for (const AxisId axis : known) axes_.gather(axis, "they are of an input of the model");
        }
    }
    return known;
}

AxisId Relations::axis(TensorIndex t, int dim) {
    const AxisList& axes = of(t);
    const int rank = static_cast<int>(axes.size());
    const int place = dim < 0 ? dim + rank : dim;
    if (place < 0 || place >= rank) throw InputError("has a dimension that its tensor lacks");
    return axes[place];
}

void Relations::set(TensorIndex t, AxisList axes) {
    AxisList& known = axes_of_[t];
    if (axes.size() != flow_.tensor(t).shape.count) {
        throw InputError("has a result of another rank than its operator gives");
    }
    if (known.empty()) {
        known = std::move(axes);
        return;
    }
    for (std::size_t i = 0; i < known.size(); ++i) {  // written in place
        if (axes_.length(known[i]) > 1 || axes_.length(axes[i]) > 1) axes_.equal(known[i], axes[i]);
    }
}

void Relations::sums(const Call& call, TensorIndex weight, AxisId inner, AxisId outer) {
    if (!is_weight(weight)) {
        axes_.fix(inner, "a product of activations sums over them");
        return;
    }
    std::int64_t elements = 1;
    for (const Axes::Length length : lengths(weight)) elements *= length;
    axes_.mix(inner, "a product sums over them");
    products_.push_back({node_, inner, outer, weight, elements});
    static_cast<void>(call);
}

void Relations::relate(NodeIndex node) {
    const Call call = flow_.call(node);
    const std::string& module = flow_.module(node);
    const std::string place = std::string(call.op().name) + (module.empty() ? "" : " of " + module);
    const RelationRule rule = rule_of(traits_of(call).relation);
    if (!rule) return lock(call, place + " may need them all");
    try {
        if (!rule(*this, call)) lock(call, place + " has arguments that are not followed");
    } catch (const InputError&) {
        lock(call, place + " is called in a way that is not followed");
    } catch (const OverflowError&) {
        lock(call, place + " has tensors that are too large to be followed");
    }
}

// An operator that is not known may need all of every axis.
void Relations::lock(const Call& call, const std::string& why) {
    call.for_each_input([&](TensorIndex t) {
        for (const AxisId axis : of(t)) axes_.fix(axis, why, true);
    });
    for (std::size_t i = 0; i < call.output_count(); ++i) {
        for (const AxisId axis : of(call.output(i))) axes_.fix(axis, why, true);
    }
}

// Products whose results are logits over the words of a table of embeddings: what follows has one operand
// that depends on tokens, up to a result of the graph.
void Relations::find_heads() {
    Axes::Length words = 0;
    for (NodeIndex i = 0; i < flow_.count(); ++i) {
        if (!looks_up_words(i)) continue;
        const std::vector<Axes::Length>& table = lengths(flow_.call(i).require_tensor("weight"));
        if (!table.empty()) words = std::max(words, table.front());
    }
    for (const TensorIndex result : flow_.graph().outputs()) {
        NodeIndex node = flow_.maker(result);
        if (is_cache(result) || (node != kNoNode && is_backward(node))) continue;
        for (int steps = 0; node != kNoNode && steps < 16; ++steps) {
            if (flow_.weight_of(node) != kNoTensor) {
                const std::vector<Axes::Length>& made = lengths(flow_.call(node).output());
                // Heads may have a few columns more or fewer than there are embeddings.
                head_[node] = !made.empty() && 2 * made.back() > words && made.back() < 2 * words;
                break;
            }
            if (flow_.is_anchor(node)) break;
            NodeIndex next = kNoNode;
            int live = 0;
            for (const Operand& operand : flow_.operands(node)) {
                if (!is_live(operand.tensor) || !is_floating(flow_.tensor(operand.tensor).dtype)) continue;
                next = operand.producer;
                ++live;
            }
            node = live == 1 ? next : kNoNode;
        }
    }
}

// The product of the backward pass that reads the weight of a head multiplies it with the gradient of the
// logits: that is made where the views of it begin.
void Relations::find_gradients_of_logits() {
    std::set<TensorIndex> weights;
    for (NodeIndex i = 0; i < flow_.count(); ++i) {
        if (is_head(i)) weights.insert(flow_.weight_of(i));
    }
    for (NodeIndex i = 0; i < flow_.count() && !weights.empty(); ++i) {
        const TensorIndex weight = is_backward(i) ? flow_.weight_of(i) : kNoTensor;
        if (weight == kNoTensor || !weights.contains(weight)) continue;
        NodeIndex made = i;
        do {
            const auto operands = flow_.operands(made);
            const auto live = std::find_if(operands.begin(), operands.end(),
                                           [&](const Operand& operand) { return is_live(operand.tensor); });
            made = live == operands.end() ? kNoNode : live->producer;
        } while (made != kNoNode && flow_.is_free(made));
        if (made != kNoNode && is_backward(made)) gradients_of_logits_.emplace(made, weight);
    }
}

// What follows reads the columns that the weight has.
void Relations::divide_gradient_of_logits(NodeIndex node) {
    const auto found = gradients_of_logits_.find(node);
    if (found == gradients_of_logits_.end()) return;
    const Call call = flow_.call(node);
    const auto columns = columns_of_heads_.find(found->second);
    if (columns == columns_of_heads_.end() || call.output_count() != 1 || call.in_place()) return;
    AxisList& axes = axes_of_[call.output()];
    if (axes.empty() || axes_.length(axes.back()) != axes_.length(columns->second)) return;
    logits_gradients_.push_back({node, axes});
    axes.back() = columns->second;
}

TensorIndex Relations::table_of(TensorIndex ids, const std::vector<Axes::Length>& lengths) {
    for (const auto& [indices, table] : tables_) {
        if (indices == ids && this->lengths(table) == lengths) return table;
    }
    return kNoTensor;
}

// Keys, values and states that a forward returns.
bool Relations::is_cache(TensorIndex result) const {
    const Tensor& tensor = flow_.tensor(result);
    if (tensor.role == Role::kv_cache || flow_.graph().name(tensor.name).starts_with(kCacheName)) return true;
    const NodeIndex maker = flow_.maker(result);
    if (maker == kNoNode) return false;
    const auto appended = flow_.operands(maker);
    return std::any_of(appended.begin(), appended.end(), [&](const Operand& operand) {
        return flow_.tensor(operand.tensor).role == Role::kv_cache;
    });
}

// Results of the graph are whole, except caches and gradients, of which each device keeps its part.
void Relations::fix_ends() {
    for (const TensorIndex t : flow_.graph().outputs()) {
        if (flow_.tensor(t).role == Role::input || flow_.maker(t) == kNoNode || is_cache(t)) continue;
        if (is_backward(flow_.maker(t))) continue;
        for (const AxisId axis : of(t)) axes_.gather(axis, "they are a result of the model");
    }
}

void Relations::weigh() {
    for (std::size_t i = 0; i < axes_of_.size(); ++i) {
        const auto t = static_cast<TensorIndex>(i);
        if (flow_.tensor(t).role != Role::parameter) continue;
        std::int64_t elements = 1;
        for (const Axes::Length length : lengths(t)) elements *= length;
        for (const AxisId axis : of(t)) {
            for (const AxisId leaf : axes_.leaves(axis)) axes_.info(leaf).weights += elements;
        }
    }
}

// Axes whose parts are padded to whole blocks.
void Relations::keep_blocks() {
    for (const Blocks& each : blocks_) {
        if (!each.padded) continue;
        for (const AxisId section : axes_.sections(each.axis)) {
            if (!axes_.is_leaf(section)) continue;
            Axes::Leaf& leaf = axes_.info(section);
            leaf.unit = std::lcm(leaf.unit, each.unit);
        }
    }
}

}  // namespace infercost
