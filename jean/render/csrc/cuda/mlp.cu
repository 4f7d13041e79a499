// Values of the paper's field, as in ../mlp.h: encoding, the trunk of 128 wide layers, density, the colour's branch of
// 64 wide ones. A warp takes 32 samples through all layers by itself; weights come packed from a
// kernel of their own, and the second-level cache holds them all.
#include "encoding.h"
#include "interface.h"
#include "layers.h"

namespace {

constexpr int WIDE = 8, NARROW = 4, CODE = ENCODED / 16;  // blocks of 16 channels
constexpr int WARPS = 4;  // of a block

// Blocks of 16 inputs that a layer of the field reads.
JEAN_FN int input_blocks(const JeanMlp& m, int layer) {
  return layer == 0 ? CODE : layer == m.join ? CODE + WIDE : layer <= m.trunk ? WIDE : NARROW;
}
JEAN_FN int packed_size(const JeanMlp& m, int layer) {
  return input_blocks(m, layer) * (layer < m.trunk ? WIDE : NARROW) * 32;
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
// numbered by a variable, as registers cannot.
struct Store {
  unsigned code[CODE * 8][32], hidden[WIDE * 8][32];
};

// Encodings of a warp's samples; `position` is that of the lane's own, scaled to the box.
JEAN_FN void encode(const float* position, unsigned (*words)[32]) {
#pragma unroll 1
  for (int r = 0; r < 4; ++r) {
    float place[3];
    for (int axis = 0; axis < 3; ++axis) place[axis] = of_row(position[axis], r);
#pragma unroll 1
    for (int block = 0; block < CODE / 2; ++block) {
      float first[4], second[4];
      for (int i = 0; i < 4; ++i) encode_pair(place, channel_of(block) + i, first + i, second + i);
      for (int h = 0; h < 2; ++h) {
        words[8 * block + 2 * r + h][lane_number()] = pack(first[2 * h], first[2 * h + 1]);
        words[8 * (block + CODE / 2) + 2 * r + h][lane_number()] = pack(second[2 * h], second[2 * h + 1]);
      }
    }
  }
}

template <int BLOCKS>
JEAN_FN void recall(const unsigned (*words)[32], Rows<BLOCKS>& rows) {
#pragma unroll
  for (int block = 0; block < BLOCKS; ++block)
#pragma unroll
    for (int i = 0; i < 8; ++i) rows.pair[block][i / 2][i % 2] = words[8 * block + i][lane_number()];
}

// An encoding in memory; beside a hidden layer in registers.
struct Code {
  const unsigned (*words)[32];
  JEAN_MEMBER unsigned at(int block, int row, int half) const { return words[8 * block + 2 * row + half][lane_number()]; }
};
struct Joined {
  Code code;
  const Rows<WIDE>& hidden;
  JEAN_MEMBER unsigned at(int block, int row, int half) const {
    return block < CODE ? code.at(block, row, half) : hidden.at(block - CODE, row, half);
  }
};

// A layer with its ReLU; `see(block, values)` looks at the outputs in single precision, `words` takes them.
template <int IN, int OUT, class Input, class Bias, class See>
JEAN_FN void pass(const Input& x, const uint4* packed, const Bias& bias, unsigned (*words)[32], const See& see) {
#pragma unroll 1
  for (int block = 0; block < OUT; ++block) {
    float values[4][4];
    outputs<IN>(x, packed, bias, block, values);
    rectify(values);
    see(block, values);
    for (int i = 0; i < 8; ++i)
      words[8 * block + i][lane_number()] = pack(values[i / 2][2 * (i % 2)], values[i / 2][2 * (i % 2) + 1]);
  }
}

// Where the biases of each row of a lane stand.
struct Biases {
  const float* layer;
  int step, frame[4];
  JEAN_MEMBER const float* operator()(int row) const { return layer + (long)step * frame[row]; }
  JEAN_MEMBER void of(const JeanLayer& from) {
    layer = (const float*)from.bias;
    step = from.per_frame ? from.outputs : 0;
  }
};

}  // namespace

// Packs all layers' weights, one behind the other; each row of the grid does one layer.
JEAN_KERNEL void jean_mlp_pack(const __grid_constant__ JeanMlp m, uint4* packed) {
  const int number = (int)blockIdx.y;
  for (int before = 0; before < number; ++before) packed += packed_size(m, before);
  const JeanLayer& from = m.layer[number];
  const bool encoded = number == 0 || number == m.join;
  const auto column = [&](int i) {
    return !encoded ? i : i < ENCODED ? encoded_place(i) : i - ENCODED + ENCODED_INPUTS;
  };
  pack_weights((const float*)from.weight, from.inputs, column, from.outputs, 16 * input_blocks(m, number), packed,
               (int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(gridDim.x * blockDim.x));
}

// Density, and where `samples.rgb` is there colour, of each sample. Where 32 neighbours have no density at all, their
// colours are zero.
JEAN_KERNEL void __launch_bounds__(WARPS * 32, 2) jean_mlp(const __grid_constant__ JeanMlp m,
                                                        const __grid_constant__ JeanSamples samples,
                                                        const uint4* packed) {
  __shared__ Store stores[WARPS];
  const int warp = (int)threadIdx.x / 32, lane = lane_number();
  const long tile = (long)blockIdx.x * (blockDim.x / 32) + warp;
  if (tile * 32 >= samples.count) return;
  const long wanted = tile * 32 + lane / 4 + 8 * (lane % 4);  // the lane's own row, see layers.h
  const bool real = wanted < samples.count;
  const long sample = real ? wanted : samples.count - 1;
  float position[3];
  for (int axis = 0; axis < 3; ++axis)
    position[axis] = (((const float*)samples.positions)[3 * sample + axis] - (float)m.middle[axis]) / (float)m.reach[axis];
  Biases biases;
  const int frame = m.frames == 1 ? 0 : samples.frame[sample];
  for (int r = 0; r < 4; ++r) biases.frame[r] = of_row(frame, r);

  Store& store = stores[warp];
  const auto unseen = [](int, const float (*)[4]) {};
  encode(position, store.code);
  const Code code = {store.code};
  biases.of(m.layer[0]);
  pass<CODE, WIDE>(code, packed, biases, store.hidden, unseen);
  float sums[4] = {};
  Rows<WIDE> hidden;
#pragma unroll 1
  for (int number = 1; number < m.trunk; ++number) {
    packed += packed_size(m, number - 1);
    biases.of(m.layer[number]);
    recall(store.hidden, hidden);
    const auto see = [&](int block, const float (*values)[4]) {
      if (number == m.trunk - 1) add_dot(values, (const float*)m.density, block, sums);
    };
    if (number == m.join) {
      pass<CODE + WIDE, WIDE>(Joined{code, hidden}, packed, biases, store.hidden, see);
    } else {
      pass<WIDE, WIDE>(hidden, packed, biases, store.hidden, see);
    }
  }
  const float density = own_sum(sums) + ((const float*)m.density_bias)[0];
  if (real) ((float*)samples.density)[sample] = density < 0.0f ? 0.0f : density;  // a NaN stays one
  float* rgb = (float*)samples.rgb + 3 * sample;
  if (!samples.rgb) return;
  if (!lanes_with(!(density <= 0.0f))) {
    if (real) rgb[0] = rgb[1] = rgb[2] = 0.0f;
    return;
  }
  packed += packed_size(m, m.trunk - 1);
  biases.of(m.layer[m.trunk]);
  float colours[3][4] = {};
  recall(store.hidden, hidden);
  const auto see = [&](int block, const float (*values)[4]) {
    for (int c = 0; c < 3; ++c) add_dot(values, (const float*)m.rgb + c * 16 * NARROW, block, colours[c]);
  };
  pass<WIDE, NARROW>(hidden, packed, biases, store.hidden, unseen);
#pragma unroll 1
  for (int number = m.trunk + 1; number < m.layers; ++number) {
    Rows<NARROW> shade;
    packed += packed_size(m, number - 1);
    biases.of(m.layer[number]);
    recall(store.hidden, shade);
    for (int c = 0; c < 3; ++c)
      for (int r = 0; r < 4; ++r) colours[c][r] = 0.0f;  // the last layer's is what counts
    pass<NARROW, NARROW>(shade, packed, biases, store.hidden, see);
  }
  for (int c = 0; c < 3; ++c) {
    const float colour = sigmoid(own_sum(colours[c]) + ((const float*)m.rgb_bias)[c]);
    if (real) rgb[c] = colour;
  }
}
