// Losses, and distances between vectors. A mean or a sum over all elements costs one more per element.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace loss_table {

// torch's enumeration: 0 none, 1 mean, 2 sum.
bool is_reduced(const Call& call) {
    return !(call.integer("reduction", 1) == Expr(0));
}

void elementwise(const Call& call, Work& work, int each) {
    const TensorIndex self = call.first_operand();
    work.kind = is_reduced(call) ? WorkKind::reduction : WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    const Expr elements = call.numel(is_reduced(call) ? self : call.output());
    work.pointwise_flops = elements * (each + (is_reduced(call) ? 1 : 0));
}
template <int N>
void loss(const Call& call, Work& work) {
    elementwise(call, work, N + (call.has("weight") ? 1 : 0));
}
// log_weight = (pos_weight - 1) * target + 1 multiplies the logarithm
void logits(const Call& call, Work& work) {
    elementwise(call, work, 8 + (call.has("weight") ? 1 : 0) + (call.has("pos_weight") ? 4 : 0));
}

// One logarithm of each row is selected and negated.
void negative_log_likelihood(const Call& call, Work& work) {
    const Expr picked = call.numel(call.require_tensor("target"));
    work.kind = is_reduced(call) ? WorkKind::reduction : WorkKind::gather;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = picked * (1 + (call.has("weight") ? 1 : 0) + (is_reduced(call) ? 1 : 0));
}
void picked_bytes(const Call& call, Work& work) {
    const TensorIndex target = call.require_tensor("target");
    call.read(work, call.require_tensor("self"), call.numel(target));
    call.read(work, target);
    if (call.has("weight")) call.read(work, call.require_tensor("weight"), call.numel(target));
    write_all(call, work);
}
constexpr TrafficShape picks{picked_bytes, never};

// Each class of a row except the target is compared with a margin: subtract, add, compare, sum.
void multi_margin(const Call& call, Work& work) {
    const TensorIndex self = call.require_tensor("self");
    const Expr classes = call.dim(self, -1);
    const Expr rows = ratio(call.numel(self), classes);
    const bool squared = call.integer("p", 1) == Expr(2);
    const int each = 3 + (squared ? 1 : 0) + (call.has("weight") ? 1 : 0);
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = rows * (classes - 1) * each + rows * (2 + (is_reduced(call) ? 1 : 0));
}
// The same comparison; the gradient of a class is subtracted from that of the target, and the row is
// multiplied by the gradient of the loss. p = 2: two times the distance; a weight is one more.
void multi_margin_backward(const Call& call, Work& work) {
    const TensorIndex self = call.require_tensor("self");
    const Expr classes = call.dim(self, -1);
    const Expr rows = ratio(call.numel(self), classes);
    const int more = (call.integer("p", 1) == Expr(2) ? 2 : 0) + (call.has("weight") ? 1 : 0);
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = rows * (classes - 1) * (4 + more) + rows + call.numel(self);
}

// Every target of a row against every other class. The number of targets is data; the number of pairs is
// largest if half of the classes are targets.
void multilabel_margin(const Call& call, Work& work) {
    const TensorIndex self = call.require_tensor("self");
    const Expr classes = call.dim(self, -1);
    const Expr rows = ratio(call.numel(self), classes);
    const Expr targets = classes / 2;
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = rows * targets * (1 + (classes - targets) * 3) + rows * (is_reduced(call) ? 2 : 1);
}

// The same comparisons; a share is added to one class and subtracted from the other.
void multilabel_margin_backward(const Call& call, Work& work) {
    const TensorIndex self = call.require_tensor("self");
    const Expr classes = call.dim(self, -1);
    const Expr rows = ratio(call.numel(self), classes);
    const Expr targets = classes / 2;
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = rows * targets * (1 + (classes - targets) * 5) + call.numel(self);
}

