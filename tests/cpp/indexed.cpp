// Arrays by what their elements belong to (core/indexed.hpp).
#include "core/indexed.hpp"

#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "check.hpp"

namespace {

using namespace infercost;

enum class Color : std::uint8_t { red, green, count_ };

TEST(an_index_is_any_integer) {
    IndexedVector<std::int32_t, int> values = {3, 4, 5};
    values[std::int64_t{1}] = 7;
    CHECK(values[0] == 3 && values[1U] == 7 && values[std::size_t{2}] == 5);
    const IndexedSpan<std::int32_t, const int> view = values;
    CHECK(view[1] == 7 && view.size() == 3);
}

TEST(a_count_is_signed_or_not) {
    CHECK((IndexedVector<std::int32_t, bool>(std::int32_t{2}, true) == std::vector<bool>{true, true}));
    CHECK((IndexedVector<std::int32_t, int>(std::size_t{2}) == std::vector<int>{0, 0}));
}

TEST(at_refuses_an_index_below_zero) {
    const IndexedVector<std::int32_t, int> values = {3};
    CHECK(values.at(0) == 3);
    CHECK_THROWS(std::out_of_range, "", values.at(-1));
}

TEST(a_member_of_an_enumeration_is_an_index) {
    constexpr EnumArray<Color, std::string_view> kNames = {"red", "green"};
    CHECK(kNames[Color::green] == "green" && kNames.size() == 2);
}

}  // namespace
