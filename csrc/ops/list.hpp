// Lists of a node's lengths, strides, arguments and operands. A malformed node may have fewer than a rule
// needs: reading beyond the end is an error, never a read outside.
#pragma once

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.hpp"

namespace infercost {

template <class T>
class List : public std::vector<T> {
  public:
    using std::vector<T>::vector;

    const T& operator[](std::integral auto i) const { return std::vector<T>::operator[](checked(i)); }
    T& operator[](std::integral auto i) { return std::vector<T>::operator[](checked(i)); }
    const T& front() const { return (*this)[0]; }
    const T& back() const { return (*this)[this->size() - 1]; }

    // Throws InputError for fewer than `least` entries.
    void require(std::size_t least) const {
        if (this->size() < least) too_short(std::to_string(least));
    }

  private:
    std::size_t checked(std::integral auto index) const {
        const auto i = static_cast<std::size_t>(index);
        if (i >= this->size()) too_short(i + 1 == 0 ? "1" : std::to_string(i + 1));
        return i;
    }
    [[noreturn]] void too_short(const std::string& least) const {
        throw InputError("a shape or a list has " + std::to_string(this->size()) +
                         " entries; expected at least " + least);
    }
};

}  // namespace infercost
