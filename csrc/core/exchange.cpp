#include "core/exchange.hpp"

#include "core/errors.hpp"
#include "core/names.hpp"

namespace infercost {
namespace {

void require(bool holds, const char* what, std::int64_t value, const std::string& expected) {
    if (holds) return;
    throw InputError(std::string(what) + " is " + std::to_string(value) + "; expected " + expected);
}

}  // namespace

Collective parse_collective(std::string_view name) {
    return parse_name<Collective>(kCollectives, name, "collective");
}

ExchangeKernel parse_exchange_kernel(std::string_view name) {
    return parse_name<ExchangeKernel>(kExchangeKernels, name, "kernel of a collective");
}

void check(const ExchangeGroup& group) {
    require(group.devices >= 1, "devices", group.devices, "a whole number, 1 or more");
    require(group.nodes >= 1 && group.nodes <= group.devices, "nodes", group.nodes,
            "1 to the " + std::to_string(group.devices) + " devices");
    require(group.share >= kBalanced, "share", group.share, "1000 (balanced) or more, in thousandths");
    const bool tokens = group.kernel == ExchangeKernel::low_latency || group.kernel == ExchangeKernel::normal;
    const bool reduction = group.kernel == ExchangeKernel::push;
    if ((tokens && !exchanges_tokens(group.op)) || (reduction && group.op != Collective::all_reduce)) {
        throw InputError("kernel '" + std::string(kExchangeKernels[group.kernel]) + "' does no " +
                         std::string(kCollectives[group.op]) + "; expected 'library' or 'engine'");
    }
    if (!exchanges_tokens(group.op)) return;
    require(group.experts >= 1, "experts", group.experts, "a whole number, 1 or more");
    require(group.top_k >= 1 && group.top_k <= group.experts, "top_k", group.top_k,
            "1 to the " + std::to_string(group.experts) + " experts");
    require(group.token_bytes >= 1, "token_bytes", group.token_bytes, "the bytes of a token, 1 or more");
    require(group.cores >= 1, "cores", group.cores, "a whole number, 1 or more");
}

}  // namespace infercost
