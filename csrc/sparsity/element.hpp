// What the elements of a weight are: how wide, which bits say that one is zero, and how large one is.
#pragma once

#include <cstdint>
#include <string_view>

namespace infercost {

enum class Encoding : std::uint8_t {
    ieee,               // an exponent of ones is an infinity or a NaN
    all_ones_is_nan,    // only all bits but the sign set is a NaN: float8_e4m3fn
    minus_zero_is_nan,  // the fnuz types: no negative zero, no infinity
    always_finite,      // float4_e2m1fn_x2
    power_of_two,       // float8_e8m0fnu: an exponent alone, which cannot be zero
    pair,               // two float32: complex64
    signed_integer,
    unsigned_integer,
};

struct Element {
    std::string_view name;  // as torch spells it; "int4" and "uint4" are two in a byte
    int bits;
    Encoding encoding;
    int exponent_bits = 0;
    int mantissa_bits = 0;
    int bias = 0;

    bool is_integer() const;
    // Which bits decide whether an element is zero.
    std::uint64_t keep() const;
    // The distance of an element from `zero`; infinity or NaN as they are.
    double magnitude(std::uint64_t element, std::int64_t zero) const;
};

// Throws std::invalid_argument for a name that is not known.
const Element& parse_element(std::string_view name);

// An element's bits, where `index` elements lie before it.
std::uint64_t load_element(const unsigned char* data, std::uint64_t index, int bits);

}  // namespace infercost
