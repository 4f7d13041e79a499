// Gradients of the paper's field, as in ../mlp_backward.h: samples with zero gradients are skipped, and layers are
// computed again. A warp takes 32 samples forward and back and writes the factors from which products.cu computes the
// gradients of weights.
#include "mlp_layers.h"
#include "products.h"

namespace {

constexpr int SEGMENT = 1024;  // samples that a warp searches for nonzero gradients

// Sum and maximum of one number per lane.
JEAN_FN unsigned warp_sum(unsigned value) {
  for (int mask = 1; mask < 32; mask *= 2) value += from_opposite(value, mask);
  return value;
}
JEAN_FN unsigned warp_greatest(unsigned value) {
  for (int mask = 1; mask < 32; mask *= 2) value = greater(value, from_opposite(value, mask));
  return value;
}

// Rows of a scratch tile: the encoding, the outputs of each layer, the gradients of density and colour before their
// activations, and the gradients of each layer's outputs.
JEAN_FN int value_row(const JeanMlp& m, int layer) {
  return ENCODED + 16 * (layer < m.trunk ? WIDE * layer : WIDE * m.trunk + NARROW * (layer - m.trunk));
}
JEAN_FN int ends_row(const JeanMlp& m) { return value_row(m, m.layers); }
JEAN_FN int flow_row(const JeanMlp& m, int layer) { return ends_row(m) + 4 + value_row(m, layer) - ENCODED; }

// Gradient of the lane's own position from that of its encoding; the lanes of a group share the work.
template <class F>
JEAN_FN void own_slope(const float* position, const unsigned (*words)[32], float* slope) {
#pragma unroll 1
  for (int r = 0; r < 4; ++r) {
    float row[3], sum[3] = {};
    for (int axis = 0; axis < 3; ++axis) row[axis] = of_row(position[axis], r);
#pragma unroll 1
    for (int at = 0; at < 4 * (CODE / 2); ++at) {
      const int block = at / 4, place = channel_of(block) + at % 4;
      const float one = remembered<F>(words, block, r, at % 4), two = remembered<F>(words, block + CODE / 2, r, at % 4);
      float first, second;
      encode_pair(row, place, &first, &second);
      if (place < 3 * OCTAVES) {
        const float wave = wave_slope((float)(1 << place / 3), one, two, first, second);
        for (int axis = 0; axis < 3; ++axis) sum[axis] += place % 3 == axis ? wave : 0.0f;
      } else {
        sum[0] += place == 30 ? one : 0.0f;
        sum[1] += place == 31 ? one : 0.0f;
        sum[2] += place == 30 ? two : 0.0f;
      }
    }
    for (int axis = 0; axis < 3; ++axis) {
      sum[axis] += from_opposite(sum[axis], 1);
      sum[axis] += from_opposite(sum[axis], 2);
      if (r == (lane_number() & 3)) slope[axis] = sum[axis];
    }
  }
}

template <class F>
JEAN_FN void flow_back(const JeanMlp& m, const JeanSamples& samples, const float* to_density, const float* to_rgb,
                       const uint32_t* chosen, const uint32_t* counters, const uint4* packed, const uint4* turned,
                       unsigned* scratch, long tile_words, long first_tile, long tiles, float* to_positions,
                       Store<F>& store) {
  const long number_of_tile = (long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  const long first = (first_tile + number_of_tile) * 32, count = counters[0];
  if (number_of_tile >= tiles || first >= count) return;
  const long wanted = first + lane_number();
  const bool real = wanted < count;
  const long sample = chosen[real ? wanted : count - 1];
  unsigned* tile = scratch + number_of_tile * tile_words;
  unsigned short open[8 * JEAN_MAX_LAYERS];  // bits of `rectify`, for each block of each layer
  float position[3], last[4];
  scaled_position(m, samples, sample, position);
  const int frame = m.frames == 1 ? 0 : samples.frame[sample];
  ((int*)tile)[tile_words - 32 + lane_number()] = frame;

  encode<F>(position, store.code());
#pragma unroll 1
  for (int at = 0; at < 4 * CODE; ++at) {
    float four[4];
    for (int r = 0; r < 4; ++r) four[r] = remembered<F>(store.code(), at / 4, r, at % 4);
    keep_four<F>(tile, channel_of(at / 4) + at % 4, four);
  }
  Biases biases = {frame};
  const auto lay_down = [&](int number, int block, const float (*values)[4]) {
    open[8 * number + block] = (unsigned short)passing(values);
    keep<F>(tile, value_row(m, number) + 16 * block, values);
  };
  run_trunk<F>(m, packed, biases, store, lay_down);
  run_branch<F>(m, packed, biases, store, lay_down);

  // gradients of the colours before their sigmoid, and of the density
  const float scale = scale_up(counters[1]);
  for (int c = 0; c < 3; ++c) {
    const float value = ((const float*)samples.rgb)[3 * sample + c];
    last[c] = real ? scale * to_rgb[3 * sample + c] * value * (1.0f - value) : 0.0f;
  }
  last[3] = real && !(((const float*)samples.density)[sample] <= 0.0f) ? scale * to_density[sample] : 0.0f;
  keep_own<F>(tile, ends_row(m), last);

  const float to_logit = last[3];
  const auto flow = [&](int number, int block, float (*values)[4]) {
    if (number == m.trunk - 1) add_own(values, (const float*)m.density, block, to_logit);
    stop(values, open[8 * number + block]);
    keep<F>(tile, flow_row(m, number) + 16 * block, values);
  };
#pragma unroll 1
  for (int block = 0; block < NARROW; ++block) {
    float values[4][4] = {};
    for (int c = 0; c < 3; ++c) add_own(values, (const float*)m.rgb + c * 16 * NARROW, block, last[c]);
    flow(m.layers - 1, block, values);
    for (int r = 0; r < 4; ++r) put<F>(store.hidden(), block, r, values[r]);
  }
  turned += packed_before<F>(m, m.layers);
#pragma unroll 1
  for (int number = m.layers - 1; number >= 0; --number) {
    turned -= packed_words<F>(output_blocks(m, number), input_blocks(m, number));
    const auto change = [&](int block, float (*values)[4]) { flow(number - 1, block, values); };
    if (number > m.trunk) {
      pass<F, NARROW>(store.hidden(), NARROW, turned, store.hidden(), change);
      continue;
    }
    const int from = output_blocks(m, number);
    const bool encoded = number == 0 || number == m.join;
    if (encoded && to_positions)  // the encoding is not needed any more
      pass<F, CODE>(store.hidden(), from, turned, store.code(), [](int, const float (*)[4]) {});
    if (number > 0)
      pass<F, WIDE>(store.hidden(), from, turned + (encoded ? packed_words<F>(CODE, WIDE) : 0), store.hidden(),
                    change);
    if (!encoded || !to_positions) continue;
    float slope[3];
    scaled_position(m, samples, sample, position);  // computed again, to save registers
    own_slope<F>(position, store.code(), slope);
    for (int axis = 0; axis < 3; ++axis)
      if (real) to_positions[3 * sample + axis] += slope[axis] / (float)m.reach[axis] * scale_back(counters[1]);
  }
}

}  // namespace

// Finds the samples with nonzero gradients: one bit each, their number per segment, and counters[2] of ScaledCount,
// 0 before.
JEAN_KERNEL void jean_mlp_choose(const __grid_constant__ JeanSamples samples, const float* to_density,
                                 const float* to_rgb, uint32_t* bits, uint32_t* counts, uint32_t* counters) {
  const long segment = (long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (segment * SEGMENT >= samples.count) return;
  unsigned mine = 0, greatest = 0;
#pragma unroll 1
  for (int word = 0; word < SEGMENT / 32; ++word) {
    const long i = segment * SEGMENT + 32 * word + lane_number();
    const bool flows = i < samples.count && flows_back(((const float*)samples.density)[i], to_density[i], to_rgb + 3 * i);
    const unsigned all = lanes_with(flows);
    if (word == lane_number()) mine = all;
    if (!flows) continue;
    for (int c = 0; c < 3; ++c) greatest = greater(greatest, bits_of(to_rgb[3 * i + c]) & 0x7fffffffu);
    greatest = greater(greatest, bits_of(to_density[i]) & 0x7fffffffu);
  }
  bits[segment * 32 + lane_number()] = mine;
  const unsigned count = warp_sum((unsigned)count_bits(mine));
  greatest = warp_greatest(greatest);
  if (lane_number() != 0) return;
  counts[segment] = count;
  atomicAdd(counters, count);
  atomicMax(counters + 1, greatest);
}

// Lists their indices in order.
JEAN_KERNEL void jean_mlp_list(int64_t samples, const uint32_t* bits, const uint32_t* counts, uint32_t* chosen) {
  const long segment = (long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (segment * SEGMENT >= samples) return;
  unsigned before = 0;
  for (long i = lane_number(); i < segment; i += 32) before += counts[i];
  unsigned mine = bits[segment * 32 + lane_number()], place = (unsigned)count_bits(mine);
  for (int step = 1; step < 32; step *= 2) {
    const unsigned other = from_lane(place, (lane_number() - step) & 31);
    if (lane_number() >= step) place += other;
  }
  place += warp_sum(before) - (unsigned)count_bits(mine);
  for (; mine; mine &= mine - 1)
    chosen[place++] = (uint32_t)(segment * SEGMENT + 32 * lane_number() + lowest_bit(mine));
}

// Backward pass of the listed samples, for `tiles` tiles of 32 from tile `first_tile` on. `to_positions` is zero before;
// null: not wanted.
JEAN_KERNEL void __launch_bounds__(WARPS<Half> * 32, 2)
jean_mlp_back_half(const __grid_constant__ JeanMlp m, const __grid_constant__ JeanSamples samples,
                   const float* to_density, const float* to_rgb, const uint32_t* chosen, const uint32_t* counters,
                   const uint4* packed, const uint4* turned, uint32_t* scratch, int64_t tile_words, int64_t first_tile,
                   int64_t tiles, float* to_positions) {
  __shared__ Store<Half> stores[WARPS<Half>];
  flow_back<Half>(m, samples, to_density, to_rgb, chosen, counters, packed, turned, scratch, tile_words, first_tile,
                  tiles, to_positions, stores[threadIdx.x / 32]);
}
JEAN_KERNEL void __launch_bounds__(WARPS<Single> * 32)
jean_mlp_back_single(const __grid_constant__ JeanMlp m, const __grid_constant__ JeanSamples samples,
                     const float* to_density, const float* to_rgb, const uint32_t* chosen, const uint32_t* counters,
                     const uint4* packed, const uint4* turned, uint32_t* scratch, int64_t tile_words,
                     int64_t first_tile, int64_t tiles, float* to_positions) {
  __shared__ Store<Single> stores[WARPS<Single>];
  flow_back<Single>(m, samples, to_density, to_rgb, chosen, counters, packed, turned, scratch, tile_words, first_tile,
                    tiles, to_positions, stores[threadIdx.x / 32]);
}
