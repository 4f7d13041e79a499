// Positional encoding of NeRF as rows of 64 numbers (jean/models/encoding.py has 63, in another order): sines of
// the 30 products of ten octaves and three axes, two coordinates, their cosines, the third coordinate, a zero.
// So a row is two runs of 32 arguments, which fill vectors of every width. Matrices that read rows are
// reordered to match (`encoded_place`).
#pragma once
#include "mathematics.h"

namespace {

constexpr int OCTAVES = 10, ENCODED = 64, ENCODED_INPUTS = 3 + 6 * OCTAVES;

// Index in the order of jean/models/encoding.py of element `i` of a row; -1: padding.
JEAN_FN int encoded_place(int i) {
  const int run = i / 32, j = i % 32;
  if (j < 3 * OCTAVES) return 3 + 6 * (j / 3) + 3 * run + j % 3;
  return run == 0 ? j - 3 * OCTAVES : (j == 3 * OCTAVES ? 2 : -1);
}

// Gradient of a coordinate through its sine and cosine of one octave, whose argument is `scale` times the coordinate.
template <class T>
JEAN_FN T wave_slope(T scale, T to_sine, T to_cosine, T sine, T cosine) {
  return scale * (to_sine * cosine - to_cosine * sine);
}

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
JEAN_FN void sine_cosine(float x, float* sine, float* cosine) { sincosf(x, sine, cosine); }
JEAN_FN void sine_cosine(double x, double* sine, double* cosine) { sincos(x, sine, cosine); }
#else
constexpr float NEAR_ENOUGH = 8192.0f;  // largest argument whose reduction, below, is accurate to 1e-7

JEAN_FN void sine_cosine(double x, double* sine, double* cosine) {
  *sine = std::sin(x);
  *cosine = std::cos(x);
}

// Sine and cosine, accurate to 1e-7 for arguments up to NEAR_ENOUGH, without a branch. The nearest multiple of π/2 is
// subtracted in three parts; the first two have so few digits that their products with the multiple are exact.
JEAN_FN void sine_cosine(float x, float* sine, float* cosine) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds a number to an integer in the low bits
  const float shifted = x * 0.63661977236758134f + magic;
  const float quarter = shifted - magic;
  const float r = ((x - quarter * 1.5703125f) - quarter * 4.837512969970703125e-4f) - quarter * 7.54978995489188216e-8f;
  const float squared = r * r;
  const float s = r + r * squared * (-1.6666654611e-1f + squared * (8.3321608736e-3f + squared * -1.9515295891e-4f));
  const float c = (1.0f - 0.5f * squared) +
                  squared * squared *
                      (4.166664568298827e-2f + squared * (-1.388731625493765e-3f + squared * 2.443315711809948e-5f));
  unsigned bits;
  __builtin_memcpy(&bits, &shifted, 4);
  const bool odd = bits & 1u;
  const unsigned sign_of_sine = (bits & 2u) << 30, sign_of_cosine = ((bits + 1u) & 2u) << 30;
  const float first = odd ? c : s, second = odd ? s : c;
  unsigned a, b;
  __builtin_memcpy(&a, &first, 4);
  __builtin_memcpy(&b, &second, 4);
  a ^= sign_of_sine;
  b ^= sign_of_cosine;
  __builtin_memcpy(sine, &a, 4);
  __builtin_memcpy(cosine, &b, 4);
}

// The row of one position, each coordinate of which is scaled to about [-1, 1].
template <class T>
JEAN_FN void encode_position(const T* position, T* row) {
  T argument[32];
  T scale = T(1);
  for (int octave = 0; octave < OCTAVES; ++octave, scale *= T(2))
    for (int axis = 0; axis < 3; ++axis) argument[3 * octave + axis] = scale * position[axis];
  argument[30] = argument[31] = T(0);
  for (int j = 0; j < 32; ++j) sine_cosine(argument[j], row + j, row + 32 + j);
  if constexpr (sizeof(T) == sizeof(float)) {
    bool far = false;
    for (int j = 0; j < 32; ++j) far |= !(argument[j] < NEAR_ENOUGH && argument[j] > -NEAR_ENOUGH);
    if (far)  // outside every box, or NaN: the slow, exact functions
      for (int j = 0; j < 30; ++j) row[j] = std::sin(argument[j]), row[32 + j] = std::cos(argument[j]);
  }
  row[30] = position[0];
  row[31] = position[1];
  row[62] = position[2];
  row[63] = T(0);
}

// Gradient of the position from that of its row.
template <class T>
JEAN_FN void encode_backward(const T* row, const T* to_row, T* to_position) {
  to_position[0] = to_row[30];
  to_position[1] = to_row[31];
  to_position[2] = to_row[62];
  T scale = T(1);
  for (int octave = 0; octave < OCTAVES; ++octave, scale *= T(2))
    for (int axis = 0; axis < 3; ++axis) {
      const int j = 3 * octave + axis;
      to_position[axis] += wave_slope(scale, to_row[j], to_row[32 + j], row[j], row[32 + j]);
    }
}
#endif

}  // namespace
