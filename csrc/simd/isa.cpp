#include "simd/isa.hpp"

#include "core/errors.hpp"

namespace infercost {

std::string_view name_of(Isa isa) {
    switch (isa) {
        case Isa::baseline:
            return "baseline";
        case Isa::avx2:
            return "avx2";
        case Isa::avx512:
            return "avx512";
    }
    return "";
}

const std::vector<Isa>& available_isas() {
    static const std::vector<Isa> found = [] {
        std::vector<Isa> isas = {Isa::baseline};
#ifdef INFERCOST_X86_DISPATCH
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2")) isas.push_back(Isa::avx2);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
            isas.push_back(Isa::avx512);
#endif
        return isas;
    }();
    return found;
}

Isa best_isa() {
    return available_isas().back();
}

Isa parse_isa(std::string_view name) {
    std::string known;
    for (const Isa isa : available_isas()) {
        if (name_of(isa) == name) return isa;
        known += (known.empty() ? "" : ", ") + std::string(name_of(isa));
    }
    throw InputError("instruction set '" + std::string(name) + "' cannot run on this machine; use one of " +
                     known);
}

}  // namespace infercost
