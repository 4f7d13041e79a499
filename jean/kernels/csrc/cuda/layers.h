// Layers of a small network over 32 samples of a warp. Lane 4 g + t holds, of the samples 4 g to 4 g + 3 (its "rows"
// 0 to 3), the channels 16 j + 4 t + i with i = 0..3. The tensor cores' own order of channels and of samples
// differs, but the order of additions in a product is free, and so is that of the columns of its result. Weights are
// packed so that the output of one layer is, in place, the input of the next, and every load has 16 bytes. A lane's own
// sample, its row t, has the lane's index.
#pragma once
#include "formats.h"

namespace {

// Channels of four samples as factors in the format F: BLOCKS of 16 channels.
template <class F, int BLOCKS>
struct Rows {
  unsigned words[BLOCKS][4][F::WORDS];

  JEAN_MEMBER unsigned at(int block, int row, int word) const { return words[block][row][word]; }

  JEAN_MEMBER void put(int block, const float (*values)[4]) {
    for (int r = 0; r < 4; ++r) F::put(values[r], words[block][r]);
  }
};

JEAN_FN int channel_of(int block) { return 16 * block + 4 * (lane_number() & 3); }

// Size of a packed matrix in words of 16 bytes, by its blocks of 16 outputs and 16 inputs.
template <class F>
JEAN_FN int packed_words(int out_blocks, int in_blocks) { return out_blocks * in_blocks * 32 * (F::WORDS / 2); }

// Packs a matrix, of which `value(output, input)` is an element, for each block of 16 outputs and 16 inputs: outputs by
// inputs by words by lanes. `thread` of `threads` does its share.
template <class F, class Value>
JEAN_FN void pack_weights(const Value& value, int out_blocks, int in_blocks, uint4* packed, int thread, int threads) {
  for (int at = thread; at < out_blocks * in_blocks * 32; at += threads) {
    const int lane = at & 31, block = at / 32, in = block % in_blocks, out = block / in_blocks;
    const int first = 16 * out + 4 * (lane >> 3) + (lane >> 2 & 1);
    unsigned words[2 * F::WORDS];
    for (int h = 0; h < 2; ++h) {
      float values[4];
      for (int i = 0; i < 4; ++i) values[i] = value(first + 2 * h, 16 * in + 4 * (lane & 3) + i);
      F::put(values, words + h * F::WORDS);
    }
    for (int q = 0; q < F::WORDS / 2; ++q)
      packed[(block * (F::WORDS / 2) + q) * 32 + lane] =
          make_uint4(words[4 * q], words[4 * q + 1], words[4 * q + 2], words[4 * q + 3]);
  }
}

// Sums of a block of 16 outputs as the tensor cores hold them: rows 0 and 1 or 2 and 3; channels 0 and 1 or 2 and 3.
struct Block {
  float sum[2][2][4];

  // `start(row)` is the initial value of a row.
  template <class Start>
  JEAN_MEMBER void begin(const Start& start) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const float4 from = start(r);
      float(*to)[4] = sum[r / 2];
      to[0][2 * (r % 2)] = from.x;
      to[0][2 * (r % 2) + 1] = from.y;
      to[1][2 * (r % 2)] = from.z;
      to[1][2 * (r % 2) + 1] = from.w;
    }
  }

  // Adds 16 inputs of x, block `in`, times their weights.
  template <class F, class Input>
  JEAN_MEMBER void add(const Input& x, int in, const uint4* packed) {
    unsigned w[2 * F::WORDS];
#pragma unroll
    for (int q = 0; q < F::WORDS / 2; ++q) {
      const uint4 word = packed[q * 32 + lane_number()];
      w[4 * q] = word.x;
      w[4 * q + 1] = word.y;
      w[4 * q + 2] = word.z;
      w[4 * q + 3] = word.w;
    }
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int s = 0; s < F::WORDS; s += 2) {
        const unsigned a[4] = {x.at(in, 2 * m, s), x.at(in, 2 * m + 1, s), x.at(in, 2 * m, s + 1),
                               x.at(in, 2 * m + 1, s + 1)};
        F::step(sum[m][0], a, w[s], w[s + 1]);
        F::step(sum[m][1], a, w[F::WORDS + s], w[F::WORDS + s + 1]);
      }
  }

  JEAN_MEMBER void end(float (*values)[4]) const {
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) values[r][i] = sum[r / 2][i / 2][2 * (r % 2) + i % 2];
  }
};

// Initial values of a block of outputs: biases of a row, or zero.
struct NoBias {
  JEAN_MEMBER float4 operator()(int, int) const { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }
};
struct OneBias {
  const float* bias;
  JEAN_MEMBER float4 operator()(int, int block) const { return *(const float4*)(bias + channel_of(block)); }
};

// values [4 rows][4 channels] = bias + x · weightsᵀ for one block of 16 outputs. x is Rows<F, IN>, or has the same
// `at`; `bias(row, block)` is the initial value of a row.
template <class F, int IN, class Input, class Bias>
JEAN_FN void outputs(const Input& x, const uint4* packed, const Bias& bias, int block, float (*values)[4]) {
  Block made;
  made.begin([&](int row) { return bias(row, block); });
#pragma unroll
  for (int in = 0; in < IN; ++in) made.add<F>(x, in, packed + packed_words<F>(block * IN + in, 1));
  made.end(values);
}

