// Whole rays of the fast field without gradients, as in ../picture.h: the planes come multiplied by the first
// layer. Two kernels: the first walks the sampling grid with one thread per ray and lists the rays that hit. In the
// second, each lane takes a ray from that list, and the next one when its ray has ended.
#include "field.h"
#include "rays.h"

namespace {

constexpr int REFILL = 8;  // idle lanes before a warp reads the list again

// Shared memory of a block.
struct Shared {
  uint4 second[IN * IN * 32], colour[SHADE * IN * 32];
  float bias[HIDDEN], second_bias[HIDDEN], colour_bias[HALF], density[HIDDEN], rgb[3 * HALF];
  Volume volume;
};

JEAN_FN void share(Shared& to, const JeanField& f) {
  const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
  const auto second = [&](int output, int input) { return ((const float*)f.second)[output * HIDDEN + input]; };
  const auto colour = [&](int output, int input) { return ((const float*)f.colour)[output * HIDDEN + input]; };
  pack_weights<Half>(second, IN, IN, to.second, thread, threads);
  pack_weights<Half>(colour, SHADE, IN, to.colour, thread, threads);
  for (int i = thread; i < HIDDEN; i += threads) {
    to.bias[i] = ((const float*)f.bias)[i];
    to.second_bias[i] = ((const float*)f.second_bias)[i];
    to.density[i] = ((const float*)f.density)[i];
  }
  for (int i = thread; i < HALF; i += threads) to.colour_bias[i] = ((const float*)f.colour_bias)[i];
  for (int i = thread; i < 3 * HALF; i += threads) to.rgb[i] = ((const float*)f.rgb)[i];
  share_volume(to.volume, f);
  __syncthreads();
}

// The first hidden layer of a warp's samples, from multiplied planes.
JEAN_FN void read_planes(const Shared& s, int planes, const float* position, Rows<Half, IN>& one) {
  float sum[4][IN][4];
  for (int j = 0; j < IN; ++j) {
    const float4 bias = *(const float4*)(s.bias + channel_of(j));
    for (int r = 0; r < 4; ++r) {
      sum[r][j][0] = bias.x;
      sum[r][j][1] = bias.y;
      sum[r][j][2] = bias.z;
      sum[r][j][3] = bias.w;
    }
  }
#pragma unroll 1
  for (int p = 0; p < planes; ++p) {
    const Plane& plane = s.volume.plane[p];
    const Corner<float> own = place_in(plane, position);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int row = of_row(own.row, r);
      const float right = of_row(own.right, r), below = of_row(own.below, r);
      const float left = 1.0f - right, above = 1.0f - below;
      const float weight[4] = {left * above, right * above, left * below, right * below};
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        const int cell = row + (corner & 1) + (corner >> 1) * plane.width;
        const float* at = plane.table + (long)cell * HIDDEN + channel_of(0);
#pragma unroll
        for (int j = 0; j < IN; ++j) {
          const float4 value = __ldg((const float4*)(at + 16 * j));
          sum[r][j][0] += weight[corner] * value.x;
          sum[r][j][1] += weight[corner] * value.y;
          sum[r][j][2] += weight[corner] * value.z;
          sum[r][j][3] += weight[corner] * value.w;
        }
      }
    }
  }
#pragma unroll
  for (int j = 0; j < IN; ++j) {
    float values[4][4];
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 4; ++i) values[r][i] = sum[r][j][i];
    rectify(values);
    one.put(j, values);
  }
}

// Density and colour of each lane's sample; all lanes take part.
JEAN_FN void sample(const JeanField& f, const Shared& s, float* position, float* density, float* colour) {
  Rows<Half, IN> one, two;
  float logarithms[4] = {}, colours[3][4] = {};
  unbend(f, s.volume, 0, position);
  read_planes(s, f.planes, position, one);
  layer<Half, IN, IN>(one, s.second, OneBias{s.second_bias}, [&](int block, float (*values)[4]) {
    rectify(values);
    add_dot(values, s.density, block, logarithms);  // the head of the density is single precision
    two.put(block, values);
  });
  layer<Half, IN, SHADE>(two, s.colour, OneBias{s.colour_bias}, [&](int block, float (*values)[4]) {
    rectify(values);
    for (int c = 0; c < 3; ++c) add_dot(values, s.rgb + c * HALF, block, colours[c]);
  });
  const float logarithm = own_sum(logarithms) + ((const float*)f.density_bias)[0] + prior(f, s.volume, position);
  *density = density_of(logarithm);
  const Corner<float> c = frontal(s.volume, position, f.light_height, f.light_width);
  for (int k = 0; k < 3; ++k) {
    const float light = between((const float*)f.light + 3 * c.row + k, 3l, 3l * f.light_width, c.right, c.below);
    colour[k] = sigmoid(own_sum(colours[k]) + ((const float*)f.rgb_bias)[k] + light);
  }
}

