// Element types: torch's name, the short name that data sheets use, and the true width in bits (an int4 is
// half a byte).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/indexed.hpp"

namespace infercost {

enum class DType : std::uint8_t {
    float64,
    float32,
    tfloat32,  // not a storage type: fp32 operands rounded on the way into a matrix unit
    float16,
    bfloat16,
    float8_e4m3fn,
    float8_e5m2,
    float4_e2m1fn_x2,
    int64,
    int32,
    int16,
    int8,
    int4,
    int2,
    uint64,
    uint32,
    uint16,
    uint8,
    boolean,
    complex128,
    complex64,
    complex32,
    count_
};

inline constexpr std::size_t kDTypeCount = static_cast<std::size_t>(DType::count_);

struct DTypeRow {
    std::string_view name;  // torch's; tf32 has none there
    std::string_view
        short_name;  // of data sheets: fp16, int8; empty where hardware has no engine of the type
    int bits;        // of an element
    int values;      // in an element: float4_e2m1fn_x2 packs two into a byte
    bool floating;
};

// The table of names, in the order of the enumeration.
inline constexpr EnumArray<DType, DTypeRow> kDTypes = {{{
    {"float64", "fp64", 64, 1, true},   {"float32", "fp32", 32, 1, true},
    {"tf32", "tf32", 32, 1, true},      {"float16", "fp16", 16, 1, true},
    {"bfloat16", "bf16", 16, 1, true},  {"float8_e4m3fn", "fp8", 8, 1, true},
    {"float8_e5m2", "fp8", 8, 1, true}, {"float4_e2m1fn_x2", "fp4", 8, 2, true},
    {"int64", "", 64, 1, false},        {"int32", "", 32, 1, false},
    {"int16", "", 16, 1, false},        {"int8", "int8", 8, 1, false},
    {"int4", "int4", 4, 1, false},      {"int2", "", 2, 1, false},
    {"uint64", "", 64, 1, false},       {"uint32", "", 32, 1, false},
    {"uint16", "", 16, 1, false},       {"uint8", "", 8, 1, false},
    {"bool", "", 8, 1, false},          {"complex128", "", 128, 1, false},
    {"complex64", "", 64, 1, false},    {"complex32", "", 32, 1, false},
}}};

// Whether a short name means this dtype: two kinds of fp8 share one, and it means the first of them.
constexpr bool owns_short_name(DType dtype) {
    const std::string_view name = kDTypes[dtype].short_name;
    for (std::size_t i = 0; i < static_cast<std::size_t>(dtype); ++i) {
        if (kDTypes[i].short_name == name) return false;
    }
    return !name.empty();
}

// The width of one element.
int bits_of(DType dtype);
bool is_floating(DType dtype);
bool is_complex(DType dtype);
std::string_view name_of(DType dtype);

// Accepts torch's names with or without the "torch." prefix and the variants that share a width and an
// engine (float8_e4m3fnuz, qint8, ...). Throws InputError for anything else.
DType parse_dtype(std::string_view name);

}  // namespace infercost
