// Gradients of the paper's field. Layers are computed again, not kept from the forward pass: writing and reading their
// 5 kB per sample takes as long as computing them. Most samples of a trained field have no density, so their gradients
// are exactly zero and they are skipped (`flows_back`).
#pragma once
#include "mlp.h"

namespace {

// Scalars of a tile's gradients, stored behind its layers.
template <class T>
JEAN_FN long mlp_gradient_size(const Mlp<T>& m) { return (long)MLP_TILE * (3 * ENCODED + 2 * m.width); }

template <class T, int N>
JEAN_FN void stop(T* gradient, int step, const T* value, int value_step, int width) {
  typedef typename Lanes<T, N>::type V;
  for (int s = 0; s < MLP_TILE; ++s)
    for (int c = 0; c < width; c += N) {
      T* g = gradient + (long)s * step + c;
      store<T, N>(g, load<T, N>(value + (long)s * value_step + c) <= V{} ? V{} : load<T, N>(g));
    }
}

// Gradients at the end of the chain: of densities and of colours before their sigmoid, [4] per sample.
template <class T, int N>
JEAN_FN void begin_backward(const Mlp<T>& m, const JeanSamples& samples, const MlpTile<T>& tile, const T* to_density,
                            const T* to_rgb, const T* memory, T* sums, T (*last)[4], T* gradient) {
  const Layer<T>& shade = m.layer[m.layers - 1];
  for (int s = 0; s < MLP_TILE; ++s) {
    const int64_t i = tile.sample[s];
    const bool real = s < tile.count;
    for (int c = 0; c < 3; ++c) {
      const T value = ((const T*)samples.rgb)[3 * i + c];
      last[s][c] = real ? to_rgb[3 * i + c] * value * (T(1) - value) : T(0);
    }
    last[s][3] = real && !(((const T*)samples.density)[i] <= T(0)) ? to_density[i] : T(0);
    for (int c = 0; c < 4; ++c) sums[m.sum_last + c] += last[s][c];
    for (int c = 0; c < 3; ++c)
      add_scaled<T, N>(sums + m.sum_rgb + (long)c * m.colour_width, memory + shade.write + (long)s * shade.write_step,
                       last[s][c], m.colour_width);
    for (int n = 0; n < m.colour_width; n += N) {
      typename Lanes<T, N>::type sum = {};
      for (int c = 0; c < 3; ++c) sum += last[s][c] * load<T, N>((const T*)m.mlp->rgb + (long)c * m.colour_width + n);
      store<T, N>(gradient + (long)s * m.colour_width + n, sum);
    }
  }
}

// Gradients of a tile: adds to `sums`, writes those of its positions where they are wanted (null: not).
template <class T, int N>
JEAN_FN void mlp_tile_backward(const Mlp<T>& m, const JeanSamples& samples, const MlpTile<T>& tile,
                               const T* to_density, const T* to_rgb, T* sums, T* to_positions, T* memory) {
  encode_tile<T, N>(m, tile, memory);
  run_layers<T, N>(m, tile, memory, 0, m.layers);
  T* const buffer[2] = {memory + m.tile_size, memory + m.tile_size + (long)MLP_TILE * (ENCODED + m.width)};
  T* const to_rows = buffer[1] + (long)MLP_TILE * (ENCODED + m.width);
  T* gradient = buffer[0];
  T last[MLP_TILE][4];
  begin_backward<T, N>(m, samples, tile, to_density, to_rgb, memory, sums, last, gradient);
  int step = m.colour_width, turn = 1;
  for (int i = m.layers - 1; i >= 0; --i, turn = 1 - turn) {
    T* const next = buffer[turn];
    const Layer<T>& l = m.layer[i];
    const T* written = memory + l.write;
    if (i == m.trunk - 1)
      for (int s = 0; s < MLP_TILE; ++s) {
        add_scaled<T, N>(sums + m.sum_density, written + (long)s * l.write_step, last[s][3], m.width);
        add_scaled<T, N>(gradient + (long)s * step, (const T*)m.mlp->density, last[s][3], m.width);
      }
    stop<T, N>(gradient, step, written, l.write_step, l.outputs);
    for (int s = 0; s < MLP_TILE; ++s) {
      const long frame = l.bias_step ? tile.frame[s] : 0;
      add_scaled<T, N>(sums + l.sum_bias + frame * l.outputs, gradient + (long)s * step, T(1), l.outputs);
    }
    outer<T, N>(gradient, step, l.outputs, memory + l.read, l.read_step, l.inputs, MLP_TILE, sums + l.sum);
    if (i == 0 && !to_positions) return;
    panels<T, N, false>(gradient, step, l.outputs, l.back, l.inputs, nullptr, next, l.inputs);
    if (i == m.mlp->join)
      for (int s = 0; s < MLP_TILE; ++s)
        for (int c = 0; c < ENCODED; c += N)
          store<T, N>(to_rows + (long)s * ENCODED + c, load<T, N>(next + (long)s * l.inputs + c));
    // the next layer's outputs are what this one read behind the encoding
    gradient = next + (i > 0 ? l.encoded : 0);
    step = l.inputs;
  }
  for (int s = 0; s < tile.count; ++s) {
    T slope[3];
    T* row = to_rows + (long)s * ENCODED;
    for (int c = 0; c < ENCODED; c += N)
      store<T, N>(row + c, load<T, N>(row + c) + load<T, N>(gradient + (long)s * ENCODED + c));
    encode_backward(memory + (long)s * m.layer[0].read_step, row, slope);
    for (int axis = 0; axis < 3; ++axis) to_positions[3 * tile.sample[s] + axis] = slope[axis] / m.reach[axis];
  }
}

// Adds all partial sums to the first, in a fixed order.
template <class T>
JEAN_FN const T* mlp_add_up(void* const* sums, int shares, long at, long count) {
  T* to = (T*)sums[0] + at;
  for (int share = 1; share < shares; ++share) {
    const T* from = (const T*)sums[share] + at;
    for (long i = 0; i < count; ++i) to[i] += from[i];
  }
  return to;
}

template <class T>
JEAN_FN void mlp_copy(const T* from, long count, void* to) {
  for (long i = 0; i < count; ++i) ((T*)to)[i] = from[i];
}

// Copies the gradients of one layer into torch's layout; `index` == layers: those of the two heads.
template <class T>
JEAN_FN void mlp_gather_layer(const Mlp<T>& m, void* const* sums, int shares, int index, const JeanMlpGradients& out) {
  if (index == m.layers) {
    const T* from = mlp_add_up<T>(sums, shares, m.sum_density, m.sums - m.sum_density);
    mlp_copy(from, m.width, out.density);
    mlp_copy(from + m.width, 3l * m.colour_width, out.rgb);
    mlp_copy(from + m.width + 3l * m.colour_width, 3, out.rgb_bias);
    mlp_copy(from + m.width + 3l * m.colour_width + 3, 1, out.density_bias);
    return;
  }
  const Layer<T>& l = m.layer[index];
  const long columns = m.mlp->layer[index].inputs, biases = (long)l.outputs * (l.bias_step ? m.mlp->frames : 1);
  const T* from = mlp_add_up<T>(sums, shares, l.sum, (long)l.outputs * l.inputs + biases);
  for (int row = 0; row < l.outputs; ++row)
    for (int in = 0; in < l.inputs; ++in) {
      const int column = input_place(l, in);
      if (column >= 0) ((T*)out.weight[index])[row * columns + column] = from[(long)row * l.inputs + in];
    }
  mlp_copy(from + (long)l.outputs * l.inputs, biases, out.bias[index]);
}

}  // namespace
