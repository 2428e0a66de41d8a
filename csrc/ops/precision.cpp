#include "ops/precision.hpp"

#include "core/errors.hpp"

namespace infercost {
namespace {

using enum DType;

// fp8 and int8 only narrow the operands of contractions; all other tensors are bf16.
constexpr Precision kPrecisions[] = {
    {"native",   true,  float32,  float32,       float32,       {}      },
    {"fp64",     false, float64,  float64,       float64,       {}      },
    {"fp32",     false, float32,  float32,       float32,       {}      },
    {"tf32",     false, float32,  float32,       tfloat32,      {}      },
    {"fp16",     false, float16,  float16,       float16,       {}      },
    {"bf16",     false, bfloat16, bfloat16,      bfloat16,      {}      },
    {"amp_fp16", true,  float32,  float32,       float32,       float16 },
    {"amp_bf16", true,  float32,  float32,       float32,       bfloat16},
    {"fp8",      false, bfloat16, float8_e4m3fn, float8_e4m3fn, {}      },
    {"int8",     false, bfloat16, int8,          int8,          {}      },
};

}  // namespace

Precision parse_precision(std::string_view name) {
    std::string known;
    for (const Precision& precision : kPrecisions) {
        if (precision.name == name) return precision;
        known += (known.empty() ? "" : ", ") + std::string(precision.name);
    }
    throw InputError("unknown precision '" + std::string(name) + "'; expected one of " + known);
}

std::vector<std::string> precision_names() {
    std::vector<std::string> names;
    for (const Precision& precision : kPrecisions) names.emplace_back(precision.name);
    return names;
}

}  // namespace infercost
