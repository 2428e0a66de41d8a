// Tables of constants for kernels of GPUs that differ by their operands or their function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/indexed.hpp"

namespace infercost {

// Products, by their operands: [tiles_NAME].
enum class TileTable : std::uint8_t {
    matrix,
    vector,
    convolution,  // on the vector unit; on the matrix unit they are products
    int8,
    fp8,
    fp4,
    grouped,  // several matrices of weights, as in mixtures of experts
    grouped8,
    grouped_blocks,  // of operands whose rows have several scales
    weight8,         // weights that are widened to the dtype of activations while they are read
    weight4,
    tuned,  // of a compiler that times many kernels for each shape and keeps the fastest
    count_
};
inline constexpr std::size_t kTileTableCount = static_cast<std::size_t>(TileTable::count_);
inline constexpr EnumArray<TileTable, std::string_view> kTileTables = {
    "tiles_matrix",  "tiles_vector",  "tiles_convolution", "tiles_int8",           "tiles_fp8",
    "tiles_fp4",     "tiles_grouped", "tiles_grouped8",    "tiles_grouped_blocks", "tiles_weight8",
    "tiles_weight4", "tiles_tuned"};
// The table that provides the mechanisms that a table does not set.
constexpr TileTable general_table(TileTable table) {
    return table == TileTable::convolution ? TileTable::vector : TileTable::matrix;
}

// Row kernels, by their function: [NAME_rows].
enum class RowTable : std::uint8_t {
    softmax,
    norm,
    quantize,
    plane,  // interpolation, one thread per position of a plane
    token,  // of serving engines, one block of threads per token
    count_
};
inline constexpr std::size_t kRowTableCount = static_cast<std::size_t>(RowTable::count_);
inline constexpr EnumArray<RowTable, std::string_view> kRowTables = {
    "softmax_rows", "norm_rows", "quantize_rows", "plane_rows", "token_rows"};

}  // namespace infercost
