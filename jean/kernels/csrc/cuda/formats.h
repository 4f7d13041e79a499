// Formats of a product's factors in registers and memory: Half, two numbers a word (bf16, or fp16 before
// sm_80), or Single, one a word. A product of 16 inputs takes WORDS / 2 steps of the tensor cores, each of which
// reads two words of a lane for each row, so that both formats share all code and all layouts.
#pragma once
#include "warp.h"

namespace {

struct Half {
  static constexpr int WORDS = 2;  // of four numbers

  static JEAN_MEMBER void put(const float* values, unsigned* words) {
    words[0] = pack(values[0], values[1]);
    words[1] = pack(values[2], values[3]);
  }
  static JEAN_MEMBER float value(const unsigned* words, int i) { return first_of(i % 2 ? words[i / 2] >> 16 : words[i / 2]); }
  static JEAN_MEMBER void step(float* d, const unsigned* a, unsigned b0, unsigned b1) { multiply_add(d, a, b0, b1); }
};

#if !defined(JEAN_TF32)
// Not inlined, since the compiler would take minutes for hundreds of copies.
JEAN_CALLED float4 step_by_step(float4 d, uint4 a, unsigned b0, unsigned b1) {
  const int group = lane_number() & ~3, column = 8 * (lane_number() & 3);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const float upper = float_of(from_lane(k < 4 ? a.x : a.z, group + k % 4));
    const float lower = float_of(from_lane(k < 4 ? a.y : a.w, group + k % 4));
    const unsigned b = k < 4 ? b0 : b1;
    const float left = float_of(from_lane(b, column + k % 4)), right = float_of(from_lane(b, column + 4 + k % 4));
    d.x += upper * left;
    d.y += upper * right;
    d.z += lower * left;
    d.w += lower * right;
  }
  return d;
}
#endif

struct Single {
  static constexpr int WORDS = 4;

  static JEAN_MEMBER void put(const float* values, unsigned* words) {
    for (int i = 0; i < 4; ++i) words[i] = bits_of(values[i]);
  }
  static JEAN_MEMBER float value(const unsigned* words, int i) { return float_of(words[i]); }

  // d [16, 8] += a [16, 8] · b [8, 8]. Each factor is the sum of two numbers of 11 bits; of the four products only
  // that of both remainders, 2^-22 of the whole, is left out. GPUs before sm_80 add number by number.
  static JEAN_MEMBER void step(float* d, const unsigned* a, unsigned b0, unsigned b1) {
#if defined(JEAN_TF32)
    float whole[4], rest[4];
    for (int i = 0; i < 4; ++i) {
      whole[i] = round_tf32(float_of(a[i]));
      rest[i] = round_tf32(float_of(a[i]) - whole[i]);
    }
    const float w0 = round_tf32(float_of(b0)), w1 = round_tf32(float_of(b1));
    multiply_add_tf32(d, rest, w0, w1);
    multiply_add_tf32(d, whole, round_tf32(float_of(b0) - w0), round_tf32(float_of(b1) - w1));
    multiply_add_tf32(d, whole, w0, w1);
#else
    const float4 sum = step_by_step(make_float4(d[0], d[1], d[2], d[3]), make_uint4(a[0], a[1], a[2], a[3]), b0, b1);
    d[0] = sum.x;
    d[1] = sum.y;
    d[2] = sum.z;
    d[3] = sum.w;
#endif
  }
};

}  // namespace
