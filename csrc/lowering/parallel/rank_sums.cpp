#include "lowering/parallel/rank_sums.hpp"

#include <algorithm>

#include "ops/collective.hpp"

namespace infercost {

void RankSums::join(const Joined& joined) {
    const TensorIndex t = joined.tensor;
    const bool scattered = shapes_.tokens().scattered.contains(t);
    const std::vector<Expr> shape = shapes_.local_shape(t, shapes_.tokens().tensors.contains(t) != scattered);
    const TensorIndex sum = edits_.made_like(t, shape);
    summed_.emplace(t, sum);
    if (joined.parts == Parts::sum) {
        const std::string_view op = scattered ? kReduceScatter : kAllReduce;
        edits_.rewriter.insert_after(joined.after, op, edits_.group(t, joined.devices), {&sum, 1});
    } else {
        experts_.combine(joined, shape, sum);
    }
    read_instead(joined, sum);
}

void RankSums::gather(const Gathered& gathered) {
    const TensorIndex t = gathered.tensor;
    const TensorIndex now = summed_.contains(t) ? summed_.at(t) : t;
    const TensorIndex all =
        edits_.made_like(t, shapes_.local_shape(t, !shapes_.tokens().tensors.contains(t)));
    edits_.rewriter.insert_after(gathered.after, kAllGather, edits_.group(now, shapes_.tokens().devices),
                                 {&all, 1});
    for (const NodeIndex node : gathered.readers)
        edits_.rewriter.replace_operands(node, {
                                                   {now, all}
        });
}
void RankSums::return_all(TensorIndex t, std::string_view collective) {
    const TensorIndex now = summed_.contains(t) ? summed_.at(t) : t;
    const TensorIndex all = edits_.made_like(t, shapes_.local_shape(t, false));
    edits_.rewriter.insert_after(shapes_.flow().maker(t), collective,
                                 edits_.group(now, shapes_.tokens().devices), {&all, 1});
    edits_.rewriter.return_instead(now, all);
}

void RankSums::read_instead(const Joined& joined, TensorIndex sum) {
    const std::vector<NodeIndex>& readers = readers_of(joined.tensor);
    if (std::all_of(readers.begin(), readers.end(), [&](NodeIndex node) { return node > joined.after; })) {
        edits_.rewriter.redirect(joined.tensor, sum);  // and what is written in place
        return;
    }
    bool written = false;
    for (const NodeIndex node : readers) {
        if (node <= joined.after || written) continue;
        edits_.rewriter.replace_operands(node, {
                                                   {joined.tensor, sum}
        });
        const auto results = shapes_.graph().node_outputs(shapes_.graph().nodes()[node]);
        written = std::find(results.begin(), results.end(), joined.tensor) != results.end();
    }
    if (!written) edits_.rewriter.return_instead(joined.tensor, sum);
}
const std::vector<NodeIndex>& RankSums::readers_of(TensorIndex t) {
    if (readers_.empty()) {
        readers_.resize(shapes_.graph().tensors().size());
        for (NodeIndex i = 0; i < shapes_.flow().count(); ++i) {
            for (const Operand& operand : shapes_.flow().operands(i)) {
                std::vector<NodeIndex>& list = readers_[operand.tensor];
                if (list.empty() || list.back() != i) list.push_back(i);
            }
        }
    }
    return readers_[t];
}

}  // namespace infercost
