// x86 with AVX-512 and its products of bf16 pairs (vdpbf16ps): values of the paper's
// field, and rendering of the fast one. Rays through the paper's field use the AVX-512 kernels.
#include <stdint.h>

#include "kernels.h"
#if defined(__x86_64__) && __has_include(<avx512bf16intrin.h>)
#include <immintrin.h>
#include <cmath>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,bmi2,prefer-vector-width=512")
#endif
#include "mlp_half.h"
#include "picture_half.h"

namespace {

constexpr int HALF_VECTORS = HALF_COLUMNS / HALF_LANES, HALF_ROWS = 4;

void multiply(const Half* x, int x_step, int depth, const Half* packed, int width, const float* const* start,
                     Half* y, int y_step, float* exact) {
  for (int c = 0; c < width; c += HALF_COLUMNS) {
    const Half* panel = packed + (long)c * depth;
    for (int r = 0; r < MLP_TILE; r += HALF_ROWS) {
      __m512 sum[HALF_ROWS][HALF_VECTORS];
      for (int i = 0; i < HALF_ROWS; ++i)
        for (int v = 0; v < HALF_VECTORS; ++v) sum[i][v] = _mm512_loadu_ps(start[r + i] + c + v * HALF_LANES);
      const Half* row = x + (long)r * x_step;
      for (int k = 0; k < depth; k += 2) {
        __m512i weight[HALF_VECTORS];
        for (int v = 0; v < HALF_VECTORS; ++v)
          weight[v] = _mm512_loadu_si512(panel + (long)k * HALF_COLUMNS + 2 * v * HALF_LANES);
        for (int i = 0; i < HALF_ROWS; ++i) {
          int pair;
          __builtin_memcpy(&pair, row + i * x_step + k, 4);
          const __m512bh value = (__m512bh)_mm512_set1_epi32(pair);
          for (int v = 0; v < HALF_VECTORS; ++v) sum[i][v] = _mm512_dpbf16_ps(sum[i][v], value, (__m512bh)weight[v]);
        }
      }
      for (int i = 0; i < HALF_ROWS; ++i)
        for (int v = 0; v < HALF_VECTORS; ++v) {
          const __m512 negative_to_zero = _mm512_mask_mov_ps(
              sum[i][v], _mm512_cmp_ps_mask(sum[i][v], _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
          const long at = c + v * HALF_LANES;
          _mm256_storeu_si256((__m256i*)(y + (long)(r + i) * y_step + at), (__m256i)_mm512_cvtneps_pbh(negative_to_zero));
          if (exact) _mm512_storeu_ps(exact + (long)(r + i) * width + at, negative_to_zero);
        }
    }
  }
}

void begin_multiplying() {}
void end_multiplying() {}

HalfSum pairs(HalfSum sum, const Half* table, uint32_t weights) {
  return (HalfSum)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_loadu_si512(table), (__m512bh)_mm512_set1_epi32((int)weights));
}

void narrow(HalfSum values, Half* to) {
  const HalfSum positive = values < HalfSum{} ? HalfSum{} : values;
  _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh((__m512)positive));
}

template <int VECTORS>
void multiply_panel(const Half* x, int depth, const Half* panel, const float* start, Half* y, float* exact, int width) {
  for (int r = 0; r < TILE; r += HALF_ROWS) {
    HalfSum sum[HALF_ROWS][VECTORS];
    for (int i = 0; i < HALF_ROWS; ++i)
      for (int v = 0; v < VECTORS; ++v) sum[i][v] = load<float, HALF_LANES>(start + v * HALF_LANES);
    for (int k = 0; k < depth; k += 2)
      for (int i = 0; i < HALF_ROWS; ++i) {
        uint32_t pair;
        __builtin_memcpy(&pair, x + (long)(r + i) * depth + k, 4);
        for (int v = 0; v < VECTORS; ++v)
          sum[i][v] = pairs(sum[i][v], panel + ((long)k * VECTORS + 2 * v) * HALF_LANES, pair);
      }
    for (int i = 0; i < HALF_ROWS; ++i)
      for (int v = 0; v < VECTORS; ++v) {
        const long at = (long)(r + i) * width + v * HALF_LANES;
        narrow(sum[i][v], y + at);
        store<float, HALF_LANES>(exact + at, sum[i][v] < HalfSum{} ? HalfSum{} : sum[i][v]);
      }
  }
}

}  // namespace

const JeanKernels* jean_kernels_avx512bf16(void) {
  static const JeanKernels table = [] {
    JeanKernels made = half_table();
    made.prepare = half_field_prepare;
    made.picture = half_picture;
    made.paint = half_paint;
    return made;
  }();
  return &table;
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#elif defined(__x86_64__)
const JeanKernels* jean_kernels_avx512bf16(void) { return nullptr; }  // this compiler is too old
#endif
