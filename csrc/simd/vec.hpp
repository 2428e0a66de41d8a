// A vector of doubles in one instruction set, selected by the compiler flags of the including file. All
// functions are inline and in a namespace per instruction set, so that the linker never replaces the
// baseline's copy of a function by the AVX-512 copy. For the same reason, files that include this use no
// inline functions of the standard library.
//
// The operations are equal in every instruction set, so results agree to the last bit: each is one IEEE
// operation, and max(a, b) is `a > b ? a : b`, also for zeros of both signs.
#pragma once

#ifndef INFERCOST_ISA
#error "compile with -DINFERCOST_ISA=<namespace of the instruction set>"
#endif

#if defined(__AVX512F__)
#include "simd/avx512.hpp"
#elif defined(__AVX2__)
#include "simd/avx2.hpp"
#elif defined(__SSE4_1__)
#include "simd/sse41.hpp"
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include "simd/neon.hpp"
#elif defined(__wasm_simd128__)
#include "simd/wasm.hpp"
#else
#include "simd/scalar.hpp"
#endif
