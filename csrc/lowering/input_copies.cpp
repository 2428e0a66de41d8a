#include "lowering/input_copies.hpp"

#include "lowering/operand_copies.hpp"

namespace infercost {

std::vector<Launch> input_copies(const Analyzer& analyzer, const std::vector<Launch>& launches) {
    const Pass& pass = analyzer.pass();
    IndexedVector<TensorIndex, bool> copied(pass.graph.tensors().size(), false);
    std::vector<Launch> copies;
    for (const Launch& launch : launches) {
        for (const NodeIndex node : launch.nodes) {
            const Call call = analyzer.call(node);
            call.for_each_input([&](TensorIndex operand) {
                const TensorIndex input = pass.storage.root(operand);
                if (copied[input] || pass.graph.tensors()[input].role != Role::input) return;
                copied[input] = true;
                copies.push_back({.nodes = {node},
                                  .work = copy_work(call, input, call.bytes(input)),
                                  .hints = {.copies_input = true}});
            });
        }
    }
    return copies;
}

}  // namespace infercost
