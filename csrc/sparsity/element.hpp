// Elements of a weight: their width, the bits that decide whether one is zero, and their magnitude.
#pragma once

#include <cstdint>
#include <string_view>

namespace infercost {

enum class Encoding : std::uint8_t {
    ieee,               // an exponent of all ones is an infinity or a NaN
    all_ones_is_nan,    // NaN only if all bits except the sign are set: float8_e4m3fn
    minus_zero_is_nan,  // the fnuz types: no negative zero, no infinity
    always_finite,      // float4_e2m1fn_x2
    power_of_two,       // float8_e8m0fnu: only an exponent, which cannot be zero
    pair,               // two float32: complex64
    signed_integer,
    unsigned_integer,
};

struct Element {
    std::string_view name;  // in torch's spelling; "int4" and "uint4" are two per byte
    int bits;
    Encoding encoding;
    int exponent_bits = 0;
    int mantissa_bits = 0;
    int bias = 0;

    bool is_integer() const;
    // The bits that decide whether an element is zero.
    std::uint64_t keep() const;
    // The distance of an element from `zero`; infinity and NaN are returned unchanged.
    double magnitude(std::uint64_t element, std::int64_t zero) const;
};

// Throws InputError for an unknown name.
const Element& parse_element(std::string_view name);

// The bits of the element at `index`.
std::uint64_t load_element(const unsigned char* data, std::uint64_t index, int bits);

}  // namespace infercost
