// The paper's field (jean/models/head/mlp.py) on tiles of samples: encoding, eight layers, density and colour.
// Condition and viewing direction are constant over a frame, so they come folded into the biases of the layers that read
// them. Trunk and colour branch are one chain of layers here: the density reads the last layer of the trunk, the colour
// the last layer of the chain.
#pragma once
#include "encoding.h"
#include "interface.h"
#include "vectors.h"

namespace {

constexpr int MLP_TILE = JEAN_TILE;

// Blocking of matrices per target: panels of columns that stay in the L1 cache, against blocks of rows.
template <class T, int N>
struct Cut {
  static constexpr int VECTORS = N * sizeof(T) == 64 ? 4 : 2, COLUMNS = VECTORS * N, ROWS = 4;
};

// A layer prepared for the products. Rows of its inputs and outputs are `step` scalars apart.
template <class T>
struct Layer {
  int inputs, outputs;  // inputs padded: an encoding takes 64 places
  int encoded;          // leading inputs that are an encoding
  int read, read_step, write, write_step;  // where in a tile's memory, in scalars
  const T *bias;
  int bias_step;   // between frames; 0: one for all
  T *ahead;        // [outputs / COLUMNS][inputs][COLUMNS]: values
  T *back;         // [inputs / COLUMNS][outputs][COLUMNS]: gradients
  long sum, sum_bias;  // offsets of its gradients in the sums
};

template <class T>
struct Mlp {
  const JeanMlp* mlp;
  int layers, trunk, width, colour_width;
  int tile_size;  // scalars of a tile's memory
  long sums;      // scalars of one partial sum
  long sum_density, sum_rgb, sum_last;
  T middle[3], reach[3];
  Layer<T> layer[JEAN_MAX_LAYERS];
};

// Column of input `i` of a layer in torch's matrix; -1: padding.
template <class T>
JEAN_FN int input_place(const Layer<T>& l, int i) {
  if (i < l.encoded) return encoded_place(i);
  return l.encoded ? i - l.encoded + ENCODED_INPUTS : i;
}

// Scalars that `pack` needs for matrices. With gradients, each matrix is stored twice.
JEAN_FN long mlp_matrices(const JeanMlp& m, bool gradients) {
  long size = 0;
  for (int i = 0; i < m.layers; ++i) {
    const long inputs = m.layer[i].inputs + (i == 0 || i == m.join ? ENCODED - ENCODED_INPUTS : 0);
    size += (gradients ? 2 : 1) * inputs * m.layer[i].outputs;
  }
  return size;
}

// Assigns offsets in a tile's memory and in the sums.
template <class T>
JEAN_FN void lay_out(const JeanMlp& m, Mlp<T>& to) {
  to.mlp = &m;
  to.layers = m.layers;
  to.trunk = m.trunk;
  to.width = m.layer[m.trunk - 1].outputs;
  to.colour_width = m.layer[m.layers - 1].outputs;
  int place = 0;
  long sum = 0;
  for (int i = 0; i < m.layers; ++i) {
    const JeanLayer& from = m.layer[i];
    Layer<T>& l = to.layer[i];
    l.encoded = i == 0 || i == m.join ? ENCODED : 0;
    l.inputs = from.inputs + (l.encoded ? ENCODED - ENCODED_INPUTS : 0);
    l.outputs = from.outputs;
    l.bias = (const T*)from.bias;
    l.bias_step = from.per_frame ? from.outputs : 0;
    // the layer before the joining one writes beside the encoding, so that one row holds both
    if (i == 0) {
      l.read = 0;
      l.read_step = ENCODED + m.layer[m.join - 1].outputs;
      place = MLP_TILE * l.read_step;
    } else {
      l.read = i == m.join ? 0 : to.layer[i - 1].write;
      l.read_step = to.layer[i - 1].write_step;
    }
    if (i == m.join - 1) {
      l.write = ENCODED;
      l.write_step = ENCODED + l.outputs;
    } else {
      l.write = place;
      l.write_step = l.outputs;
      place += MLP_TILE * l.outputs;
    }
    l.sum = sum;
    l.sum_bias = sum + (long)l.inputs * l.outputs;
    sum = l.sum_bias + (long)l.outputs * (from.per_frame ? m.frames : 1);
  }
  to.tile_size = place;
  to.sum_density = sum;
  to.sum_rgb = sum + to.width;
  to.sum_last = to.sum_rgb + 3l * to.colour_width;
  to.sums = to.sum_last + 16;
  for (int axis = 0; axis < 3; ++axis) to.middle[axis] = T(m.middle[axis]), to.reach[axis] = T(m.reach[axis]);
}

// Packs the matrices into `memory`.
template <class T, int N>
JEAN_FN void pack(T* memory, bool gradients, Mlp<T>& to) {
  constexpr int COLUMNS = Cut<T, N>::COLUMNS;
  for (int i = 0; i < to.layers; ++i) {
    Layer<T>& l = to.layer[i];
    const T* weight = (const T*)to.mlp->layer[i].weight;
    const long row = to.mlp->layer[i].inputs;
    l.ahead = memory;
    memory += (long)l.inputs * l.outputs;
    l.back = gradients ? memory : nullptr;
    if (gradients) memory += (long)l.inputs * l.outputs;
    for (int in = 0; in < l.inputs; ++in) {
      const int column = input_place(l, in);
      for (int out = 0; out < l.outputs; ++out) {
        const T value = column < 0 ? T(0) : weight[out * row + column];
        l.ahead[((long)(out / COLUMNS) * l.inputs + in) * COLUMNS + out % COLUMNS] = value;
        if (gradients) l.back[((long)(in / COLUMNS) * l.outputs + out) * COLUMNS + in % COLUMNS] = value;
      }
    }
  }
}

// y [rows of a tile, width] = (start or 0) + x · packed. The outer loop is over panels, so that one panel stays in the L1
// cache while all rows use it.
template <class T, int N, bool RECTIFY>
JEAN_FN void panels(const T* x, int x_step, int depth, const T* packed, int width, const T* const* start, T* y,
                    int y_step) {
  typedef typename Lanes<T, N>::type V;
  constexpr int VECTORS = Cut<T, N>::VECTORS, COLUMNS = Cut<T, N>::COLUMNS, BLOCK_ROWS = Cut<T, N>::ROWS;
  for (int c = 0; c < width; c += COLUMNS) {
    const T* panel = packed + (long)c * depth;
    for (int r = 0; r < MLP_TILE; r += BLOCK_ROWS) {
      V sum[BLOCK_ROWS][VECTORS];
      for (int i = 0; i < BLOCK_ROWS; ++i)
        for (int v = 0; v < VECTORS; ++v) sum[i][v] = start ? load<T, N>(start[r + i] + c + v * N) : V{};
      const T* row = x + (long)r * x_step;
      for (int k = 0; k < depth; ++k) {
        V weight[VECTORS];
        for (int v = 0; v < VECTORS; ++v) weight[v] = load<T, N>(panel + (long)k * COLUMNS + v * N);
        for (int i = 0; i < BLOCK_ROWS; ++i) {
          const T value = row[i * x_step + k];
          for (int v = 0; v < VECTORS; ++v) sum[i][v] += value * weight[v];
        }
      }
      for (int i = 0; i < BLOCK_ROWS; ++i)
        for (int v = 0; v < VECTORS; ++v) {
          V out = sum[i][v];
          if (RECTIFY) out = out < V{} ? V{} : out;  // a NaN stays NaN, as in torch
          store<T, N>(y + (long)(r + i) * y_step + c + v * N, out);
        }
    }
  }
}

// The samples of a tile; missing ones repeat the last.
template <class T>
struct MlpTile {
  int count;
  int64_t sample[MLP_TILE];
  int frame[MLP_TILE];
  T position[MLP_TILE][3];  // scaled

