#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "core/errors.hpp"
#include "ops/rule.hpp"

namespace infercost {

const std::vector<Family>& families() {
    static const std::vector<Family> all = {
        {"contraction",          contraction_rules()         },
        {"convolution",          convolution_rules()         },
        {"recurrent",            recurrent_rules()           },
        {"multilinear",          multilinear_rules()         },
        {"attention",            attention_rules()           },
        {"normalization",        normalization_rules()       },
        {"pointwise",            pointwise_rules()           },
        {"reduction",            reduction_rules()           },
        {"movement",             movement_rules()            },
        {"indexing",             indexing_rules()            },
        {"pooling",              pooling_rules()             },
        {"sampling",             sampling_rules()            },
        {"creation",             creation_rules()            },
        {"special",              special_rules()             },
        {"loss",                 loss_rules()                },
        {"fourier",              fourier_rules()             },
        {"linalg",               linalg_rules()              },
        {"vllm_kernels",         vllm_kernel_rules()         },
        {"engine_kernels",       engine_kernel_rules()       },
        {"collective",           collective_rules()          },
        {"quantized",            quantized_rules()           },
        {"quantized elements",   quantized_element_rules()   },
        {"backward_contraction", backward_contraction_rules()},
        {"backward_pointwise",   backward_pointwise_rules()  },
        {"backward_movement",    backward_movement_rules()   },
        {"foreach",              foreach_rules()             },
        {"sparse",               sparse_rules()              },
        {"transformer",          transformer_rules()         },
    };
    return all;
}

namespace {

const std::unordered_map<std::string_view, const OpRule*>& table() {
    static const auto rows = [] {
        std::unordered_map<std::string_view, const OpRule*> map;
        for (const Family& family : families()) {
            for (const OpRule& row : family.rows) {
                if (!map.emplace(row.op, &row).second) {
                    throw std::logic_error("op '" + std::string(row.op) + "' has two rows; expected one");
                }
            }
        }
        return map;
    }();
    return rows;
}

}  // namespace

const OpRule* find_rule(const OpName& op) {
    const auto look = [](const std::string& key) -> const OpRule* {
        const auto found = table().find(key);
        return found == table().end() ? nullptr : found->second;
    };
    if (const OpRule* exact = look(op.name + "." + op.overload)) return exact;
    if (const OpRule* named = look(op.name)) return named;
    if (op.name.back() != '_') return nullptr;
    const std::string functional = op.name.substr(0, op.name.size() - 1);
    if (const OpRule* exact = look(functional + "." + op.overload)) return exact;
    return look(functional);
}

const OpTraits& traits_of(const Call& call) {
    static constexpr OpTraits kNone;
    return call.rule() ? call.rule()->traits : kNone;
}

std::vector<const OpRule*> rules_of(const Graph& graph) {
    std::vector<const OpRule*> rules;
    rules.reserve(graph.ops().size());
    for (const OpName& op : graph.ops()) rules.push_back(find_rule(op));
    return rules;
}

Analyzer::Analyzer(std::shared_ptr<const Graph> graph, const Sizes& sizes, const Precision& precision,
                   const Overrides* overrides)
    : graph_(std::move(graph)), pass_(*graph_, sizes, precision) {
    if (!overrides || overrides->empty()) return;
    overrides_.resize(graph_->nodes().size(), nullptr);
    for (const auto& [node, work] : *overrides) {
        if (node < 0 || static_cast<std::size_t>(node) >= overrides_.size()) {
            throw InputError("a rule is given for node " + std::to_string(node) + "; the graph has " +
                             std::to_string(overrides_.size()) + " nodes");
        }
        overrides_[node] = &work;
    }
}

const Work& Analyzer::analyze(NodeIndex index) {
    const auto at = static_cast<std::size_t>(index);
    const Node& node = graph_->nodes()[at];
    const Call call(pass_, node);
    const OpRule* rule = call.rule();
    if (!has_override(index) && rule) return known(call, *rule).work;
    own_ = Known{};
    own_.work.modelled = false;
    if (has_override(index)) {
        own_.work = overrides_[at]->substitute(pass_.sizes);
        check(call, own_.work);
    }
    return own_.work;
}

const Analyzer::Known& Analyzer::known(const Call& call, const OpRule& rule) {
    const std::optional<std::size_t> number = calls_.number_of(call);
    if (number && *number >= known_.size()) known_.resize(*number + 1);
    Known& found = number ? known_[*number] : own_;
    if (number && found.counted) {
        if (found.aliases) alias(call, rule.traffic.each);
        return found;
    }
    found = Known{};
    call.within([&] { count(call, rule, found); });
    check(call, found.work);
    found.counted = true;
    return found;
}

// Quantities that cannot be: of a window of -1 cells, or of -2 groups.
void Analyzer::check(const Call& call, Work& work) {
    for (const Expr* quantity : work.quantities()) call.require_nonnegative(*quantity);
    call.require_nonnegative(Expr(work.dims.filter_elements));
}

void Analyzer::count(const Call& call, const OpRule& rule, Known& made) {
    // Storage first: it determines whether a result is written.
    made.aliases = rule.traffic.aliases(call) && call.output_count() > 0;
    if (made.aliases) alias(call, rule.traffic.each);
    rule.work(call, made.work);
    rule.traffic.bytes(call, made.work);
}

// Results that are views, or written in place, lie in the storage of an operand.
void Analyzer::alias(const Call& call, bool each) {
    List<TensorIndex> bases(call.output_count(), call.first_operand());
    if (each) {
        std::size_t next = 0;
        call.for_each_input([&](TensorIndex t) {
            if (next < bases.size()) bases[next++] = t;
        });
    }
    for (std::size_t i = 0; i < bases.size(); ++i) pass_.storage.alias(call.output(i), bases[i]);
}

}  // namespace infercost
