// Gradients of matrices. For each tile of 32 samples, the inputs of a layer and the gradients of its outputs are written to
// a scratch memory whose rows are channels. A gradient is then a product of two runs of such rows over all samples.
// jean/kernels/cuda/products.py has the same structures.
#pragma once
#include <stdint.h>

#include "layers.h"

#define JEAN_MAX_PRODUCTS 40

namespace {

// Words of a row of 32 samples: those of samples 4 g to 4 g + 3 stand at g * WORDS.
template <class F>
constexpr int ROW = 8 * F::WORDS;

}  // namespace

// out [rows, columns] = sum over samples of rows `flow` .. of the scratch times rows `values` .. of it.
typedef struct {
  int32_t flow, rows;
  int32_t values, columns;  // values < 0: columns are frames, 1 where a sample is of that frame, or of any if there is 1
  int32_t step, encoded;    // of out's rows, in floats; encoded: columns are places of an encoding (../encoding.h)
  int64_t sum;              // its offset in a partial sum
  float* out;               // values < 0: [columns, rows]
} JeanProduct;

typedef struct {
  int32_t count, shares;         // numbers of products, and of partial sums over the samples
  int64_t tile_words, sums;      // words of a tile; floats of a partial sum
  int64_t samples;               // at most
  const uint32_t* scratch;       // [tiles, tile_words]: rows, then the frames of the samples
  const uint32_t* counters;      // see ScaledCount; null: all samples, not scaled
  float* shared;                 // [shares, sums]
  JeanProduct product[JEAN_MAX_PRODUCTS];
} JeanProducts;

namespace {

// Number of samples with nonzero gradients, and the bits of the largest gradient. All gradients are multiplied by the
// power of two that brings the largest between 1 and 2, so that fp16 holds gradients down to 2^-24 of it.
struct ScaledCount {
  uint32_t count, greatest;
};

// The biased exponent; NaN, zero and values near the ends are not scaled.
JEAN_FN unsigned exponent_of(unsigned bits) {
  const unsigned exponent = bits >> 23;
  return exponent < 1u || exponent > 252u ? 127u : exponent;
}
JEAN_FN float scale_up(unsigned greatest) { return float_of((254u - exponent_of(greatest)) << 23); }
JEAN_FN float scale_back(unsigned greatest) { return float_of(exponent_of(greatest) << 23); }

template <class F>
JEAN_FN void keep_four(unsigned* tile, int row, const float* values) {
  unsigned words[F::WORDS];
  F::put(values, words);
  unsigned* to = tile + row * ROW<F> + lane_number() / 4 * F::WORDS;
  if constexpr (F::WORDS == 4) {
    *(uint4*)to = make_uint4(words[0], words[1], words[2], words[3]);
  } else {
    *(uint2*)to = make_uint2(words[0], words[1]);
  }
}

// Writes four numbers of each lane's own sample as four rows.
template <class F>
JEAN_FN void keep_own(unsigned* tile, int row, const float* own) {
  float four[4];
  for (int c = 0; c < 4; ++c)
    for (int r = 0; r < 4; ++r) {
      const float value = of_row(own[c], r);
      if (c == (lane_number() & 3)) four[r] = value;
    }
  keep_four<F>(tile, row + (lane_number() & 3), four);
}

// Writes 16 channels of the warp's samples from row `row` on (layers.h).
template <class F>
JEAN_FN void keep(unsigned* tile, int row, const float (*values)[4]) {
  for (int i = 0; i < 4; ++i) {
    const float four[4] = {values[0][i], values[1][i], values[2][i], values[3][i]};
    keep_four<F>(tile, row + 4 * (lane_number() & 3) + i, four);
  }
}

}  // namespace