  // `chosen`: indices of the samples; null: all samples.
  JEAN_MEMBER void read(const Mlp<T>& m, const JeanSamples& samples, const int64_t* chosen, long start, long end) {
    count = (int)lesser((long)MLP_TILE, end - start);
    for (int s = 0; s < MLP_TILE; ++s) {
      const long at = start + (s < count ? s : count - 1);
      sample[s] = chosen ? chosen[at] : at;
      frame[s] = m.mlp->frames == 1 ? 0 : samples.frame[sample[s]];
      for (int axis = 0; axis < 3; ++axis)
        position[s][axis] = (((const T*)samples.positions)[3 * sample[s] + axis] - m.middle[axis]) / m.reach[axis];
    }
  }
};

template <class T>
JEAN_FN void starts(const Layer<T>& l, const MlpTile<T>& tile, const T** start) {
  for (int s = 0; s < MLP_TILE; ++s) start[s] = l.bias + (long)tile.frame[s] * l.bias_step;
}

// Layers [from, to) of the chain, in `memory`.
template <class T, int N>
JEAN_FN void run_layers(const Mlp<T>& m, const MlpTile<T>& tile, T* memory, int from, int to) {
  const T* start[MLP_TILE];
  for (int i = from; i < to; ++i) {
    const Layer<T>& l = m.layer[i];
    starts(l, tile, start);
    panels<T, N, true>(memory + l.read, l.read_step, l.inputs, l.ahead, l.outputs, start, memory + l.write,
                       l.write_step);
  }
}

template <class T, int N>
JEAN_FN void encode_tile(const Mlp<T>& m, const MlpTile<T>& tile, T* memory) {
  for (int s = 0; s < MLP_TILE; ++s) encode_position(tile.position[s], memory + (long)s * m.layer[0].read_step);
}

// Writes densities from the last layer of the trunk. Returns whether colours have to be computed: with
// `skip_empty_tiles`, not in tiles without density, whose colours are set to zero.
template <class T, int N>
JEAN_FN bool write_densities(const Mlp<T>& m, const JeanSamples& samples, const MlpTile<T>& tile, bool skip_empty_tiles,
                             const T* hidden, int step) {
  T density[MLP_TILE];
  dots<T, N>(hidden, step, (const T*)m.mlp->density, m.width, ((const T*)m.mlp->density_bias)[0], density, MLP_TILE);
  bool seen = !skip_empty_tiles;
  for (int s = 0; s < tile.count; ++s) {
    const T value = density[s] < T(0) ? T(0) : density[s];
    ((T*)samples.density)[tile.sample[s]] = value;
    seen |= !(value <= T(0));
  }
  if (!samples.rgb) return false;
  for (int s = 0; s < tile.count && !seen; ++s)
    for (int c = 0; c < 3; ++c) ((T*)samples.rgb)[3 * tile.sample[s] + c] = T(0);
  return seen;
}

template <class T, int N>
JEAN_FN void write_colours(const Mlp<T>& m, const JeanSamples& samples, const MlpTile<T>& tile, const T* shade,
                           int step) {
  T colour[3][MLP_TILE];
  for (int c = 0; c < 3; ++c)
    dots<T, N>(shade, step, (const T*)m.mlp->rgb + (long)c * m.colour_width, m.colour_width,
               ((const T*)m.mlp->rgb_bias)[c], colour[c],
               MLP_TILE);
  for (int c = 0; c < 3; ++c)
    for (int s = 0; s < MLP_TILE; ++s) colour[c][s] = sigmoid(colour[c][s]);
  for (int s = 0; s < tile.count; ++s)
    for (int c = 0; c < 3; ++c) ((T*)samples.rgb)[3 * tile.sample[s] + c] = colour[c][s];
}

// Values of a tile.
template <class T, int N>
JEAN_FN void mlp_tile_forward(const Mlp<T>& m, const JeanSamples& samples, const MlpTile<T>& tile, bool skip_empty_tiles,
                              T* memory) {
  encode_tile<T, N>(m, tile, memory);
  run_layers<T, N>(m, tile, memory, 0, m.trunk);
  const Layer<T>& last = m.layer[m.trunk - 1];
  if (!write_densities<T, N>(m, samples, tile, skip_empty_tiles, memory + last.write, last.write_step)) return;
  run_layers<T, N>(m, tile, memory, m.trunk, m.layers);
  const Layer<T>& shade = m.layer[m.layers - 1];
  write_colours<T, N>(m, samples, tile, memory + shade.write, shade.write_step);
}

}  // namespace
