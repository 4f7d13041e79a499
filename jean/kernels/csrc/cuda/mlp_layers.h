// Shared by the kernels of the paper's field: memory of a warp, the encoding, the chain of layers of ../mlp.h.
#pragma once
#include "encoding.h"
#include "interface.h"
#include "layers.h"

namespace {

constexpr int WIDE = 8, NARROW = 4, CODE = ENCODED / 16;  // blocks of 16 channels

// Warps per block: their memory fits into the 48 kB of shared memory that every GPU has per block.
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

// Elements `place` and `place + 32` of a row's encoding (../encoding.h).
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

// A warp's own memory (layers.h). The encoding comes first, so that it and a hidden layer are the contiguous input of
// the joining layer.
template <class F>
struct Store {
  unsigned words[(CODE + WIDE) * 4 * F::WORDS][32];

  JEAN_MEMBER unsigned (*code())[32] { return words; }
  JEAN_MEMBER unsigned (*hidden())[32] { return words + CODE * 4 * F::WORDS; }
};

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

// Biases of a layer; `frame` is that of the lane's own sample.
struct Biases {
  int frame, step;
  const float* layer;

  JEAN_MEMBER void of(const JeanLayer& from) {
    layer = (const float*)from.bias;
    step = from.per_frame ? from.outputs : 0;
  }
  JEAN_MEMBER void add(int block, float (*values)[4]) const {
    for (int r = 0; r < 4; ++r) add_bias(values[r], layer + (long)step * of_row(frame, r), block);
  }
};

// The position of a sample, scaled to the box.
JEAN_FN void scaled_position(const JeanMlp& m, const JeanSamples& samples, long sample, float* position) {
  for (int axis = 0; axis < 3; ++axis)
    position[axis] = (((const float*)samples.positions)[3 * sample + axis] - (float)m.middle[axis]) / (float)m.reach[axis];
}

// The trunk, from encodings in `store`; `see(layer, block, values)` receives the outputs of each layer.
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
