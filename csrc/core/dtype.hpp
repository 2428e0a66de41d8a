// Element types as torch spells them, with their true width in bits (an int4 is half a byte).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

// The width of one element; float4_e2m1fn_x2 packs two values in the byte that torch calls an element.
int bits_of(DType dtype);
bool is_floating(DType dtype);
bool is_complex(DType dtype);
std::string_view name_of(DType dtype);

// Accepts torch's names with or without the "torch." prefix and the variants that share a width and an
// engine (float8_e4m3fnuz, qint8, ...). Throws std::invalid_argument for anything else.
DType parse_dtype(std::string_view name);

}  // namespace infercost
