// Lengths of the tensors of one rank.
#pragma once

#include <concepts>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lowering/parallel/expert_loads.hpp"
#include "lowering/parallel/layout.hpp"
#include "lowering/parallel/relations.hpp"
#include "lowering/parallel/token_shares.hpp"

namespace infercost {

class LocalShapes {
  public:
    LocalShapes(const Graph& graph, Relations& relations, const Layout& layout, const TokenShares& tokens)
        : graph_(graph),
          relations_(relations),
          layout_(layout),
          tokens_(tokens),
          loads_(loads_by_rows(relations, layout)) {}

    const Graph& graph() const { return graph_; }
    Relations& relations() const { return relations_; }
    const Layout& layout() const { return layout_; }
    const TokenShares& tokens() const { return tokens_; }
    const Flow& flow() const { return relations_.flow(); }
    const Axes& axes() const { return relations_.axes(); }
    const std::map<AxisId, ExpertLoads>& loads() const { return loads_; }
    std::int64_t number(const Expr& value) const { return relations_.number(value); }
    void keep_whole(TensorIndex weight) { whole_.insert(weight); }

    bool is_split(TensorIndex t, std::integral auto dim) const {
        const AxisList& known = relations_.known(t);
        if (std::cmp_greater_equal(dim, known.size()) || !axes().is_split(known[dim]) || whole_.contains(t))
            return false;
        return !is_weight(t) || axes().local_of_all_tokens(known[dim]) != axes().length(known[dim]);
    }
    bool is_split(TensorIndex t) const {
        for (std::size_t i = 0; i < relations_.known(t).size(); ++i) {
            if (is_split(t, i)) return true;
        }
        return false;
    }

    Expr local(TensorIndex t, std::integral auto dim) const {
        return local(t, dim, tokens_.tensors.contains(t));
    }
    // With the tokens of all ranks of `context`.
    std::vector<Expr> shape_of_all_tokens(TensorIndex t) const {
        std::vector<Expr> shape = local_shape(t);
        for (std::size_t i = 0; i < shape.size(); ++i) {
            if (!has_tokens(t, i)) continue;
            const AxisId axis = relations_.known(t)[i];
            shape[i] = scaled(flow().shape(t)[i], axes().local_of_all_tokens(axis), axes().length(axis));
        }
        return shape;
    }
    bool has_tokens(TensorIndex t, std::size_t dim) const {
        if (!is_split(t, dim)) return false;
        const AxisId axis = relations_.known(t)[dim];
        return axes().local_of_all_tokens(axis) != axes().local(axis);
    }
    bool has_tokens(TensorIndex t) const {
        for (std::size_t i = 0; i < relations_.known(t).size(); ++i) {
            if (has_tokens(t, i)) return true;
        }
        return false;
    }
    std::vector<Expr> local_shape(TensorIndex t) const { return local_shape(t, tokens_.tensors.contains(t)); }
    // With the tokens that a rank has where they are shared, or with the others.
    std::vector<Expr> local_shape(TensorIndex t, bool shared) const {
        std::vector<Expr> shape;
        for (std::size_t i = 0; i < flow().tensor(t).shape.count; ++i) shape.push_back(local(t, i, shared));
        return shape;
    }

    // A stride grows with the lengths of the dimensions inside it.
    std::vector<Expr> local_strides(TensorIndex t) const {
        const std::span<const Dim> shape = graph_.dims(flow().tensor(t).shape);
        const std::span<const Dim> strides = graph_.dims(flow().tensor(t).strides);
        std::vector<Expr> found;
        for (std::size_t i = 0; i < strides.size(); ++i) {
            const Expr stride = graph_.expr(strides[i]);
            std::int64_t now = 1;
            std::int64_t before = 1;
            for (std::size_t j = 0; j < strides.size(); ++j) {
                if (j == i || !is_split(t, j) || number(graph_.expr(strides[j])) >= number(stride)) continue;
                const std::int64_t all = number(graph_.expr(shape[j]));
                const std::int64_t own = number(local(t, j, false));
                const std::int64_t common = std::gcd(own, all);
                now *= own / common;
                before *= all / common;
            }
            const Expr own = tokens_.tensors.contains(t) ? stride.substitute(tokens_.replaced) : stride;
            found.push_back(scaled(own, now, before));
        }
        return found;
    }

    // Shares of the weights.
    std::vector<Share> shares() const {
        std::vector<Share> found;
        for (std::size_t i = 0; i < graph_.tensors().size(); ++i) {
            const auto t = static_cast<TensorIndex>(i);
            const Tensor& tensor = flow().tensor(t);
            if (tensor.role != Role::parameter && tensor.role != Role::buffer) continue;
            std::int64_t own = 1;
            for (const Expr& length : local_shape(t)) own *= number(length);
            const std::int64_t all = number(flow().numel(t));
            found.push_back({graph_.name(tensor.name), own, all, own == all ? why_whole(t) : ""});
        }
        return found;
    }

  private:
    // Weights of positions are of all tokens.
    bool is_weight(TensorIndex t) const {
        const Role role = flow().tensor(t).role;
        return role == Role::parameter || role == Role::buffer;
    }
    Expr local(TensorIndex t, std::integral auto dim, bool shared) const {
        Expr whole = graph_.expr(graph_.dim(flow().tensor(t).shape, dim));
        if (shared) whole = whole.substitute(tokens_.replaced);
        if (!is_split(t, dim)) return whole;
        const AxisId axis = relations_.known(t)[dim];
        if (axes().is_leaf(axis) && axes().info(axis).busiest > 0)
            return loads_.at(axes().root(axis)).rows(whole);
        if (axes().is_leaf(axis) && axes().info(axis).unit == 1 && !is_weight(t))
            return Expr::ceil_div(whole, axes().info(axis).splits);
        const Axes::Length own = is_weight(t) ? axes().local_of_all_tokens(axis) : axes().local(axis);
        return scaled(whole, own, axes().length(axis));
    }
    static Expr scaled(const Expr& whole, std::int64_t now, std::int64_t before) {
        const std::int64_t common = std::gcd(now, before);
        const Expr many = whole * (now / common);
        // Blocks of a packed weight, of which the last may be shorter.
        if (whole.is_constant()) return Expr::ceil_div(many, before / common);
        return many / (before / common);
    }
    std::string why_whole(TensorIndex t) const {
        if (layout_.tensor == 1 || flow().tensor(t).role != Role::parameter) return "";
        if (whole_.contains(t)) return "a norm needs them all";
        for (const AxisId axis : relations_.known(t)) {
            if (std::string why = axes().why(axis); !why.empty()) return why;
        }
        return "no product sums over them";
    }

    const Graph& graph_;
    Relations& relations_;
    const Layout& layout_;
    const TokenShares& tokens_;
    std::map<AxisId, ExpertLoads> loads_;
    std::set<TensorIndex> whole_;  // weights that stay whole
};

}  // namespace infercost
