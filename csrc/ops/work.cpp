#include "ops/work.hpp"

#include <stdexcept>
#include <string>

namespace infercost {
namespace {

constexpr std::array<std::string_view, kWorkKindCount> kKindNames = {
    "free",    "gemm",   "convolution", "attention", "pointwise", "reduction", "softmax", "normalization",
    "pooling", "gather", "scatter",     "copy",      "fill",      "sort",      "scan",    "unknown"};

constexpr std::array<std::string_view, kTrafficCount> kTrafficNames = {"weight", "activation", "kv_cache", "index"};

Expr sum_of(const std::array<Expr, kTrafficCount>& parts) {
    Expr total;
    for (const Expr& part : parts) total += part;
    return total;
}

}  // namespace

std::string_view name_of(WorkKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }
std::string_view name_of(Traffic traffic) { return kTrafficNames[static_cast<std::size_t>(traffic)]; }

WorkKind parse_work_kind(std::string_view name) {
    for (std::size_t i = 0; i < kWorkKindCount; ++i) {
        if (kKindNames[i] == name) return static_cast<WorkKind>(i);
    }
    std::string known;
    for (const std::string_view kind : kKindNames) known += (known.empty() ? "" : ", ") + std::string(kind);
    throw std::invalid_argument("unknown kind of work '" + std::string(name) + "'; expected one of " + known);
}

Expr Work::bytes_read() const { return sum_of(read); }
Expr Work::bytes_written() const { return sum_of(written); }

std::size_t Work::hash() const {
    std::size_t seed = static_cast<std::size_t>(kind) * kDTypeCount + static_cast<std::size_t>(dtype);
    const auto mix = [&seed](const Expr& e) {
        seed ^= e.hash() + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2);
    };
    mix(contraction_flops);
    mix(causal_flops);
    mix(pointwise_flops);
    for (const Expr& e : read) mix(e);
    for (const Expr& e : written) mix(e);
    for (const Expr* e : {&dims.batch, &dims.m, &dims.n, &dims.k, &dims.n_value}) mix(*e);
    return seed;
}

}  // namespace infercost
