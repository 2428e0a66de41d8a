#include "ops/work.hpp"

namespace infercost {
namespace {

constexpr EnumArray<Traffic, std::string_view> kTrafficNames = {"weight", "activation", "kv_cache", "index"};

Expr sum_of(const EnumArray<Traffic, Expr>& parts) {
    Expr total;
    for (const Expr& part : parts) total += part;
    return total;
}

}  // namespace

std::string_view name_of(Traffic traffic) {
    return kTrafficNames[traffic];
}

Expr Work::bytes_read() const {
    return sum_of(read);
}
Expr Work::bytes_written() const {
    return sum_of(written);
}

std::vector<Expr*> Work::quantities() {
    std::vector<Expr*> all = {&contraction_flops,
                              &causal_flops,
                              &pointwise_flops,
                              &dims.batch,
                              &dims.m,
                              &dims.n,
                              &dims.k,
                              &dims.n_value,
                              &dims.shared,
                              &dims.images,
                              &exchange.message_bytes,
                              &exchange.sent_bytes};
    for (Expr& e : read) all.push_back(&e);
    for (Expr& e : written) all.push_back(&e);
    return all;
}

Work Work::substitute(const Sizes& sizes) const {
    Work bound = *this;
    for (Expr* e : bound.quantities()) *e = e->substitute(sizes);
    return bound;
}

std::size_t Work::hash() const {
    std::size_t seed = static_cast<std::size_t>(kind) * kDTypeCount + static_cast<std::size_t>(dtype);
    const auto mix = [&seed](const Expr& e) {
        seed ^= e.hash() + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2);
    };
    mix(contraction_flops);
    mix(pointwise_flops);
    for (const Expr& e : read) mix(e);
    for (const Expr& e : written) mix(e);
    for (const Expr* e : {&dims.batch, &dims.m, &dims.n, &dims.k, &dims.n_value, &exchange.message_bytes})
        mix(*e);
    return seed;
}

}  // namespace infercost
