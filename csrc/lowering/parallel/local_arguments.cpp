#include "lowering/parallel/local_arguments.hpp"

#include "lowering/parallel/product_axes.hpp"

namespace infercost {
namespace {

constexpr const char* kLengths[] = {"size", "shape", "sizes", "input_sizes"};

class ArgumentWriter {
  public:
    ArgumentWriter(const LocalShapes& shapes, GraphRewriter& rewriter)
        : shapes_(shapes), rewriter_(rewriter) {}

    void write(NodeIndex node) {
        const Call call = shapes_.flow().call(node);
        if (call.output_count() == 0) return;
        const TensorIndex result = call.output();
        const std::string_view op = call.op().name;
        const Relation relation = traits_of(call).relation;
        if (relation == Relation::split) return fix_parts(node, call);
        if (relation == Relation::cut) return fix_bounds(node, call, call.first_operand());
        if (relation == Relation::placed) fix_bounds(node, call, result);
        if (relation == Relation::embedding_backward && shapes_.is_split(result, 0)) {
            rewriter_.set_argument(node, {"num_weights", shapes_.local(result, 0)});
        }
        if (op == "aten.unflatten") return fix_unflatten(node, call);
        for (const char* name : kLengths) {
            const List<Expr> given = call.integers(name);
            if (given.empty() || given.size() != shapes_.flow().tensor(result).shape.count ||
                !shapes_.is_split(result))
                continue;
            std::vector<Expr> now;
            for (std::size_t i = 0; i < given.size(); ++i) {
                now.push_back(given[i] == Expr(-1) || !shapes_.is_split(result, i)
                                  ? given[i]
                                  : shapes_.local(result, i));
            }
            rewriter_.set_argument(node, {name, now});
        }
        if (call.has("repeats") && call.tensor("repeats") == kNoTensor) fix_repeats(node, call);
        if (call.has("groups") && shapes_.is_split(call.first_operand())) {
            const TensorIndex input = call.first_operand();
            const std::size_t channels = shapes_.flow().tensor(input).shape.count -
                                         shapes_.flow().tensor(call.require_tensor("weight")).shape.count + 1;
            if (shapes_.is_split(input, channels))
                rewriter_.set_argument(node, {"groups", shapes_.local(input, channels)});
        }
        if (op == "aten.arange" && call.has("end") && shapes_.is_split(result, 0)) {
            rewriter_.set_argument(node, {"end", shapes_.local(result, 0)});
        }
    }

  private:
    void fix_parts(NodeIndex node, const Call& call) {
        const int dim = dim_of(call, "dim", call.rank(call.first_operand()), 0);
        if (dim < 0 || !shapes_.is_split(call.first_operand(), dim)) return;
        std::vector<Expr> lengths;
        for (std::size_t i = 0; i < call.output_count(); ++i)
            lengths.push_back(shapes_.local(call.output(i), dim));
        if (call.has("split_sizes")) rewriter_.set_argument(node, {"split_sizes", lengths});
        if (call.has("split_size")) {
            const List<Expr> given = call.integers("split_size");
            if (given.size() > 1) {
                rewriter_.set_argument(node, {"split_size", lengths});
            } else {
                rewriter_.set_argument(node, {"split_size", lengths.front()});
            }
        }
    }

    // A part of `source` begins after the sections before it.
    void fix_bounds(NodeIndex node, const Call& call, TensorIndex source) {
        const int dim = dim_of(call, "dim", call.rank(source), 0);
        if (dim < 0 || !shapes_.is_split(source, dim) || !(call.integer("step", 1) == Expr(1))) return;
        const AxisId axis = shapes_.relations().known(source)[dim];
        std::int64_t start = shapes_.number(call.integer("start", 0));
        if (start < 0) start += shapes_.axes().length(axis);
        std::int64_t from = 0;
        std::int64_t seen = 0;
        for (const AxisId section : shapes_.axes().sections(axis)) {
            if (seen >= start) break;
            seen += shapes_.axes().length(section);
            from += shapes_.axes().local(section);
        }
        const TensorIndex part = source == call.output() ? call.first_operand() : call.output();
        const Expr length = shapes_.local(part, dim);
        rewriter_.set_argument(node, {"start", Expr(from)});
        if (call.has("length")) rewriter_.set_argument(node, {"length", length});
        if (call.has("end")) rewriter_.set_argument(node, {"end", Expr(from) + length});
    }

    void fix_unflatten(NodeIndex node, const Call& call) {
        const int dim = dim_of(call, "dim", call.rank(call.first_operand()), 0);
        const List<Expr> given = call.integers("sizes");
        if (dim < 0 || given.empty()) return;
        std::vector<Expr> now;
        for (std::size_t i = 0; i < given.size(); ++i) {
            const std::size_t place = static_cast<std::size_t>(dim) + i;
            now.push_back(given[i] == Expr(-1) || !shapes_.is_split(call.output(), place)
                              ? given[i]
                              : shapes_.local(call.output(), place));
        }
        rewriter_.set_argument(node, {"sizes", now});
    }

    void fix_repeats(NodeIndex node, const Call& call) {
        const TensorIndex source = call.first_operand();
        const TensorIndex result = call.output();
        if (!shapes_.is_split(result)) return;
        const List<Expr> given = call.integers("repeats");
        const std::size_t after = shapes_.flow().tensor(result).shape.count;
        const std::size_t before = shapes_.flow().tensor(source).shape.count;
        if (call.has("dim")) {
            const int dim = dim_of(call, "dim", call.rank(source), 0);
            if (dim < 0) return;
            rewriter_.set_argument(node,
                                   {"repeats", shapes_.local(result, dim) / shapes_.local(source, dim)});
            return;
        }
        if (given.size() != after || after < before) return;
        std::vector<Expr> now;
        for (std::size_t i = 0; i < after; ++i) {
            const Expr own = i < after - before ? Expr(1) : shapes_.local(source, i - (after - before));
            now.push_back(shapes_.is_split(result, i) ? shapes_.local(result, i) / own : given[i]);
        }
        rewriter_.set_argument(node, {"repeats", now});
    }

    const LocalShapes& shapes_;
    GraphRewriter& rewriter_;
};

}  // namespace

void write_arguments(const LocalShapes& shapes, GraphRewriter& rewriter) {
    ArgumentWriter writer(shapes, rewriter);
    for (NodeIndex i = 0; i < shapes.flow().count(); ++i) writer.write(i);
}

}  // namespace infercost
