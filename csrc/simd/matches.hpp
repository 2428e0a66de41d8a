// Compares 64 elements of a row with a pattern and returns the matches as the bits of a word. The instruction
// set is selected as in simd/vec.hpp, with the same rules.
//
// An element matches if `(element & keep) == value`. This is a test for zero in every dtype: floating-point
// dtypes keep all bits but the sign. Elements have 4, 8, 16, 32 or 64 bits, little-endian; of two in a byte
// the low half is the first.
#pragma once

#ifndef INFERCOST_ISA
#error "compile with -DINFERCOST_ISA=<namespace of the instruction set>"
#endif

#if defined(__AVX512F__)
#include "simd/matches_avx512.hpp"
#elif defined(__AVX2__)
#include "simd/matches_avx2.hpp"
#elif defined(__SSE4_1__)
#include "simd/matches_sse41.hpp"
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include "simd/matches_neon.hpp"
#else
#include "simd/matches_scalar.hpp"
#endif
