// Arrays by what their elements belong to: a tensor, a node, a member of an enumeration. Their index is
// signed or an enumeration, where the standard library's is std::size_t: the conversion stands here, and in
// builds with assertions its check.
#pragma once

#include <array>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace infercost {

template <std::integral Index>
constexpr std::size_t place_of_index(Index index, [[maybe_unused]] std::size_t size) {
    assert(index >= 0 && std::cmp_less(index, size));
    return static_cast<std::size_t>(index);
}

// A T for each `Index`, which names what is counted; any integer is taken.
template <std::integral Index, class T>
class IndexedVector : public std::vector<T> {
    using Base = std::vector<T>;

  public:
    using Base::Base;
    IndexedVector() = default;
    IndexedVector(Base values) : Base(std::move(values)) {}
    IndexedVector(std::signed_integral auto count, const T& value)
        : Base(static_cast<std::size_t>(count), value) {}
    explicit IndexedVector(std::signed_integral auto count) : Base(static_cast<std::size_t>(count)) {}

    decltype(auto) operator[](std::integral auto index) {
        return Base::operator[](place_of_index(index, Base::size()));
    }
    decltype(auto) operator[](std::integral auto index) const {
        return Base::operator[](place_of_index(index, Base::size()));
    }
    // Throws std::out_of_range, also for an index below zero.
    const T& at(std::integral auto index) const { return Base::at(static_cast<std::size_t>(index)); }
};

// The same as a view.
template <std::integral Index, class T>
class IndexedSpan : public std::span<T> {
    using Base = std::span<T>;

  public:
    using Base::Base;
    constexpr IndexedSpan(Base values) : Base(values) {}

    constexpr T& operator[](std::integral auto index) const {
        return Base::operator[](place_of_index(index, Base::size()));
    }
};

// A T for each member of an enumeration.
template <class Enum, class T, std::size_t Count = static_cast<std::size_t>(Enum::count_)>
struct EnumArray : std::array<T, Count> {
    using Base = std::array<T, Count>;
    using Base::operator[];
    constexpr T& operator[](Enum member) { return Base::operator[](static_cast<std::size_t>(member)); }
    constexpr const T& operator[](Enum member) const {
        return Base::operator[](static_cast<std::size_t>(member));
    }
};

}  // namespace infercost
