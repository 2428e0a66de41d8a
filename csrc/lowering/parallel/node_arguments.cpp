#include "lowering/parallel/node_arguments.hpp"

namespace infercost {

std::vector<NamedArgument> arguments_of(const Graph& graph, const Node& node) {
    std::vector<NamedArgument> found;
    for (const Argument& argument : graph.arguments(node)) {
        const std::string& name = graph.name(argument.name);
        switch (argument.kind) {
            case ArgKind::none:
                found.push_back({name, std::monostate{}});
                break;
            case ArgKind::tensor:
                found.push_back({name, static_cast<TensorIndex>(argument.value)});
                break;
            case ArgKind::integer:
                found.push_back({name, Expr(argument.value)});
                break;
            case ArgKind::expression:
                found.push_back({name, graph.expr(argument.value)});
                break;
            case ArgKind::boolean:
                found.push_back({name, argument.value != 0});
                break;
            case ArgKind::real:
                found.push_back({name, argument.real});
                break;
            case ArgKind::text:
                found.push_back({name, graph.name(static_cast<std::uint32_t>(argument.value))});
                break;
            case ArgKind::tensor_list: {
                std::vector<TensorIndex> list;
                for (const std::int64_t t : graph.integers(argument.range))
                    list.push_back(static_cast<TensorIndex>(t));
                found.push_back({name, list});
                break;
            }
            case ArgKind::integer_list: {
                std::vector<Expr> list;
                for (const std::int64_t value : graph.integers(argument.range)) list.emplace_back(value);
                found.push_back({name, list});
                break;
            }
            case ArgKind::expression_list: {
                std::vector<Expr> list;
                for (const std::int64_t value : graph.integers(argument.range))
                    list.push_back(graph.expr(value));
                found.push_back({name, list});
                break;
            }
            case ArgKind::real_list: {
                const std::span<const double> reals = graph.reals(argument.range);
                found.push_back({name, std::vector<double>(reals.begin(), reals.end())});
                break;
            }
        }
    }
    return found;
}

std::vector<NamedArgument> first_of(TensorIndex tensor, std::int64_t dim, const Expr& length) {
    return {
        {"self",  tensor   },
        {"dim",   Expr(dim)},
        {"start", Expr(0)  },
        {"end",   length   },
    };
}

}  // namespace infercost
