// The fast field for training, as in ../triplane.h: values and gradients. A warp takes 32 samples; its products are
// single precision. The backward pass computes layers again. Gradients of tables and light are added atomically, in any
// order; products.cu computes all other gradients.
#include "field.h"
#include "products.h"

namespace {

typedef Single F;
constexpr int FIELD_WARPS = 4;  // per block

// A warp's own memory; `open`: bits of `rectify`, for each block of the three layers.
struct Hidden {
  unsigned words[IN * 4 * F::WORDS][32];
  unsigned open[3 * IN][32];
};

// Packed weights, one after the other: first, second, colour; then their transposes for the backward pass.
struct Matrices {
  const uint4 *first, *second, *colour, *first_back, *second_back, *colour_back;
};
JEAN_FN Matrices matrices(const uint4* packed, int planes) {
  Matrices m;
  m.first = packed;
  m.second = m.first + packed_words<F>(IN, planes);
  m.colour = m.second + packed_words<F>(IN, IN);
  m.first_back = m.colour + packed_words<F>(SHADE, IN);
  m.second_back = m.first_back + packed_words<F>(planes, IN);
  m.colour_back = m.second_back + packed_words<F>(IN, IN);
  return m;
}

// Rows of a scratch tile: gated features, three layers, gradients of the outputs (colours before their sigmoid, log
// density), gradients of the layers, and the terms of the gates' gradients.
struct Places {
  int one, two, shade, ends, to_one, to_two, to_shade, to_gates;
};
JEAN_FN Places rows_of(int planes) {
  const int one = 16 * planes, ends = one + 2 * HIDDEN + HALF, to_one = ends + 4;
  return {one, one + HIDDEN, one + 2 * HIDDEN, ends, to_one, to_one + HIDDEN, to_one + 2 * HIDDEN,
          to_one + 2 * HIDDEN + HALF};
}

// A lane's own sample; lanes beyond the last repeat it.
struct Own {
  long sample;
  bool real;
  int frame;
  float position[3];

  JEAN_MEMBER void read(const JeanField& f, const Volume& v, const JeanSamples& samples, long first) {
    real = first + lane_number() < samples.count;
    sample = real ? first + lane_number() : samples.count - 1;
    frame = f.frames == 1 ? 0 : samples.frame[sample];
    for (int axis = 0; axis < 3; ++axis) position[axis] = ((const float*)samples.positions)[3 * sample + axis];
    unbend(f, v, frame, position);
  }
};

// This lane's channels of the four cells around one row's sample; 0: above left, 1: above right, 2 and 3: below.
JEAN_FN void read_cells(const Plane& plane, int row, float4* cell) {
  const float* at = plane.table + (long)row * JEAN_CHANNELS + channel_of(0);
  cell[0] = *(const float4*)at;
  cell[1] = *(const float4*)(at + JEAN_CHANNELS);
  cell[2] = *(const float4*)(at + (long)plane.width * JEAN_CHANNELS);
  cell[3] = *(const float4*)(at + (long)(plane.width + 1) * JEAN_CHANNELS);
}

JEAN_FN void corner_weights(float right, float below, float* weight) {
  weight[0] = (1.0f - right) * (1.0f - below);
  weight[1] = right * (1.0f - below);
  weight[2] = (1.0f - right) * below;
  weight[3] = right * below;
}

// Features of a plane, not gated.
JEAN_FN void read_plane(const Plane& plane, const Corner<float>& own, float (*values)[4]) {
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float4 cell[4];
    float weight[4];
    read_cells(plane, of_row(own.row, r), cell);
    corner_weights(of_row(own.right, r), of_row(own.below, r), weight);
    for (int i = 0; i < 4; ++i) values[r][i] = 0.0f;
    for (int c = 0; c < 4; ++c) {
      values[r][0] += weight[c] * cell[c].x;
      values[r][1] += weight[c] * cell[c].y;
      values[r][2] += weight[c] * cell[c].z;
      values[r][3] += weight[c] * cell[c].w;
    }
  }
}

// This lane's gates of a row's sample for the plane `gated` of those that have any.
JEAN_FN float4 gates_of(const JeanField& f, int frame, int gated) {
  return *(const float4*)((const float*)f.gates + (long)JEAN_CHANNELS * (f.gated * frame + gated) + channel_of(0));
}
JEAN_FN void multiply(float* row, const float4& by) {
  row[0] *= by.x;
  row[1] *= by.y;
  row[2] *= by.z;
  row[3] *= by.w;
}

