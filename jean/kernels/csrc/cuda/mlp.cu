// Values of the paper's field, as in ../mlp.h: encoding, trunk of layers of width 128, density, colour branch of
// width 64. A warp takes 32 samples through all layers by itself; weights come packed from a
// kernel of their own, and the second-level cache holds them all.
#include "mlp_layers.h"

namespace {

// Packs all layers' weights, one behind the other; each row of the grid packs one layer. `turned`: transposed, for the
// backward pass.
template <class F>
JEAN_FN void pack_all(const JeanMlp& m, bool turned, uint4* packed) {
  const int number = (int)blockIdx.y, thread = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int threads = (int)(gridDim.x * blockDim.x), inputs = input_blocks(m, number), outputs = output_blocks(m, number);
  const JeanLayer& from = m.layer[number];
  const float* weight = (const float*)from.weight;
  const bool encoded = number == 0 || number == m.join;
  const auto value = [&](int output, int input) {
    const int column = !encoded ? input : input < ENCODED ? encoded_place(input) : input - ENCODED + ENCODED_INPUTS;
    return column < 0 ? 0.0f : weight[output * from.inputs + column];
  };
  packed += packed_before<F>(m, number);
  if (turned) {
    pack_weights<F>([&](int output, int input) { return value(input, output); }, inputs, outputs, packed, thread, threads);
  } else {
    pack_weights<F>(value, outputs, inputs, packed, thread, threads);
  }
}

template <class F>
JEAN_FN void values(const JeanMlp& m, const JeanSamples& samples, const uint4* packed, bool skip_empty_tiles,
                    Store<F>& store) {
  const long first = ((long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32) * 32;
  if (first >= samples.count) return;
  const long wanted = first + lane_number();
  const bool real = wanted < samples.count;
  const long sample = real ? wanted : samples.count - 1;
  float position[3], sums[4] = {}, colours[3][4] = {};
  scaled_position(m, samples, sample, position);
  Biases biases = {m.frames == 1 ? 0 : samples.frame[sample]};
  encode<F>(position, store.code());
  run_trunk<F>(m, packed, biases, store, [&](int number, int block, const float (*values)[4]) {
    if (number == m.trunk - 1) add_dot(values, (const float*)m.density, block, sums);
  });
  const float density = own_sum(sums) + ((const float*)m.density_bias)[0];
  if (real) ((float*)samples.density)[sample] = density < 0.0f ? 0.0f : density;  // a NaN stays NaN
  float* rgb = (float*)samples.rgb + 3 * sample;
  if (!samples.rgb) return;
  if (skip_empty_tiles && !lanes_with(!(density <= 0.0f))) {
    if (real) rgb[0] = rgb[1] = rgb[2] = 0.0f;
    return;
  }
  run_branch<F>(m, packed, biases, store, [&](int number, int block, const float (*values)[4]) {
    if (number == m.layers - 1)
      for (int c = 0; c < 3; ++c) add_dot(values, (const float*)m.rgb + c * 16 * NARROW, block, colours[c]);
  });
  for (int c = 0; c < 3; ++c) {
    const float colour = sigmoid(own_sum(colours[c]) + ((const float*)m.rgb_bias)[c]);
    if (real) rgb[c] = colour;
  }
}

}  // namespace

JEAN_KERNEL void jean_mlp_pack_half(const __grid_constant__ JeanMlp m, int64_t turned, uint4* packed) {
  pack_all<Half>(m, turned, packed);
}
JEAN_KERNEL void jean_mlp_pack_single(const __grid_constant__ JeanMlp m, int64_t turned, uint4* packed) {
  pack_all<Single>(m, turned, packed);
}

// Density of each sample, and colour if `samples.rgb` is not null. skip_empty_tiles: colours are zero where 32 neighbours
// have no density.
JEAN_KERNEL void __launch_bounds__(WARPS<Half> * 32, 2)
jean_mlp_half(const __grid_constant__ JeanMlp m, const __grid_constant__ JeanSamples samples, const uint4* packed,
              int64_t skip_empty_tiles) {
  __shared__ Store<Half> stores[WARPS<Half>];
  values<Half>(m, samples, packed, skip_empty_tiles, stores[threadIdx.x / 32]);
}
JEAN_KERNEL void __launch_bounds__(WARPS<Single> * 32)
jean_mlp_single(const __grid_constant__ JeanMlp m, const __grid_constant__ JeanSamples samples, const uint4* packed,
                int64_t skip_empty_tiles) {
  __shared__ Store<Single> stores[WARPS<Single>];
  values<Single>(m, samples, packed, skip_empty_tiles, stores[threadIdx.x / 32]);
}
