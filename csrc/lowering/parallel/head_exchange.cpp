#include "lowering/parallel/head_exchange.hpp"

#include <map>
#include <string>

#include "core/errors.hpp"
#include "lowering/parallel/node_arguments.hpp"
#include "ops/collective.hpp"

namespace infercost {
namespace {

constexpr std::size_t kHeads = 3;  // dimensions from heads on: [..., heads, tokens, width]

class Exchanger {
  public:
    Exchanger(GraphRewriter& rewriter, const Flow& flow, const HeadExchange& exchange)
        : rewriter_(rewriter), flow_(flow), exchange_(exchange), call_(flow.call(exchange.attention)) {}

    void run() {
        if (call_.output_count() != 1) refuse("has several results");
        for (const char* name : {"attn_mask", "attn_bias"}) {
            const TensorIndex mask = call_.tensor(name);
            if (mask != kNoTensor && !(exchange_.local(mask) == exchange_.whole(mask)))
                refuse("has a mask over the tokens");
        }
        std::map<TensorIndex, TensorIndex> now;
        for (const char* name : {"query", "key", "value"}) {
            const TensorIndex t = call_.require_tensor(name);
            if (now.contains(t)) continue;
            const TensorIndex given = made(t, with_some_heads(t, name));
            rewriter_.insert_before(exchange_.attention, kAllToAll, group(t), {&given, 1});
            now.emplace(t, given);
        }
        const TensorIndex result = call_.output();
        const TensorIndex attended = made(result, with_some_heads(result, "query"));
        std::vector<NamedArgument> arguments =
            arguments_of(rewriter_.graph(), rewriter_.graph().nodes()[exchange_.attention]);
        for (NamedArgument& argument : arguments) {
            TensorIndex* operand = std::get_if<TensorIndex>(&argument.value);
            if (operand && now.contains(*operand)) *operand = now.at(*operand);
        }
        rewriter_.insert_before(exchange_.attention, call_.op().full, arguments, {&attended, 1});
        rewriter_.replace(exchange_.attention, kAllToAll, group(attended));
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw InputError("ulysses=1 cannot divide this model: the attention of '" +
                         flow_.module(exchange_.attention) + "' " + why +
                         "; expected ulysses=0, which gathers keys and values");
    }

    std::vector<Expr> with_some_heads(TensorIndex t, const std::string& name) const {
        std::vector<Expr> shape = exchange_.whole(t);
        if (shape.size() < kHeads) refuse("has no dimension of heads");
        Expr& heads = shape[shape.size() - kHeads];
        const bool fits = heads.is_constant() && heads.constant() % exchange_.devices == 0;
        if (!fits) {
            throw InputError("context=" + std::to_string(exchange_.devices) +
                             " with ulysses=1 does not divide the " +
                             (heads.is_constant() ? std::to_string(heads.constant()) + " " : std::string()) +
                             "heads of " + name + " of '" + flow_.module(exchange_.attention) +
                             "'; expected context to be a divisor of them, or ulysses=0");
        }
        heads = Expr(heads.constant() / exchange_.devices);
        return shape;
    }

    TensorIndex made(TensorIndex like, const std::vector<Expr>& shape) {
        return rewriter_.add_tensor(flow_.tensor(like).dtype, shape, std::nullopt, Role::activation, "");
    }
    std::vector<NamedArgument> group(TensorIndex input) const {
        return {
            {"input",   input                  },
            {"devices", Expr(exchange_.devices)},
            {"nodes",   Expr(exchange_.nodes)  },
        };
    }

    GraphRewriter& rewriter_;
    const Flow& flow_;
    const HeadExchange& exchange_;
    Call call_;
};

}  // namespace

void exchange_heads(GraphRewriter& rewriter, const Flow& flow, const HeadExchange& exchange) {
    Exchanger(rewriter, flow, exchange).run();
}

}  // namespace infercost