// All layers. `see(layer, block, values)` receives their outputs: 0 the gated features, 1 and 2 the hidden layers, 3
// the colour's layer. Adds each lane's part of the heads' sums.
template <class See>
JEAN_FN void run(const JeanField& f, const Volume& v, const Matrices& m, const Own& own, Hidden& store,
                 float* logarithms, float (*colours)[4], const See& see) {
  Block sums[IN] = {};
#pragma unroll 1
  for (int p = 0; p < f.planes; ++p) {
    float values[4][4];
    read_plane(v.plane[p], place_in(v.plane[p], own.position), values);
    const int gated = p - (f.planes - f.gated);
    if (gated >= 0)
      for (int r = 0; r < 4; ++r) multiply(values[r], gates_of(f, of_row(own.frame, r), gated));
    see(0, p, values);
    Rows<F, 1> x;
    x.put(0, values);
#pragma unroll
    for (int block = 0; block < IN; ++block) sums[block].add<F>(x, 0, m.first + packed_words<F>(block * f.planes + p, 1));
  }
#pragma unroll
  for (int block = 0; block < IN; ++block) {
    float values[4][4];
    __syncwarp();
    sums[block].end(values);
    for (int r = 0; r < 4; ++r)
      add_bias(values[r], (const float*)f.bias + (long)HIDDEN * of_row(own.frame, r), block);
    rectify(values);
    see(1, block, values);
    for (int r = 0; r < 4; ++r) put<F>(store.words, block, r, values[r]);
  }
  pass<F, IN>(store.words, IN, m.second, store.words, [&](int block, float (*values)[4]) {
    for (int r = 0; r < 4; ++r) add_bias(values[r], (const float*)f.second_bias, block);
    rectify(values);
    add_dot(values, (const float*)f.density, block, logarithms);
    see(2, block, values);
  });
  pass<F, SHADE>(store.words, IN, m.colour, store.words, [&](int block, float (*values)[4]) {
    for (int r = 0; r < 4; ++r) add_bias(values[r], (const float*)f.colour_bias, block);
    rectify(values);
    for (int c = 0; c < 3; ++c) add_dot(values, (const float*)f.rgb + c * HALF, block, colours[c]);
    see(3, block, values);
  });
}

// Adds the gradients of a plane's features to the gradient of its table. Neighbours along a ray often lie in the same
// cell, so a lane first adds up consecutive ones among its four rows.
JEAN_FN void scatter(float* gradient, const Plane& plane, const Corner<float>& own, const float (*flow)[4]) {
  float sum[4][4] = {};
  int cell = of_row(own.row, 0);
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float weight[4];
    corner_weights(of_row(own.right, r), of_row(own.below, r), weight);
    for (int c = 0; c < 4; ++c)
      for (int i = 0; i < 4; ++i) sum[c][i] += weight[c] * flow[r][i];
    const int next = r < 3 ? of_row(own.row, r + 1) : -1;
    if (next == cell) continue;
    float* at = gradient + (long)cell * JEAN_CHANNELS + channel_of(0);
    for (int c = 0; c < 4; ++c) {
      add_four(at + (long)((c & 1) + (c >> 1) * plane.width) * JEAN_CHANNELS, sum[c]);
      for (int i = 0; i < 4; ++i) sum[c][i] = 0.0f;
    }
    cell = next;
  }
}

// Adds the gradient of the lane's own position through a plane's features.
JEAN_FN void add_slopes(const Plane& plane, const Corner<float>& own, const float (*flow)[4], float* slope) {
  float across[4], down[4];
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float4 cell[4];
    read_cells(plane, of_row(own.row, r), cell);
    float dot[4];  // products of the gradient with each cell
    for (int c = 0; c < 4; ++c)
      dot[c] = flow[r][0] * cell[c].x + flow[r][1] * cell[c].y + flow[r][2] * cell[c].z + flow[r][3] * cell[c].w;
    const float right = of_row(own.right, r), below = of_row(own.below, r);
    across[r] = (1.0f - below) * (dot[1] - dot[0]) + below * (dot[3] - dot[2]);
    down[r] = (1.0f - right) * (dot[2] - dot[0]) + right * (dot[3] - dot[1]);
  }
  const float first = own_sum(across) * own.slope_right * plane.scale[0];
  const float second = own_sum(down) * own.slope_below * plane.scale[1];
  for (int axis = 0; axis < 3; ++axis)
    slope[axis] += (plane.first == axis ? first : 0.0f) + (plane.second == axis ? second : 0.0f);
}

