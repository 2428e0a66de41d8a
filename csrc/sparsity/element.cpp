#include "sparsity/element.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "core/errors.hpp"

namespace infercost {
namespace {

constexpr Element kElements[] = {
    // name              bits encoding                 exponent, mantissa, bias
    {"float64", 64, Encoding::ieee, 11, 52, 1023},
    {"float32", 32, Encoding::ieee, 8, 23, 127},
    {"float16", 16, Encoding::ieee, 5, 10, 15},
    {"bfloat16", 16, Encoding::ieee, 8, 7, 127},
    {"float8_e4m3fn", 8, Encoding::all_ones_is_nan, 4, 3, 7},
    {"float8_e5m2", 8, Encoding::ieee, 5, 2, 15},
    {"float8_e4m3fnuz", 8, Encoding::minus_zero_is_nan, 4, 3, 8},
    {"float8_e5m2fnuz", 8, Encoding::minus_zero_is_nan, 5, 2, 16},
    {"float8_e8m0fnu", 8, Encoding::power_of_two, 8, 0, 127},
    {"float4_e2m1fn_x2", 4, Encoding::always_finite, 2, 1, 1},
    {"complex64", 64, Encoding::pair, 8, 23, 127},
    {"int64", 64, Encoding::signed_integer},
    {"int32", 32, Encoding::signed_integer},
    {"int16", 16, Encoding::signed_integer},
    {"int8", 8, Encoding::signed_integer},
    {"int4", 4, Encoding::signed_integer},
    {"uint64", 64, Encoding::unsigned_integer},
    {"uint32", 32, Encoding::unsigned_integer},
    {"uint16", 16, Encoding::unsigned_integer},
    {"uint8", 8, Encoding::unsigned_integer},
    {"uint4", 4, Encoding::unsigned_integer},
    {"bool", 8, Encoding::unsigned_integer},
};

constexpr bool each_name_once() {
    for (const Element& a : kElements) {
        int found = 0;
        for (const Element& b : kElements) found += a.name == b.name ? 1 : 0;
        if (found != 1) return false;
    }
    return true;
}
static_assert(each_name_once());

std::uint64_t low_bits(int count) {
    return count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

double float_magnitude(const Element& kind, std::uint64_t element) {
    const std::uint64_t sign = std::uint64_t{1} << (kind.bits - 1);
    const std::uint64_t rest = element & low_bits(kind.bits - 1);
    const auto exponent = static_cast<int>(rest >> kind.mantissa_bits);
    const std::uint64_t mantissa = rest & low_bits(kind.mantissa_bits);
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    if (kind.encoding == Encoding::ieee && exponent == (1 << kind.exponent_bits) - 1) {
        return mantissa == 0 ? std::numeric_limits<double>::infinity() : nan;
    }
    if (kind.encoding == Encoding::all_ones_is_nan && rest == low_bits(kind.bits - 1)) return nan;
    if (kind.encoding == Encoding::minus_zero_is_nan && element == sign) return nan;
    const std::uint64_t hidden = exponent == 0 ? 0 : std::uint64_t{1} << kind.mantissa_bits;
    const int scale = (exponent == 0 ? 1 : exponent) - kind.bias - kind.mantissa_bits;
    return std::ldexp(static_cast<double>(mantissa | hidden), scale);
}

double signed_value(std::uint64_t element, int bits) {
    const int unused = 64 - bits;
    return static_cast<double>(static_cast<std::int64_t>(element << unused) >> unused);
}

}  // namespace

bool Element::is_integer() const {
    return encoding == Encoding::signed_integer || encoding == Encoding::unsigned_integer;
}

std::uint64_t Element::keep() const {
    switch (encoding) {
        case Encoding::ieee:
        case Encoding::all_ones_is_nan:
        case Encoding::always_finite:
            return low_bits(bits - 1);
        case Encoding::pair:
            return 0x7FFFFFFF7FFFFFFF;
        default:
            return low_bits(bits);
    }
}

double Element::magnitude(std::uint64_t element, std::int64_t zero) const {
    switch (encoding) {
        case Encoding::pair: {
            const double real = std::bit_cast<float>(static_cast<std::uint32_t>(element));
            const double imaginary = std::bit_cast<float>(static_cast<std::uint32_t>(element >> 32));
            return std::hypot(real, imaginary);
        }
        case Encoding::power_of_two:
            return element == 0xFF ? std::numeric_limits<double>::quiet_NaN()
                                   : std::ldexp(1.0, static_cast<int>(element) - bias);
        case Encoding::signed_integer:
            return std::abs(signed_value(element, bits) - static_cast<double>(zero));
        case Encoding::unsigned_integer:
            return std::abs(static_cast<double>(element) - static_cast<double>(zero));
        default:
            return float_magnitude(*this, element);
    }
}

const Element& parse_element(std::string_view name) {
    std::string known;
    for (const Element& element : kElements) {
        if (element.name == name) return element;
        known += (known.empty() ? "" : ", ") + std::string(element.name);
    }
    throw InputError("dtype '" + std::string(name) + "' cannot be scanned; expected one of " + known);
}

std::uint64_t load_element(const unsigned char* data, std::uint64_t index, int bits) {
    if (bits == 4) return (data[index / 2] >> (4 * (index % 2))) & 15U;
    const auto width = static_cast<std::uint64_t>(bits / 8);
    std::uint64_t element = 0;
    for (std::uint64_t b = width; b-- > 0;) element = element << 8 | data[index * width + b];
    return element;
}

}  // namespace infercost
