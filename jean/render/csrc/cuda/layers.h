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

  JEAN_MEMBER unsigned at(int block, int row, int half) const { return pair[block][row][half]; }

  JEAN_MEMBER void put(int block, const float (*values)[4]) {
    for (int r = 0; r < 4; ++r)
      for (int h = 0; h < 2; ++h) pair[block][r][h] = pack(values[r][2 * h], values[r][2 * h + 1]);
  }
};

JEAN_FN int channel_of(int block) { return 16 * block + 4 * (lane_number() & 3); }

// Packs a matrix as torch.nn.Linear holds it, [outputs, step], into one word a lane for each block of 16 outputs and
// 16 inputs: outputs by inputs by lanes. `column(i)` is where input i stands in it; -1: nowhere, it is zero. `thread`
// of `threads` does its share.
template <class Column>
JEAN_FN void pack_weights(const float* matrix, int step, const Column& column, int outputs, int inputs, uint4* packed,
                          int thread, int threads) {
  for (int at = thread; at < outputs / 16 * (inputs / 16) * 32; at += threads) {
    const int lane = at & 31, block = at / 32, in = block % (inputs / 16), out = block / (inputs / 16);
    const float* row = matrix + (16 * out + 4 * (lane >> 3) + (lane >> 2 & 1)) * step;
    float values[2][4];
    for (int h = 0; h < 2; ++h)
      for (int i = 0; i < 4; ++i) {
        const int from = column(16 * in + 4 * (lane & 3) + i);
        values[h][i] = from < 0 ? 0.0f : row[2 * h * step + from];
      }
    packed[at] = make_uint4(pack(values[0][0], values[0][1]), pack(values[0][2], values[0][3]),
                            pack(values[1][0], values[1][1]), pack(values[1][2], values[1][3]));
  }
}

// values [4 rows][4 channels] = bias + x · weightsᵀ for one block of 16 outputs. x is Rows<IN>, or what has their `at`;
// `bias(row)` is where a row's biases stand.
template <int IN, class Input, class Bias>
JEAN_FN void outputs(const Input& x, const uint4* packed, const Bias& bias, int block, float (*values)[4]) {
  float sum[2][2][4];  // of the tensor cores: rows 0 and 1 or 2 and 3; channels 0 and 1 or 2 and 3
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const float4 start = *(const float4*)(bias(r) + channel_of(block));
    float(*to)[4] = sum[r / 2];
    to[0][2 * (r % 2)] = start.x;
    to[0][2 * (r % 2) + 1] = start.y;
    to[1][2 * (r % 2)] = start.z;
    to[1][2 * (r % 2) + 1] = start.w;
  }
#pragma unroll
  for (int in = 0; in < IN; ++in) {
    const uint4 w = packed[(block * IN + in) * 32 + lane_number()];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const unsigned a[4] = {x.at(in, 2 * m, 0), x.at(in, 2 * m + 1, 0), x.at(in, 2 * m, 1), x.at(in, 2 * m + 1, 1)};
      multiply_add(sum[m][0], a, w.x, w.y);
      multiply_add(sum[m][1], a, w.z, w.w);
    }
  }
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int i = 0; i < 4; ++i) values[r][i] = sum[r / 2][i / 2][2 * (r % 2) + i % 2];
}

// Calls sink(block, values) for each block of a layer's outputs.
template <int IN, int OUT, class Input, class Bias, class Sink>
JEAN_FN void layer(const Input& x, const uint4* packed, const Bias& bias, const Sink& sink) {
#pragma unroll
  for (int block = 0; block < OUT; ++block) {
    float values[4][4];
    outputs<IN>(x, packed, bias, block, values);
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
