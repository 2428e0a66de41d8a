#include "lowering/input_copies.hpp"

#include "lowering/operand_copies.hpp"

namespace infercost {

std::vector<Launch> input_copies(const Analyzer& analyzer, const std::vector<Launch>& launches) {
    const Pass& pass = analyzer.pass();
    std::vector<bool> copied(pass.graph.tensors().size(), false);
    std::vector<Launch> copies;
    for (const Launch& launch : launches) {
        for (const NodeIndex node : launch.nodes) {
            const Call call = analyzer.call(node);
            call.for_each_input([&](TensorIndex operand) {
                const TensorIndex input = pass.storage.root(operand);
                const auto at = static_cast<std::size_t>(input);
                if (copied[at] || pass.graph.tensors()[at].role != Role::input) return;
                copied[at] = true;
                copies.push_back({.nodes = {node},
                                  .work = copy_work(call, input, call.bytes(input)),
                                  .hints = {.copies_input = true}});
            });
        }
    }
    return copies;
}

}  // namespace infercost
