#include "lowering/parallel/key_gathering.hpp"

#include <optional>

#include "ops/collective.hpp"

namespace infercost {
namespace {

std::vector<Expr> dense_strides(const std::vector<Expr>& dims) {
    std::vector<Expr> strides(dims.size(), Expr(1));
    for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
    return strides;
}

}  // namespace

std::vector<TensorIndex> gather_parts(GraphRewriter& rewriter, NodeIndex before,
                                      std::span<const GatheredPart> parts, std::int64_t devices,
                                      std::int64_t nodes) {
    const auto made = [&](const GatheredPart& like, const std::vector<Expr>& dims) {
        return rewriter.add_tensor(like.dtype, dims, std::nullopt, Role::activation, "");
    };
    std::vector<TensorIndex> flat;
    std::vector<Expr> sizes;
    Expr all = 0;
    for (const GatheredPart& part : parts) {
        sizes.push_back(product(part.local));
        all = all + sizes.back();
        flat.push_back(made(part, {sizes.back()}));
        const NamedArgument view[] = {
            {"self", part.tensor                    },
            {"size", std::vector<Expr>{sizes.back()}},
        };
        rewriter.insert_before(before, "aten.view.default", view, {&flat.back(), 1});
    }
    TensorIndex sent = flat.front();
    if (parts.size() > 1) {
        sent = made(parts.front(), {all});
        const NamedArgument both[] = {
            {"tensors", flat   },
            {"dim",     Expr(0)},
        };
        rewriter.insert_before(before, "aten.cat.default", both, {&sent, 1});
    }
    const TensorIndex whole = made(parts.front(), {all * devices});
    const NamedArgument group[] = {
        {"input",   sent         },
        {"devices", Expr(devices)},
        {"nodes",   Expr(nodes)  },
    };
    rewriter.insert_before(before, kAllGather, group, {&whole, 1});
    std::vector<TensorIndex> found;
    Expr start = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        found.push_back(made(parts[i], parts[i].whole));
        const NamedArgument view[] = {
            {"self",           whole                        },
            {"size",           parts[i].whole               },
            {"stride",         dense_strides(parts[i].whole)},
            {"storage_offset", start                        },
        };
        rewriter.insert_before(before, "aten.as_strided.default", view, {&found.back(), 1});
        start = start + sizes[i] * devices;
    }
    return found;
}

}  // namespace infercost
