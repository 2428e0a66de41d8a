#include "ops/work.hpp"

namespace infercost {
namespace {

constexpr std::array<std::string_view, kTrafficCount> kTrafficNames = {"weight", "activation", "kv_cache",
                                                                       "index"};

Expr sum_of(const std::array<Expr, kTrafficCount>& parts) {
    Expr total;
    for (const Expr& part : parts) total += part;
    return total;
}

}  // namespace

std::string_view name_of(Traffic traffic) {
    return kTrafficNames[static_cast<std::size_t>(traffic)];
}

Expr Work::bytes_read() const {
    return sum_of(read);
}
Expr Work::bytes_written() const {
    return sum_of(written);
}

Work Work::substitute(const Sizes& sizes) const {
    Work bound = *this;
    for (Expr* e : {&bound.contraction_flops, &bound.causal_flops, &bound.pointwise_flops, &bound.dims.batch,
                    &bound.dims.m, &bound.dims.n, &bound.dims.k, &bound.dims.n_value, &bound.dims.shared,
                    &bound.dims.squares_2, &bound.dims.squares_4, &bound.strided_bytes}) {
        *e = e->substitute(sizes);
    }
    for (Expr& e : bound.read) e = e.substitute(sizes);
    for (Expr& e : bound.written) e = e.substitute(sizes);
    for (Expr& e : bound.slow_loops) e = e.substitute(sizes);
    bound.copied_bytes = bound.copied_bytes.substitute(sizes);
    return bound;
}

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
    for (const Expr& e : loops) mix(e);
    mix(copied_bytes);
    for (const Expr* e : {&dims.batch, &dims.m, &dims.n, &dims.k, &dims.n_value, &dims.shared,
                          &dims.squares_2, &dims.squares_4, &strided_bytes})
        mix(*e);
    for (const Expr& e : slow_loops) mix(e);
    mix(copied_bytes);
    return seed;
}

}  // namespace infercost