// The next value of a counter for each lane that wants one; all lanes take part.
JEAN_FN unsigned next_number(unsigned* counter, unsigned wanting, bool wants) {
  const int lane = lane_number(), leader = lowest_bit(wanting);
  unsigned base = 0;
  if (lane == leader) base = atomicAdd(counter, (unsigned)count_bits(wanting));
  base = from_lane(base, leader);
  return wants ? base + (unsigned)count_bits(wanting & ((1u << lane) - 1u)) : 0u;
}

}  // namespace

// Edges [rays, samples + 1] and the list of the rays that hit; zeros in the output of the others. counters[0], 0 before,
// is the length of the list.
JEAN_KERNEL void jean_march(const __grid_constant__ JeanMarch m, const __grid_constant__ JeanPicture out, float* edges,
                            uint32_t* list, uint32_t* counters) {
  const long ray = (long)blockIdx.x * blockDim.x + threadIdx.x;
  bool met = false;
  if (ray < m.rays) {
    float density[MAX_COARSE], near, far;
    met = look_along(m, ray, density, &near, &far);
    if (met) {
      place_edges<1>(m, density, &near, &far, (const float*)0, edges + ray * (m.samples + 1), 0);
    } else {
      for (int c = 0; c < 3; ++c) out.colour[3 * ray + c] = 0.0f;
      out.opacity[ray] = out.depth[ray] = 0.0f;
    }
  }
  const unsigned meeting = lanes_with(met);
  if (!meeting) return;
  const unsigned place = next_number(counters, meeting, met);
  if (met) list[place] = (uint32_t)ray;
}

// Renders the listed rays. counters[1], 0 before, counts the rays that lanes have taken.
JEAN_KERNEL void jean_picture(const __grid_constant__ JeanField f, const __grid_constant__ JeanMarch m,
                              const __grid_constant__ JeanPicture out, const float* edges, const uint32_t* list,
                              uint32_t* counters) {
  __shared__ Shared shared;
  share(shared, f);
  const unsigned listed = counters[0];
  long ray = -1;
  int k = 0;
  float light = 0.0f, last = 0.0f, opacity = 0.0f, depth = 0.0f, colour[3] = {}, from[3] = {}, along[3] = {};
  bool left = true;  // whether this warp has not reached the end of the list yet
  for (;;) {
    const unsigned idle = lanes_with(ray < 0);
    if (left && (count_bits(idle) >= REFILL)) {
      const unsigned place = next_number(counters + 1, idle, ray < 0);
      if (ray < 0 && place < listed) {
        ray = list[place];
        k = 0;
        light = 1.0f;
        last = edges[ray * (m.samples + 1) + m.samples];
        opacity = depth = colour[0] = colour[1] = colour[2] = 0.0f;
        for (int axis = 0; axis < 3; ++axis) {
          from[axis] = m.origins[3 * ray + axis];
          along[axis] = m.directions[3 * ray + axis];
        }
      }
      left = !lanes_with(ray < 0);
    }
    if (!lanes_with(ray >= 0)) return;
    const float* edge = edges + (ray < 0 ? 0 : ray * (m.samples + 1) + k);
    const float begin = ray < 0 ? 0.0f : edge[0], end = ray < 0 ? 0.0f : edge[1], middle = (end + begin) / 2.0f;
    float position[3], density, seen[3];
    for (int axis = 0; axis < 3; ++axis) position[axis] = from[axis] + along[axis] * middle;
    sample(f, shared, position, &density, seen);
    if (ray < 0) continue;
    const float weight = absorb(density * (end - begin), &light);
    for (int c = 0; c < 3; ++c) colour[c] += weight * seen[c];
    opacity += weight;
    depth += weight * middle;
    if (++k < m.samples && !(light < out.min_transmittance) && end != last) continue;  // a NaN continues to the last sample
    for (int c = 0; c < 3; ++c) out.colour[3 * ray + c] = colour[c];
    out.opacity[ray] = opacity;
    out.depth[ray] = depth;
    ray = -1;
  }
}
