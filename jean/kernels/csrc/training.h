// Operations on whole tables in a training step: Adam with the EMA of the weights, and the smoothness prior. Each takes
// one pass over memory, which is all that they cost.
#pragma once
#include <stdint.h>

#include "interface.h"
#include "mathematics.h"

namespace {

// Elements [begin, end) of one tensor. Returns whether all of their gradients are finite.
JEAN_FN bool adam_range(const JeanAdam& a, const JeanAdamTensor& t, long begin, long end) {
  const float share = a.share;
  float *__restrict__ value = t.value, *__restrict__ average = t.average;
  if (!t.gradient) {
    for (long i = begin; i < end; ++i) average[i] += share * (value[i] - average[i]);
    return true;
  }
  float *__restrict__ mean = t.mean, *__restrict__ square = t.square;
  const float* __restrict__ gradient = t.gradient;
  const float first = 1.0f - t.beta1, second = 1.0f - t.beta2, beta2 = t.beta2, eps = t.eps, step = t.step, root = t.root;
  uint32_t worst = 0;  // bits of the largest magnitude: compared as integers, infinity and NaN are the largest
  for (long i = begin; i < end; ++i) {
    const float g = gradient[i];
    uint32_t bits;
    __builtin_memcpy(&bits, &g, 4);
    worst = greater(worst, bits & 0x7fffffffu);
    const float m = mean[i] + first * (g - mean[i]), v = beta2 * square[i] + second * g * g;
    mean[i] = m;
    square[i] = v;
    value[i] -= step * m / (std::sqrt(v) * root + eps);
  }
  if (average)
    for (long i = begin; i < end; ++i) average[i] += share * (value[i] - average[i]);
  return worst < 0x7f800000u;
}

// Rows [begin, end) of a grid [height, width * channels]: sums of squares of the differences to the row before and to
// the cell before.
template <class T>
JEAN_FN void roughness_rows(const T* grid, long width, long channels, long begin, long end, T* across, T* down) {
  const long row = width * channels;
  T sums[2] = {};
  for (long y = begin; y < end; ++y) {
    const T* at = grid + y * row;
    constexpr int LANE = 16;  // partial sums side by side: vectorised, with the same order of additions on every target
    T beside[LANE] = {}, above[LANE] = {};
    for (long i = channels; i < row; i += LANE)
      for (int l = 0; l < LANE; ++l) {
        const T d = i + l < row ? at[i + l] - at[i + l - channels] : T(0);
        beside[l] += d * d;
      }
    if (y > 0)
      for (long i = 0; i < row; i += LANE)
        for (int l = 0; l < LANE; ++l) {
          const T d = i + l < row ? at[i + l] - at[i + l - row] : T(0);
          above[l] += d * d;
        }
    for (int l = 0; l < LANE; ++l) sums[0] += beside[l], sums[1] += above[l];
  }
  *across = sums[0];
  *down = sums[1];
}

// The gradient of across * Σ (differences along a row)² + down * Σ (differences between rows)², rows [begin, end).
template <class T>
JEAN_FN void roughness_slopes(const T* grid, long height, long width, long channels, T across, T down, long begin,
                              long end, T* out) {
  const long row = width * channels;
  for (long y = begin; y < end; ++y) {
    const T* at = grid + y * row;
    T* to = out + y * row;
    const T* above = y > 0 ? at - row : at;
    const T* below = y + 1 < height ? at + row : at;
    for (long i = 0; i < row; ++i) to[i] = T(2) * down * ((at[i] - above[i]) + (at[i] - below[i]));
    for (long i = channels; i < row; ++i) to[i] += T(2) * across * (at[i] - at[i - channels]);
    for (long i = 0; i < row - channels; ++i) to[i] += T(2) * across * (at[i] - at[i + channels]);
  }
}

}  // namespace
