// Input that cannot be: the message says what was got, what was expected and what to do.
#pragma once

#include <stdexcept>

namespace infercost {

// A type of its own, so that a caller can tell it from what the standard library throws.
struct InputError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

}  // namespace infercost
