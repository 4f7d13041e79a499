// Sums of products over samples (products.h): a warp computes 64 rows by 64 columns of one partial sum; then the
// partial sums are added in a fixed order, so that the same samples give the same bits.
#include "encoding.h"
#include "products.h"

namespace {

constexpr int EDGE = 64;

JEAN_FN int parts(int count) { return (count + EDGE - 1) / EDGE; }

// Two words of a lane for column `column`: those of samples that `values` names, or ones where their frame is it.
template <class F>
JEAN_FN uint2 column_words(const JeanProduct& p, const unsigned* tile, const int* frames, int column, int at) {
  if (p.values >= 0) return *(const uint2*)(tile + (long)(p.values + column) * ROW<F> + at);
  float values[4];
  unsigned words[F::WORDS];
  for (int i = 0; i < 4; ++i) values[i] = p.columns == 1 || frames[(at * 4 / F::WORDS + i) & 31] == column ? 1.0f : 0.0f;
  F::put(values, words);
  return make_uint2(words[0], words[1]);
}

template <class F>
JEAN_FN void multiply(const JeanProducts& all, long first_tile, long tiles) {
  int number = (int)(blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32), total = 0, index = 0;
  for (int i = 0; i < all.count; ++i) total += parts(all.product[i].rows) * parts(all.product[i].columns);
  const int share = number / total;
  if (share >= all.shares) return;
  number %= total;
  while (number >= parts(all.product[index].rows) * parts(all.product[index].columns)) {
    number -= parts(all.product[index].rows) * parts(all.product[index].columns);
    ++index;
  }
  const JeanProduct& p = all.product[index];
  const int row = number / parts(p.columns) * EDGE, column = number % parts(p.columns) * EDGE;
  const int group = lane_number() / 4, pair = lane_number() % 4;
  // tiles of this partial sum that hold samples
  const long samples = all.counters ? (long)all.counters[0] : (long)all.samples;
  long there = (samples + 31) / 32 - first_tile;
  there = there < 0 ? 0 : there > tiles ? tiles : there;
  const long begin = there * share / all.shares, end = there * (share + 1) / all.shares;
  float sum[EDGE / 16][EDGE / 8][4] = {};
#pragma unroll 1
  for (long t = begin; t < end; ++t) {
    const unsigned* tile = all.scratch + t * all.tile_words;
    const int* frames = (const int*)(tile + all.tile_words - 32);
#pragma unroll 1
    for (int step = 0; step < F::WORDS; ++step) {
      const int at = (4 * step + pair) * 2;
      unsigned a[EDGE / 16][4];
#pragma unroll
      for (int m = 0; m < EDGE / 16; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          uint2 words = make_uint2(0, 0);
          const int from = row + 16 * m + 8 * h + group;
          if (from < p.rows) words = *(const uint2*)(tile + (long)(p.flow + from) * ROW<F> + at);
          a[m][h] = words.x;
          a[m][2 + h] = words.y;
        }
#pragma unroll
      for (int n = 0; n < EDGE / 8; ++n) {
        if (column + 8 * n >= p.columns) continue;
        uint2 b = make_uint2(0, 0);
        if (column + 8 * n + group < p.columns) b = column_words<F>(p, tile, frames, column + 8 * n + group, at);
#pragma unroll
        for (int m = 0; m < EDGE / 16; ++m) F::step(sum[m][n], a[m], b.x, b.y);
      }
    }
  }
  float* to = all.shared + share * all.sums + p.sum;
#pragma unroll
  for (int m = 0; m < EDGE / 16; ++m)
#pragma unroll
    for (int n = 0; n < EDGE / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = row + 16 * m + group + i / 2 * 8, c = column + 8 * n + 2 * pair + i % 2;
        if (r >= p.rows || c >= p.columns) continue;
        float* at = to + (long)r * p.columns + c;
        *at = first_tile == 0 ? sum[m][n][i] : *at + sum[m][n][i];
      }
}

}  // namespace

// Tiles [first_tile, first_tile + tiles) of the samples, stored from the start of the scratch memory.
JEAN_KERNEL void __launch_bounds__(128, 2)
jean_products_half(const __grid_constant__ JeanProducts p, int64_t first_tile, int64_t tiles) {
  multiply<Half>(p, first_tile, tiles);
}
JEAN_KERNEL void __launch_bounds__(128, 2)
jean_products_single(const __grid_constant__ JeanProducts p, int64_t first_tile, int64_t tiles) {
  multiply<Single>(p, first_tile, tiles);
}

// Adds the partial sums; each row of the grid handles one product.
JEAN_KERNEL void jean_products_gather(const __grid_constant__ JeanProducts all) {
  const JeanProduct& p = all.product[blockIdx.y];
  const float back = all.counters ? scale_back(all.counters[1]) : 1.0f;
  for (int at = (int)(blockIdx.x * blockDim.x + threadIdx.x); at < p.rows * p.columns; at += (int)(gridDim.x * blockDim.x)) {
    const int row = at / p.columns, column = at % p.columns;
    float sum = 0.0f;
    for (int share = 0; share < all.shares; ++share) sum += all.shared[share * all.sums + p.sum + at];
    const int place = p.encoded ? encoded_place(column) : column;
    if (place < 0) continue;
    p.out[p.values < 0 ? (long)column * p.rows + row : (long)row * p.step + place] = back * sum;
  }
}
