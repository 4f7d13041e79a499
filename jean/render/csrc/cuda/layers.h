// Layers of a small network over 32 samples of a warp. Lane 4 g + t holds, of the samples g, g + 8, g + 16 and
// g + 24 (its "rows" 0 to 3), the channels 16 j + 4 t + i with i = 0..3. The tensor cores' own order of
// channels differs, but a product does not mind the order in which it adds, and the columns of its result
// may come in any: weights are packed so that what leaves one layer is, in place, what the next one reads,
// and every load is of 16 bytes. The sample that is the lane's own is its row t.
#pragma once
#include "warp.h"

namespace {

// Channels of four samples in half precision: BLOCKS of 16 channels.
template <int BLOCKS>
struct Rows {
  unsigned pair[BLOCKS][4][2];

  JEAN_MEMBER void put(int block, const float (*values)[4]) {
    for (int r = 0; r < 4; ++r)
      for (int h = 0; h < 2; ++h) pair[block][r][h] = pack(values[r][2 * h], values[r][2 * h + 1]);
  }
};

JEAN_FN int channel_of(int block) { return 16 * block + 4 * (lane_number() & 3); }

// Packs a matrix [16 outputs, 16 inputs] as torch.nn.Linear holds it, [out, in], into one word a lane for
// each block: outputs by inputs by lanes. The threads of a block share the work.
JEAN_FN void pack_weights(const float* matrix, int outputs, int inputs, uint4* packed, int thread, int threads) {
  for (int at = thread; at < outputs / 16 * (inputs / 16) * 32; at += threads) {
    const int lane = at & 31, block = at / 32, in = block % (inputs / 16), out = block / (inputs / 16);
    const int g = lane >> 2;
    const float* first = matrix + (16 * out + 4 * (g >> 1) + (g & 1)) * inputs + 16 * in + 4 * (lane & 3);
    const float* second = first + 2 * inputs;
    packed[at] = make_uint4(pack(first[0], first[1]), pack(first[2], first[3]), pack(second[0], second[1]),
                            pack(second[2], second[3]));
  }
}

// Calls sink(block, values[4 rows][4 channels]) with bias + x · weightsᵀ for each block of 16 outputs.
template <int IN, int OUT, class Sink>
JEAN_FN void layer(const Rows<IN>& x, const uint4* packed, const float* bias, const Sink& sink) {
#pragma unroll
  for (int block = 0; block < OUT; ++block) {
    const float4 start = *(const float4*)(bias + channel_of(block));
    float sum[2][2][4];  // of the tensor cores: rows 0 and 1 or 2 and 3; channels 0 and 1 or 2 and 3
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      sum[m][0][0] = sum[m][0][2] = start.x;
      sum[m][0][1] = sum[m][0][3] = start.y;
      sum[m][1][0] = sum[m][1][2] = start.z;
      sum[m][1][1] = sum[m][1][3] = start.w;
    }
#pragma unroll
    for (int in = 0; in < IN; ++in) {
      const uint4 w = packed[(block * IN + in) * 32 + lane_number()];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const unsigned a[4] = {x.pair[in][2 * m][0], x.pair[in][2 * m + 1][0], x.pair[in][2 * m][1],
                               x.pair[in][2 * m + 1][1]};
        multiply_add(sum[m][0], a, w.x, w.y);
        multiply_add(sum[m][1], a, w.z, w.w);
      }
    }
    float values[4][4];
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) values[r][i] = sum[r / 2][i / 2][2 * (r % 2) + i % 2];
    sink(block, values);
  }
}

// What is below zero becomes zero; a NaN stays one, as in torch.
JEAN_FN void rectify(float (*values)[4]) {
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 4; ++i) values[r][i] = values[r][i] < 0.0f ? 0.0f : values[r][i];
}

// Adds this lane's share of values · weights to one sum for each of its rows.
JEAN_FN void add_dot(const float (*values)[4], const float* weights, int block, float* sums) {
  const float4 w = *(const float4*)(weights + channel_of(block));
  for (int r = 0; r < 4; ++r)
    sums[r] += values[r][0] * w.x + values[r][1] * w.y + values[r][2] * w.z + values[r][3] * w.w;
}

// The whole sum of the lane's own sample, from the shares that its four lanes have.
JEAN_FN float own_sum(const float* sums) {
  float mine = 0.0f;
  for (int r = 0; r < 4; ++r) {
    float sum = sums[r];
    sum += from_opposite(sum, 1);
    sum += from_opposite(sum, 2);
    if (r == (lane_number() & 3)) mine = sum;
  }
  return mine;
}

// The value that the lane of row `row` holds for its own sample.
template <class T>
JEAN_FN T of_row(T value, int row) { return from_lane(value, (lane_number() & ~3) | row); }

}  // namespace
