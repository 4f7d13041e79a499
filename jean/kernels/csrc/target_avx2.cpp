// x86 with AVX2 and fused multiply-add: vectors of 32 bytes. Only code after the pragma below may use
// them, so that no function of the standard library is compiled for a processor that lacks them.
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
#endif
#define JEAN_SCALAR float
#define JEAN_LANES 8
#define JEAN_TABLE jean_kernels_avx2
#include "target.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
