// x86 with AVX-512: vectors of 64 bytes. Only code after the pragma below may use
// them, so that no function of the standard library is compiled for a processor that lacks them.
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
#endif
#define JEAN_SCALAR float
#define JEAN_LANES 16
#define JEAN_TABLE jean_kernels_avx512
#include "target.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