// Adds the gradients of the light, and those of the lane's own position through it. Where four neighbours lie in one cell,
// one of them adds for all.
JEAN_FN void light_back(const JeanField& f, const Volume& v, const Own& own, const float* last, float* gradient,
                        float* slope) {
  const Corner<float> c = frontal(v, own.position, f.light_height, f.light_width);
  const long at = 3l * ((long)f.light_height * f.light_width * own.frame + c.row);
  const int down = 3 * f.light_width;
  const float* light = (const float*)f.light + at;
  float weight[4];
  corner_weights(c.right, c.below, weight);
  bool same = true;
  for (int mask = 1; mask < 4; ++mask) same &= from_opposite(at, mask) == at;
  for (int k = 0; k < 3; ++k) {
    for (int i = 0; i < 4; ++i) {
      const float mine = own.real ? weight[i] * last[k] : 0.0f;
      float all = mine + from_opposite(mine, 1);
      all += from_opposite(all, 2);
      float* to = gradient + at + k + (i & 1) * 3 + (i >> 1) * down;
      if (same && (lane_number() & 3) == 0) atomicAdd(to, all);
      if (!same && own.real) atomicAdd(to, mine);
    }
    slope[0] += last[k] * c.slope_right * v.light_scale[0] *
                ((1.0f - c.below) * (light[3 + k] - light[k]) + c.below * (light[down + 3 + k] - light[down + k]));
    slope[1] += last[k] * c.slope_below * v.light_scale[1] *
                ((1.0f - c.right) * (light[down + k] - light[k]) + c.right * (light[down + 3 + k] - light[3 + k]));
  }
}

}  // namespace

// Each row of the grid packs one matrix.
JEAN_KERNEL void jean_triplane_pack(const __grid_constant__ JeanField f, uint4* packed) {
  const Matrices m = matrices(packed, f.planes);
  const int number = (int)blockIdx.y, thread = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int threads = (int)(gridDim.x * blockDim.x), kind = number % 3;
  const float* weight = (const float*)(kind == 0 ? f.first : kind == 1 ? f.second : f.colour);
  const int outputs = kind == 2 ? SHADE : IN, inputs = kind == 0 ? f.planes : IN, step = 16 * inputs;
  if (number < 3) {
    uint4* to = packed + ((kind == 0 ? m.first : kind == 1 ? m.second : m.colour) - packed);
    pack_weights<F>([&](int output, int input) { return weight[output * step + input]; }, outputs, inputs, to, thread,
                    threads);
  } else {
    uint4* to = packed + ((kind == 0 ? m.first_back : kind == 1 ? m.second_back : m.colour_back) - packed);
    pack_weights<F>([&](int output, int input) { return weight[input * step + output]; }, inputs, outputs, to, thread,
                    threads);
  }
}

