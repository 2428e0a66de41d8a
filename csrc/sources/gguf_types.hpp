// The types of tensors in GGUF files, in blocks of 32, 64, 128 or 256 weights.
//
// Sizes are from the structures of ggml (ggml/src/ggml-common.h). A type stores most bits of each weight as
// elements of a dtype. The rest of a block is its metadata: scales, minima, and the bits that do not fit the
// dtype.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/dtype.hpp"

namespace infercost {

struct GgmlType {
    std::int32_t number = 0;       // in files
    std::string_view name;         // in ggml
    std::int64_t weights = 1;      // of a block
    std::int64_t bytes = 0;        // of a block
    DType dtype = DType::float32;  // of an element
    std::string_view format;       // of weights in blocks; empty for plain elements
    std::int64_t values = 1;       // weights in an element
    std::int64_t group = 0;        // weights that share metadata
    std::int64_t block_bytes = 0;  // of metadata of a group, where it has no scale of a dtype
    DType scale = DType::count_;   // dtype of the scale of a group; count_: none
    std::int64_t bits = 0;         // of a weight, with those in the metadata
};

constexpr GgmlType plain_type(std::int32_t number, std::string_view name, std::int64_t bytes, DType dtype) {
    GgmlType made;
    made.number = number;
    made.name = name;
    made.bytes = bytes;
    made.dtype = dtype;
    return made;
}

// `stored` are the bits of an element of one weight: 2, 4 or 8; 1 for eight weights in a byte.
constexpr GgmlType block_type(std::int32_t number, std::string_view name, std::string_view format,
                              std::int64_t weights, std::int64_t bytes, std::int64_t stored,
                              std::int64_t bits) {
    GgmlType made = plain_type(number, name, bytes,
                               stored == 1   ? DType::uint8
                               : stored == 2 ? DType::int2
                               : stored == 4 ? DType::int4
                                             : DType::int8);
    made.format = format;
    made.weights = weights;
    made.values = stored == 1 ? 8 : 1;
    made.group = weights;
    made.block_bytes = bytes - weights * stored / 8;
    made.bits = bits;
    return made;
}

constexpr GgmlType scaled_type(std::int32_t number, std::string_view name, std::string_view format,
                               std::int64_t weights, std::int64_t bytes, DType dtype, std::int64_t group,
                               DType scale) {
    GgmlType made = plain_type(number, name, bytes, dtype);
    made.format = format;
    made.weights = weights;
    made.values = dtype == DType::float4_e2m1fn_x2 ? 2 : 1;
    made.group = group;
    made.scale = scale;
    return made;
}

inline constexpr std::array kGgmlTypes = {
    plain_type(0, "F32", 4, DType::float32),
    plain_type(1, "F16", 2, DType::float16),
    scaled_type(2, "Q4_0", "q4_0", 32, 18, DType::int4, 32, DType::float16),
    block_type(3, "Q4_1", "q4_1", 32, 20, 4, 4),
    block_type(6, "Q5_0", "q5_0", 32, 22, 4, 5),
    block_type(7, "Q5_1", "q5_1", 32, 24, 4, 5),
    scaled_type(8, "Q8_0", "q8_0", 32, 34, DType::int8, 32, DType::float16),
    block_type(9, "Q8_1", "q8_1", 32, 36, 8, 8),
    block_type(10, "Q2_K", "q2_k", 256, 84, 2, 2),
    block_type(11, "Q3_K", "q3_k", 256, 110, 2, 3),
    block_type(12, "Q4_K", "q4_k", 256, 144, 4, 4),
    block_type(13, "Q5_K", "q5_k", 256, 176, 4, 5),
    block_type(14, "Q6_K", "q6_k", 256, 210, 4, 6),
    block_type(15, "Q8_K", "q8_k", 256, 292, 8, 8),
    block_type(16, "IQ2_XXS", "iq2_xxs", 256, 66, 2, 2),
    block_type(17, "IQ2_XS", "iq2_xs", 256, 74, 2, 2),
    block_type(18, "IQ3_XXS", "iq3_xxs", 256, 98, 2, 3),
    block_type(19, "IQ1_S", "iq1_s", 256, 50, 1, 2),
    block_type(20, "IQ4_NL", "iq4_nl", 32, 18, 4, 4),
    block_type(21, "IQ3_S", "iq3_s", 256, 110, 2, 3),
    block_type(22, "IQ2_S", "iq2_s", 256, 82, 2, 2),
    block_type(23, "IQ4_XS", "iq4_xs", 256, 136, 4, 4),
    plain_type(24, "I8", 1, DType::int8),
    plain_type(25, "I16", 2, DType::int16),
    plain_type(26, "I32", 4, DType::int32),
    plain_type(27, "I64", 8, DType::int64),
    plain_type(28, "F64", 8, DType::float64),
    block_type(29, "IQ1_M", "iq1_m", 256, 56, 1, 2),
    plain_type(30, "BF16", 2, DType::bfloat16),
    block_type(34, "TQ1_0", "tq1_0", 256, 54, 1, 2),
    block_type(35, "TQ2_0", "tq2_0", 256, 66, 2, 2),
    scaled_type(39, "MXFP4", "mxfp4_wo", 32, 17, DType::float4_e2m1fn_x2, 32, DType::uint8),
    scaled_type(40, "NVFP4", "nvfp4_wo", 64, 36, DType::float4_e2m1fn_x2, 16, DType::float8_e4m3fn),
    block_type(41, "Q1_0", "q1_0", 128, 18, 1, 1),
};

// nullptr for a number that no type has.
constexpr const GgmlType* find_ggml_type(std::uint32_t number) {
    for (const GgmlType& type : kGgmlTypes) {
        if (static_cast<std::uint32_t>(type.number) == number) return &type;
    }
    return nullptr;
}

}  // namespace infercost