// Calls sink(block, values) for each block of a layer's outputs.
template <class F, int IN, int OUT, class Input, class Bias, class Sink>
JEAN_FN void layer(const Input& x, const uint4* packed, const Bias& bias, const Sink& sink) {
#pragma unroll
  for (int block = 0; block < OUT; ++block) {
    float values[4][4];
    outputs<F, IN>(x, packed, bias, block, values);
    sink(block, values);
  }
}

// ReLU; a NaN stays NaN, as in torch.
JEAN_FN void rectify(float (*values)[4]) {
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 4; ++i) values[r][i] = values[r][i] < 0.0f ? 0.0f : values[r][i];
}

// One bit per value that is not zero after `rectify`: gradients pass there.
JEAN_FN unsigned passing(const float (*values)[4]) {
  unsigned bits = 0;
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 4; ++i) bits |= (unsigned)!(values[r][i] <= 0.0f) << (4 * r + i);
  return bits;
}
JEAN_FN void stop(float (*values)[4], unsigned bits) {
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 4; ++i) values[r][i] = bits >> (4 * r + i) & 1u ? values[r][i] : 0.0f;
}

// Adds its biases to one row's values.
JEAN_FN void add_bias(float* row, const float* biases, int block) {
  const float4 bias = *(const float4*)(biases + channel_of(block));
  row[0] += bias.x;
  row[1] += bias.y;
  row[2] += bias.z;
  row[3] += bias.w;
}

// Adds this lane's part of values · weights to one sum for each of its rows.
JEAN_FN void add_dot(const float (*values)[4], const float* weights, int block, float* sums) {
  const float4 w = *(const float4*)(weights + channel_of(block));
  for (int r = 0; r < 4; ++r)
    sums[r] += values[r][0] * w.x + values[r][1] * w.y + values[r][2] * w.z + values[r][3] * w.w;
}

// Backward: adds to each row's values its factor times the weights.
JEAN_FN void add_scaled(float (*values)[4], const float* weights, int block, const float* numbers) {
  const float4 w = *(const float4*)(weights + channel_of(block));
  for (int r = 0; r < 4; ++r) {
    values[r][0] += numbers[r] * w.x;
    values[r][1] += numbers[r] * w.y;
    values[r][2] += numbers[r] * w.z;
    values[r][3] += numbers[r] * w.w;
  }
}

// The sum of the lane's own sample, from the partial sums of its four lanes.
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

// Adds a number that each lane has for its own sample, times the weights, to the rows' values.
JEAN_FN void add_own(float (*values)[4], const float* weights, int block, float own) {
  float numbers[4];
  for (int r = 0; r < 4; ++r) numbers[r] = of_row(own, r);
  add_scaled(values, weights, block, numbers);
}

// In a warp's own memory every lane has a column that no other lane reads. Unlike registers, blocks of 16 channels there
// can be indexed by a variable. The words of a block are those of its rows, one after the other.
template <class F>
JEAN_FN void put(unsigned (*words)[32], int block, int row, const float* values) {
  unsigned made[F::WORDS];
  F::put(values, made);
#pragma unroll
  for (int w = 0; w < F::WORDS; ++w) words[(4 * block + row) * F::WORDS + w][lane_number()] = made[w];
}

// One number that `put` has stored.
template <class F>
JEAN_FN float remembered(const unsigned (*words)[32], int block, int row, int i) {
  const unsigned word = words[(4 * block + row) * F::WORDS + i * F::WORDS / 4][lane_number()];
  return F::value(&word, i % (4 / F::WORDS));
}

// A layer of OUT blocks from `blocks` blocks of inputs; `change(block, values)` may change the output, in
// single precision and without biases, before it is stored in `to`. All sums stay in registers while the inputs pass, so
// each input is read, and split where the format wants it, once.
template <class F, int OUT, class Change>
JEAN_FN void pass(const unsigned (*from)[32], int blocks, const uint4* packed, unsigned (*to)[32], const Change& change) {
  Block made[OUT] = {};
#pragma unroll 1
  for (int in = 0; in < blocks; ++in) {
    Rows<F, 1> x;
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int w = 0; w < F::WORDS; ++w) x.words[0][r][w] = from[(4 * in + r) * F::WORDS + w][lane_number()];
#pragma unroll
    for (int block = 0; block < OUT; ++block) made[block].template add<F>(x, 0, packed + packed_words<F>(block * blocks + in, 1));
  }
#pragma unroll
  for (int block = 0; block < OUT; ++block) {
    float values[4][4];
    __syncwarp();  // one block after the other: all blocks at once do not fit into the registers
    made[block].end(values);
    change(block, values);
    for (int r = 0; r < 4; ++r) put<F>(to, block, r, values[r]);
  }
}

}  // namespace