// log_softmax, then the likelihood; if the targets are probabilities, a product and a sum over all classes.
void cross_entropy(const Call& call, Work& work) {
    const TensorIndex self = call.require_tensor("self");
    const TensorIndex target = call.require_tensor("target");
    const Expr all = call.numel(self);
    if (call.same_shape(self, target)) {
        elementwise(call, work, 0);
        work.pointwise_flops = all * (7 + (call.has("weight") ? 1 : 0));
    } else {
        negative_log_likelihood(call, work);
        work.pointwise_flops += all * 5;
    }
}
// One kernel writes the logarithms, and the next reads them: all of them, or the selected ones.
void cross_entropy_bytes(const Call& call, Work& work) {
    stream_all.bytes(call, work);
    const TensorIndex self = call.require_tensor("self");
    const TensorIndex target = call.require_tensor("target");
    call.write(work, self, call.numel(self));
    call.read(work, self, call.numel(call.same_shape(self, target) ? self : target));
}
constexpr TrafficShape in_two_passes{cross_entropy_bytes, never};

// The forward sums over a lattice of steps x (2 * length + 1) states. Each state has three predecessors: 2
// max, 3 subtract, 3 exp, 2 add, log, add the maximum, add the emission.
Expr lattice_states(const Call& call) {
    const TensorIndex probabilities = call.require_tensor("log_probs");
    const TensorIndex targets = call.require_tensor("targets");
    const List<Expr> steps = call.integers("input_lengths");
    const List<Expr> lengths = call.integers("target_lengths");
    Expr states;
    const bool listed = call.tensor("input_lengths") == kNoTensor;
    if (listed && !steps.empty() && steps.size() == lengths.size()) {
        for (std::size_t i = 0; i < steps.size(); ++i) states += steps[i] * (2 * lengths[i] + 1);
    } else {  // lengths in tensors: assume the maximum
        const Expr batch = call.rank(probabilities) == 3 ? call.dim(probabilities, 1) : Expr(1);
        const Expr longest =
            call.rank(targets) == 2 ? call.dim(targets, 1) : ratio(call.numel(targets), batch);
        states = batch * call.dim(probabilities, 0) * (2 * longest + 1);
    }
    return states;
}
void connectionist(const Call& call, Work& work) {
    work.kind = WorkKind::scan;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = lattice_states(call) * 13;
}
// The same lattice from its end; both sums of a state are added, and that to the logarithm of a sum of its
// class: max, 2 subtract, 2 exp, add, log, add. Then exp(class + loss - probability), subtracted from the exp
// of the probability and multiplied by the gradient.
void connectionist_backward(const Call& call, Work& work) {
    work.kind = WorkKind::scan;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = lattice_states(call) * (13 + 9) + call.numel(call.require_tensor("log_probs")) * 6;
}

// ---- distances ----------------------------------------------------------------------------------------

// Squares and products of pairs, per element of the longer operand.
template <int N>
void pairwise(const Call& call, Work& work) {
    Expr elements;
    call.for_each_input([&](TensorIndex t) { elements = Expr::maximum(elements, call.numel(t)); });
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = elements * N;
}

// Above this number of rows, torch computes Euclidean distances as |a|^2 + |b|^2 - 2ab, with one product.
constexpr std::int64_t kFewRows = 25;

void euclidean(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("x1");
    const TensorIndex b = call.require_tensor("x2");
    const Expr p = call.dim(a, -2);
    const Expr r = call.dim(b, -2);
    const Expr batch = ratio(call.numel(call.output()), p * r);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), batch, p, r, call.dim(a, -1) + 2);
    // Norms of the rows of both operands, then max and sqrt per pair.
    work.pointwise_flops = batch * ((p + r) * call.dim(a, -1) * 2 + p * r * 2);
}
void all_pairs(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("x1");
    const TensorIndex b = call.require_tensor("x2");
    const Argument* power = call.find("p");
    const bool two = !power || (power->kind == ArgKind::real ? power->real == 2 : power->value == 2);
    const Expr mode = call.integer("compute_mode", 0);
    const Expr p = call.dim(a, -2);
    const Expr r = call.dim(b, -2);
    const bool few =
        p.is_constant() && r.is_constant() && p.constant() <= kFewRows && r.constant() <= kFewRows;
    if (two && (mode == Expr(1) || (mode == Expr(0) && !few))) return euclidean(call, work);
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * call.dim(a, -1) * 3;
}
void own_pairs(const Call& call, Work& work) {
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * call.dim(call.first_operand(), -1) * 3;
}

constexpr std::string_view kSquare = "2 per element: subtract, square; 1 more when reduced";
constexpr std::string_view kHuber =
    "8 per element: subtract, abs, compare, two pieces, select; 1 more when reduced";
