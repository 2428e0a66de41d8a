#include "count/saved.hpp"

namespace infercost {

void SavedForBackward::visit(NodeIndex index, const Work& work, const Pass& pass) {
    const Node& node = pass.graph.nodes()[index];
    const auto root_of = [&](std::int64_t t) {
        return static_cast<std::size_t>(pass.storage.root(static_cast<TensorIndex>(t)));
    };
    if (node.phase == Phase::forward) {
        for (const std::int64_t t : pass.graph.node_outputs(node)) {
            const std::size_t root = root_of(t);
            if (pass.graph.tensors()[root].role == Role::activation) made_[root] = true;
        }
        return;
    }
    // A view of the storage, or a tensor of the same shape, does not need its contents.
    if (work.modelled && work.bytes_read() == Expr(0)) return;
    const Call call(pass, node);
    call.for_each_input([&](TensorIndex t) {
        const std::size_t root = root_of(t);
        if (!made_[root] || saved_[root]) return;
        saved_[root] = true;
    });
}

Expr SavedForBackward::bytes(const Pass& pass, const StorageBytes& forms) const {
    const Node none{};
    const Call any(pass, none);
    Expr total;
    for (std::size_t root = 0; root < saved_.size(); ++root) {
        if (!saved_[root]) continue;
        const auto t = static_cast<TensorIndex>(root);
        const Expr* form = forms.form_of(t);
        total += form ? *form : any.bytes(t);
    }
    return total;
}

}  // namespace infercost