// Density and colour of each sample.
JEAN_KERNEL void __launch_bounds__(FIELD_WARPS * 32, 2)
jean_triplane(const __grid_constant__ JeanField f, const __grid_constant__ JeanSamples samples, const uint4* packed) {
  __shared__ Volume volume;
  __shared__ Hidden stores[FIELD_WARPS];
  share_volume(volume, f);
  __syncthreads();
  const long first = ((long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32) * 32;
  if (first >= samples.count) return;
  Own own;
  own.read(f, volume, samples, first);
  float logarithms[4] = {}, colours[3][4] = {};
  run(f, volume, matrices(packed, f.planes), own, stores[threadIdx.x / 32], logarithms, colours,
      [](int, int, const float (*)[4]) {});
  const float logarithm = own_sum(logarithms) + ((const float*)f.density_bias)[0] + prior(f, volume, own.position);
  if (own.real) ((float*)samples.density)[own.sample] = density_of(logarithm);
  const Corner<float> c = frontal(volume, own.position, f.light_height, f.light_width);
  const float* light = (const float*)f.light + 3l * ((long)f.light_height * f.light_width * own.frame + c.row);
  for (int k = 0; k < 3; ++k) {
    const float lit = between(light + k, 3l, 3l * f.light_width, c.right, c.below);
    const float colour = sigmoid(own_sum(colours[k]) + ((const float*)f.rgb_bias)[k] + lit);
    if (own.real) ((float*)samples.rgb)[3 * own.sample + k] = colour;
  }
}

// Backward pass for `tiles` tiles of 32 samples from tile `first_tile` on: adds to the gradients of tables and to
// `to_light`, and writes the factors for products.cu. `to_positions` null: not wanted.
JEAN_KERNEL void __launch_bounds__(FIELD_WARPS * 32, 2)
jean_triplane_back(const __grid_constant__ JeanField f, const __grid_constant__ JeanSamples samples,
                   const float* to_density, const float* to_rgb, const uint4* packed, uint32_t* scratch,
                   int64_t tile_words, int64_t first_tile, int64_t tiles, float* to_light, float* to_positions) {
  __shared__ Volume volume;
  __shared__ Hidden stores[FIELD_WARPS];
  share_volume(volume, f);
  __syncthreads();
  const long number = (long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, first = (first_tile + number) * 32;
  if (number >= tiles || first >= samples.count) return;
  Hidden& store = stores[threadIdx.x / 32];
  uint32_t* tile = scratch + number * tile_words;
  const Matrices m = matrices(packed, f.planes);
  const Places row = rows_of(f.planes);
  Own own;
  own.read(f, volume, samples, first);
  ((int*)tile)[tile_words - 32 + lane_number()] = own.frame;
  float logarithms[4] = {}, colours[3][4] = {};
  run(f, volume, m, own, store, logarithms, colours, [&](int layer, int block, const float (*values)[4]) {
    if (layer > 0) store.open[IN * (layer - 1) + block][lane_number()] = passing(values);
    keep<F>(tile, (layer == 0 ? 0 : layer == 1 ? row.one : layer == 2 ? row.two : row.shade) + 16 * block, values);
  });

  float last[4], slope[3] = {};
  for (int c = 0; c < 3; ++c) {
    const float value = ((const float*)samples.rgb)[3 * own.sample + c];
    last[c] = own.real ? to_rgb[3 * own.sample + c] * value * (1.0f - value) : 0.0f;
  }
  const float logarithm = own_sum(logarithms) + ((const float*)f.density_bias)[0] + prior(f, volume, own.position);
  const float steep = density_slope(logarithm, ((const float*)samples.density)[own.sample]);
  last[3] = own.real ? to_density[own.sample] * steep : 0.0f;
  keep_own<F>(tile, row.ends, last);
  light_back(f, volume, own, last, to_light, slope);

#pragma unroll
  for (int block = 0; block < SHADE; ++block) {
    float values[4][4] = {};
    for (int c = 0; c < 3; ++c) add_own(values, (const float*)f.rgb + c * HALF, block, last[c]);
    stop(values, store.open[2 * IN + block][lane_number()]);
    keep<F>(tile, row.to_shade + 16 * block, values);
    for (int r = 0; r < 4; ++r) put<F>(store.words, block, r, values[r]);
  }
  pass<F, IN>(store.words, SHADE, m.colour_back, store.words, [&](int block, float (*values)[4]) {
    add_own(values, (const float*)f.density, block, last[3]);
    stop(values, store.open[IN + block][lane_number()]);
    keep<F>(tile, row.to_two + 16 * block, values);
  });
  pass<F, IN>(store.words, IN, m.second_back, store.words, [&](int block, float (*values)[4]) {
    stop(values, store.open[block][lane_number()]);
    keep<F>(tile, row.to_one + 16 * block, values);
  });

#pragma unroll 1
  for (int p = 0; p < f.planes; ++p) {
    const Plane& plane = volume.plane[p];
    const Corner<float> place = place_in(plane, own.position);
    Block made = {};
#pragma unroll 1
    for (int in = 0; in < IN; ++in) {
      Rows<F, 1> x;
      for (int r = 0; r < 4; ++r)
        for (int w = 0; w < F::WORDS; ++w) x.words[0][r][w] = store.words[(4 * in + r) * F::WORDS + w][lane_number()];
      made.add<F>(x, 0, m.first_back + packed_words<F>(p * IN + in, 1));
    }
    float flow[4][4];
    made.end(flow);
    const int gated = p - (f.planes - f.gated);
    if (gated >= 0) {
      float values[4][4];
      read_plane(plane, place, values);
      for (int r = 0; r < 4; ++r) {
        for (int i = 0; i < 4; ++i) values[r][i] *= flow[r][i];
        multiply(flow[r], gates_of(f, of_row(own.frame, r), gated));
      }
      keep<F>(tile, row.to_gates + 16 * gated, values);
    }
    scatter((float*)f.plane[p].gradient, plane, place, flow);
    if (to_positions) add_slopes(plane, place, flow, slope);
  }
  if (!to_positions) return;
  float place[3] = {own.position[0], own.position[1], own.position[2] - deeper_than_mean(f, volume, own.position)};
  float fall[3];
  ellipsoid_slope(place, volume.centre, volume.radii, fall);
  for (int axis = 0; axis < 3; ++axis)
    if (own.real) to_positions[3 * own.sample + axis] = slope[axis] + last[3] * fall[axis];
}
