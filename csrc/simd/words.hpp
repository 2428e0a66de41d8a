// A vector of 64-bit words in one instruction set, for arithmetic on bits; chosen as in simd/vec.hpp, and
// with the same rules: everything is inline and lives in a namespace per set.
//
// GCC and Clang know vectors as a type with the operators of integers, in every set that they compile for.
// Any other compiler has one word, which gives the same results.
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
// Of what is read once.
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
