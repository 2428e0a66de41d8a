// Edits of the graph that one rank has: tensors like captured ones, and groups of a collective.
#pragma once

#include <vector>

#include "core/graph_rewriter.hpp"
#include "lowering/parallel/local_shapes.hpp"
#include "lowering/parallel/node_arguments.hpp"

namespace infercost {

inline constexpr std::string_view kSlice = "aten.slice.Tensor";

struct RankEdits {
    const LocalShapes& shapes;
    GraphRewriter& rewriter;

    std::vector<NamedArgument> group(TensorIndex input, std::int64_t devices) const {
        return group(input, devices, shapes.layout().nodes_of(devices));
    }
    static std::vector<NamedArgument> group(TensorIndex input, std::int64_t devices, std::int64_t nodes) {
        return {
            {"input",   input        },
            {"devices", Expr(devices)},
            {"nodes",   Expr(nodes)  },
        };
    }
    // Of a node as it is by now.
    std::vector<NamedArgument> arguments_now(NodeIndex node) const {
        return arguments_of(rewriter.graph(), rewriter.graph().nodes()[node]);
    }
    TensorIndex made_like(TensorIndex t, const std::vector<Expr>& shape) {
        return rewriter.add_tensor(shapes.flow().tensor(t).dtype, shape, std::nullopt, Role::activation, "");
    }
};

}  // namespace infercost
