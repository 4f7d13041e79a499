// x86 with AMX, products of whole tiles of bf16: the paper's field only. A tile is a register of 16 rows of 64 bytes.
// The process requests permission once (cpu_features.h), and each thread configures the tiles before it uses them.
#include <stdint.h>

#include "kernels.h"
#if defined(__x86_64__) && __has_include(<amxbf16intrin.h>)
#include <immintrin.h>
#include <cmath>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16,avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16,avx2,fma,bmi2,prefer-vector-width=512")
#endif
#ifdef JEAN_EMULATED_TILES
#include JEAN_EMULATED_TILES
#endif
#include "mlp_half.h"

namespace {

constexpr int TILE_ROWS = 16, TILE_BYTES = 64;
static_assert(MLP_TILE == 2 * TILE_ROWS, "two tiles of samples below one another");

// Palette 1: eight tiles, here all of full size.
struct alignas(64) TileShapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

void begin_multiplying() {
  TileShapes shapes = {};
  shapes.palette = 1;
  for (int i = 0; i < 8; ++i) shapes.row_bytes[i] = TILE_BYTES, shapes.rows[i] = TILE_ROWS;
  _tile_loadconfig(&shapes);
}

void end_multiplying() { _tile_release(); }

// 32 samples by 32 columns at a time: four tiles of sums, two of samples, two of weights.
void multiply(const Half* x, int x_step, int depth, const Half* packed, int width, const float* const* start, Half* y,
              int y_step, float* exact) {
  constexpr int COLUMNS = 2 * TILE_ROWS, DEPTH = TILE_BYTES / 2;
  alignas(64) float sums[MLP_TILE * COLUMNS];
  const long sums_step = COLUMNS * sizeof(float), packed_step = HALF_COLUMNS * 2 * sizeof(Half);
  const long rows_step = x_step * sizeof(Half);
  for (int c = 0; c < width; c += COLUMNS) {
    const Half* panel = packed + (long)(c / HALF_COLUMNS * HALF_COLUMNS) * depth + c % HALF_COLUMNS * 2;
    __asm__ volatile("" ::: "memory");  // compilers do not know that loading a tile reads memory that was stored before
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < depth; k += DEPTH) {
      _tile_loadd(4, x + k, rows_step);
      _tile_loadd(5, x + (long)TILE_ROWS * x_step + k, rows_step);
      _tile_loadd(6, panel + (long)k * HALF_COLUMNS, packed_step);
      _tile_loadd(7, panel + (long)k * HALF_COLUMNS + TILE_ROWS * 2, packed_step);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, sums_step);
    _tile_stored(1, sums + TILE_ROWS, sums_step);
    _tile_stored(2, sums + TILE_ROWS * COLUMNS, sums_step);
    _tile_stored(3, sums + TILE_ROWS * COLUMNS + TILE_ROWS, sums_step);
    for (int r = 0; r < MLP_TILE; ++r)
      for (int v = 0; v < COLUMNS; v += HALF_LANES) {
        const __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + r * COLUMNS + v), _mm512_loadu_ps(start[r] + c + v));
        const __m512 out = _mm512_mask_mov_ps(sum, _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_LT_OQ),
                                              _mm512_setzero_ps());
        _mm256_storeu_si256((__m256i*)(y + (long)r * y_step + c + v), (__m256i)_mm512_cvtneps_pbh(out));
        if (exact) _mm512_storeu_ps(exact + (long)r * width + c + v, out);
      }
  }
}

}  // namespace

const JeanKernels* jean_kernels_amx(void) {
  static const JeanKernels table = half_table();
  return &table;
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#elif defined(__x86_64__)
const JeanKernels* jean_kernels_amx(void) { return nullptr; }  // this compiler is too old
#endif
