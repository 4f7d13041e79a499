// What the kernels of the paper's field share: a warp's memory, the encoding, the chain of layers of ../mlp.h.
#pragma once
#include "encoding.h"
#include "interface.h"
#include "layers.h"

namespace {

constexpr int WIDE = 8, NARROW = 4, CODE = ENCODED / 16;  // blocks of 16 channels

// Warps of a block: what they store fits into the 48 kB that every card has for a block.
template <class F>
constexpr int WARPS = 8 / F::WORDS;

// Blocks of 16 inputs that a layer of the field reads, and of outputs.
JEAN_FN int input_blocks(const JeanMlp& m, int layer) {
  return layer == 0 ? CODE : layer == m.join ? CODE + WIDE : layer <= m.trunk ? WIDE : NARROW;
}
JEAN_FN int output_blocks(const JeanMlp& m, int layer) { return layer < m.trunk ? WIDE : NARROW; }

// Where a layer's packed weights begin.
template <class F>
JEAN_FN long packed_before(const JeanMlp& m, int layer) {
  long words = 0;
  for (int i = 0; i < layer; ++i) words += packed_words<F>(output_blocks(m, i), input_blocks(m, i));
  return words;
}

// A value that stands in a row's encoding at `place` and one that stands 32 places further (../encoding.h).
JEAN_FN void encode_pair(const float* position, int place, float* first, float* second) {
  const int axis = place % 3;
  const float along = axis == 0 ? position[0] : axis == 1 ? position[1] : position[2];
  if (place < 3 * OCTAVES) {
    sine_cosine((float)(1 << place / 3) * along, first, second);
  } else {
    *first = place == 30 ? position[0] : position[1];
    *second = place == 30 ? position[2] : 0.0f;
  }
}

// A warp's own memory, in which every lane has a column that no other lane reads: blocks of 16 channels there can be
// numbered by a variable, as registers cannot. A block's words are those of its rows, one behind the other. The
// encoding comes first, so that it and a hidden layer are what the joining layer reads.
template <class F>
struct Store {
  unsigned words[(CODE + WIDE) * 4 * F::WORDS][32];

  JEAN_MEMBER unsigned (*code())[32] { return words; }
  JEAN_MEMBER unsigned (*hidden())[32] { return words + CODE * 4 * F::WORDS; }
};

template <class F>
JEAN_FN void put(unsigned (*words)[32], int block, int row, const float* values) {
  unsigned made[F::WORDS];
  F::put(values, made);
#pragma unroll
  for (int w = 0; w < F::WORDS; ++w) words[(4 * block + row) * F::WORDS + w][lane_number()] = made[w];
}

// One number of what `put` has stored.
template <class F>
JEAN_FN float remembered(const unsigned (*words)[32], int block, int row, int i) {
  const unsigned word = words[(4 * block + row) * F::WORDS + i * F::WORDS / 4][lane_number()];
  return F::value(&word, i % (4 / F::WORDS));
}

// Encodings of a warp's samples; `position` is that of the lane's own, scaled to the box.
template <class F>
JEAN_FN void encode(const float* position, unsigned (*words)[32]) {
#pragma unroll 1
  for (int r = 0; r < 4; ++r) {
    float place[3];
    for (int axis = 0; axis < 3; ++axis) place[axis] = of_row(position[axis], r);
#pragma unroll 1
    for (int block = 0; block < CODE / 2; ++block) {
      float first[4], second[4];
      for (int i = 0; i < 4; ++i) encode_pair(place, channel_of(block) + i, first + i, second + i);
      put<F>(words, block, r, first);
      put<F>(words, block + CODE / 2, r, second);
    }
  }
}

// A layer of OUT blocks from `blocks` blocks of inputs; `change(block, values)` sees and changes what comes out, in
// single precision and still without biases, before `to` takes it. All sums stay in registers while the inputs pass, so each input is read, and
// split where the format wants it, once.
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
    __syncwarp();  // one block after the other: what is done with all at once does not fit into the registers
    made[block].end(values);
    change(block, values);
    for (int r = 0; r < 4; ++r) put<F>(to, block, r, values[r]);
  }
}

// Biases of a layer; `frame` is that of the lane's own sample.
struct Biases {
  int frame, step;
  const float* layer;

  JEAN_MEMBER void of(const JeanLayer& from) {
    layer = (const float*)from.bias;
    step = from.per_frame ? from.outputs : 0;
  }
  JEAN_MEMBER void add(int block, float (*values)[4]) const {
    for (int r = 0; r < 4; ++r) {
      const float4 bias = *(const float4*)(layer + (long)step * of_row(frame, r) + channel_of(block));
      values[r][0] += bias.x;
      values[r][1] += bias.y;
      values[r][2] += bias.z;
      values[r][3] += bias.w;
    }
  }
};

// The position of a sample, scaled to the box.
JEAN_FN void scaled_position(const JeanMlp& m, const JeanSamples& samples, long sample, float* position) {
  for (int axis = 0; axis < 3; ++axis)
    position[axis] = (((const float*)samples.positions)[3 * sample + axis] - (float)m.middle[axis]) / (float)m.reach[axis];
}

// The trunk, from encodings in `store`; `see(number, block, values)` looks at what leaves a layer.
template <class F, class See>
JEAN_FN void run_trunk(const JeanMlp& m, const uint4* packed, Biases& biases, Store<F>& store, const See& see) {
#pragma unroll 1
  for (int number = 0; number < m.trunk; ++number) {
    const bool encoded = number == 0 || number == m.join;
    biases.of(m.layer[number]);
    pass<F, WIDE>(encoded ? store.code() : store.hidden(), input_blocks(m, number), packed, store.hidden(),
                  [&](int block, float (*values)[4]) {
                    biases.add(block, values);
                    rectify(values);
                    see(number, block, values);
                  });
    packed += packed_words<F>(WIDE, input_blocks(m, number));
  }
}

// The colour's branch, from the trunk's last layer in `store`.
template <class F, class See>
JEAN_FN void run_branch(const JeanMlp& m, const uint4* packed, Biases& biases, Store<F>& store, const See& see) {
  packed += packed_before<F>(m, m.trunk);
#pragma unroll 1
  for (int number = m.trunk; number < m.layers; ++number) {
    biases.of(m.layer[number]);
    pass<F, NARROW>(store.hidden(), input_blocks(m, number), packed, store.hidden(),
                    [&](int block, float (*values)[4]) {
                      biases.add(block, values);
                      rectify(values);
                      see(number, block, values);
                    });
    packed += packed_words<F>(NARROW, input_blocks(m, number));
  }
}

}  // namespace
