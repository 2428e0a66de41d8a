// A vector of 64-bit words in one instruction set, for bit arithmetic; selected as in simd/vec.hpp, with the
// same rules: all functions are inline and in a namespace per instruction set.
//
// GCC and Clang have a vector type with integer operators in every instruction set. Other compilers use one
// word, with the same results.
#pragma once

#ifndef INFERCOST_ISA
#error "compile with -DINFERCOST_ISA=<namespace of the instruction set>"
#endif

#include <cstdint>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

#if defined(__GNUC__)
#if defined(__AVX512F__)
typedef std::uint64_t Words __attribute__((vector_size(64)));
#elif defined(__AVX2__)
typedef std::uint64_t Words __attribute__((vector_size(32)));
#else
typedef std::uint64_t Words __attribute__((vector_size(16)));
#endif
#else
typedef std::uint64_t Words;
#endif

inline constexpr int kWordLanes = static_cast<int>(sizeof(Words) / sizeof(std::uint64_t));

#if defined(__GNUC__)
INFERCOST_INLINE Words load_words(const std::uint64_t* p) {
    Words words;
    __builtin_memcpy(&words, p, sizeof(words));
    return words;
}
INFERCOST_INLINE void store_words(std::uint64_t* p, Words words) {
    __builtin_memcpy(p, &words, sizeof(words));
}
INFERCOST_INLINE Words splat_words(std::uint64_t word) {
    return word - Words{};
}
// For data that is read once.
INFERCOST_INLINE void prefetch(const unsigned char* p) {
    __builtin_prefetch(p, 0, 0);
}
#else
INFERCOST_INLINE Words load_words(const std::uint64_t* p) {
    return *p;
}
INFERCOST_INLINE void store_words(std::uint64_t* p, Words words) {
    *p = words;
}
INFERCOST_INLINE Words splat_words(std::uint64_t word) {
    return word;
}
INFERCOST_INLINE void prefetch(const unsigned char*) {}
#endif

}  // namespace infercost::INFERCOST_ISA
