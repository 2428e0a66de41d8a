// Every function of an instruction set is inlined: simd/vec.hpp gives the reason.
#pragma once

#if defined(_MSC_VER)
#define INFERCOST_INLINE __forceinline
#define INFERCOST_LAMBDA
#else
#define INFERCOST_INLINE inline __attribute__((always_inline))
#define INFERCOST_LAMBDA __attribute__((always_inline))
#endif