constexpr std::string_view kNll = "1 per target, 1 more with a weight, 1 more when reduced";
constexpr std::string_view kCtc =
    "13 per step and state: log of a sum of three exponentials, and the emission";
constexpr std::string_view kPairs =
    "3 per pair and component: subtract, power, add; a matrix product for Euclidean distances of over 25 "
    "rows";

constexpr OpRule kTable[] = {
    {"aten.mse_loss", loss<2>, stream_all, kSquare, Relation::distance, CastPolicy::full},
    {"aten.l1_loss", loss<2>, stream_all, "2 per element: subtract, abs; 1 more when reduced",
     Relation::distance, CastPolicy::full},
    {"aten.smooth_l1_loss", loss<8>, stream_all, kHuber, Relation::distance, CastPolicy::full},
    {"aten.huber_loss", loss<8>, stream_all, kHuber, Relation::distance, CastPolicy::full},
    {"aten.kl_div", loss<3>, stream_all, "3 per element: log or exp, subtract, multiply; 1 more when reduced",
     CastPolicy::full},
    {"aten.soft_margin_loss", loss<5>, stream_all, "5 per element; 1 more when reduced", CastPolicy::full},
    {"aten.binary_cross_entropy", loss<8>, stream_all,
     "8 per element, 1 more with a weight, 1 more when reduced", Relation::distance, CastPolicy::full},
    {"aten.binary_cross_entropy_with_logits", logits, stream_all,
     "8 per element, 1 more with a weight, 4 more with pos_weight, 1 more when reduced", Relation::distance,
     CastPolicy::full},
    {"aten.nll_loss", negative_log_likelihood, picks, kNll, CastPolicy::full},
    {"aten.nll_loss_nd", negative_log_likelihood, picks, kNll},
    {"aten.nll_loss2d", negative_log_likelihood, picks, kNll, CastPolicy::full},
    {"aten.nll_loss_forward", negative_log_likelihood, picks, kNll, Relation::log_likelihood},
    {"aten.nll_loss2d_forward", negative_log_likelihood, picks, kNll},
    {"aten.cross_entropy_loss", cross_entropy, in_two_passes, "as log_softmax, then nll_loss",
     CastPolicy::full},
    {"aten.multi_margin_loss", multi_margin, stream_all,
     "3 per wrong class, 1 more for p = 2, 1 more with a weight; 2 per row, 1 more when reduced", CastPolicy::full},
    {"aten.multilabel_margin_loss_forward", multilabel_margin, stream_all,
     "3 per target and other class, for half of the classes as targets: an upper bound; 1 or 2 per row"},
    {"aten._ctc_loss", connectionist, stream_all, kCtc},
    {"aten.multi_margin_loss_backward", multi_margin_backward, stream_all,
     "4 per wrong class, 2 more for p = 2, 1 more with a weight; 1 per row and 1 per element"},
    {"aten.multilabel_margin_loss_backward", multilabel_margin_backward, stream_all,
     "5 per target and other class, for half of the classes as targets: an upper bound; 1 per target and per "
     "element"},
    {"aten._ctc_loss_backward", connectionist_backward, stream_all,
     "22 per step and state: the sums from the end, and both sums added by class; 6 per step and class"},
    {"aten.cosine_similarity", pairwise<6>, stream_all, "6 per element: three products and their sums",
     CastPolicy::full},
    {"aten.pairwise_distance", pairwise<4>, stream_all, "4 per element: subtract, add eps, power, add"},
    {"aten.dist", pairwise<3>, stream_all, "3 per element: subtract, power, add", CastPolicy::full},
    {"aten.cdist", all_pairs, stream_all, kPairs, CastPolicy::full},
    {"aten._cdist_forward", all_pairs, stream_all, kPairs, CastPolicy::full},
    {"aten._euclidean_dist", euclidean, stream_all, "2*p*r*(m + 2); norms, max and sqrt are pointwise"},
    {"aten.pdist", own_pairs, stream_all, "3 per pair and component: subtract, power, add", CastPolicy::full},
    {"aten._pdist_forward", own_pairs, stream_all, "3 per pair and component: subtract, power, add"},
};
constexpr auto kRows =
    op_rows(kTable, Untied("a result is a mean over all elements, or a distance of each pair"));

}  // namespace loss_table
}  // namespace

std::span<const OpRule> loss_rules() {
    return loss_table::kRows;
}

}  // namespace infercost
