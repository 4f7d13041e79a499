// Gaussians on a GPU: projection with one thread per Gaussian, tiles with one block of 256 threads each, one thread per
// pixel. A tile finds its Gaussians itself, among the boxes of all Gaussians in the order of their depths. So there are
// no lists whose length the host would have to know, and a CUDA graph can capture every launch. The mathematics of one
// Gaussian is that of ../splat.h.
#include "interface.h"
#include "splat.h"
#include "warp.h"

namespace {

constexpr int PIXELS = SPLAT_SIDE * SPLAT_SIDE, PIXEL_WARPS = PIXELS / 32;
constexpr int LOOKS = 4;      // boxes that a thread compares with its tile between two barriers
constexpr int RING = 2048;    // places of a tile's list; it holds fewer than PIXELS · (1 + LOOKS) at a time
constexpr int PAIR_SUMS = 16;
constexpr int INVISIBLE = 0x7fffffff;  // key behind all depths

// A Gaussian as the pixels of one tile need it: mean relative to the centre of the tile's first pixel, and the conic
// scaled for powers of two.
template <int CHANNELS>
struct Shown {
  float x, y, ka, kb, kc, log_opacity, channel[CHANNELS];
};

// Shared memory of a tile.
template <int CHANNELS>
struct SplatTile {
  int32_t ring[RING];
  unsigned counts[LOOKS * PIXEL_WARPS];
  Shown<CHANNELS> shown[PIXELS];
  int32_t index[PIXELS];
  unsigned alive;
};

// How far a tile has come: boxes looked at, Gaussians found, and Gaussians taken from the ring. All threads agree.
struct Progress {
  long looked = 0;
  unsigned found = 0, taken = 0;
};

// Continues until PIXELS Gaussians wait in the ring, or none is left.
template <int CHANNELS>
JEAN_FN void find(SplatTile<CHANNELS>& tile, const JeanSplats& s, const uint2* boxes, unsigned across, unsigned down,
                  Progress& at) {
  const unsigned thread = threadIdx.x, lane = thread & 31u, warp = thread / 32u;
  while (at.found - at.taken < (unsigned)PIXELS && at.looked < s.count) {
    unsigned bits[LOOKS];
    for (int look = 0; look < LOOKS; ++look) {
      const long k = at.looked + look * PIXELS + thread;
      bool hit = false;
      if (k < s.count) {
        const uint2 box = __ldg(boxes + k);  // x0 and x1, y0 and y1
        hit = (box.x & 0xffffu) <= across && across <= box.x >> 16 && (box.y & 0xffffu) <= down && down <= box.y >> 16;
      }
      bits[look] = lanes_with(hit);
      if (lane == 0) tile.counts[look * PIXEL_WARPS + warp] = (unsigned)count_bits(bits[look]);
    }
    __syncthreads();
    unsigned end = at.found, start[LOOKS];
    for (int look = 0; look < LOOKS; ++look)
      for (unsigned w = 0; w < (unsigned)PIXEL_WARPS; ++w) {
        if (w == warp) start[look] = end;
        end += tile.counts[look * PIXEL_WARPS + w];
      }
    for (int look = 0; look < LOOKS; ++look)
      if (bits[look] >> lane & 1u) {
        const unsigned place = start[look] + (unsigned)count_bits(bits[look] & ((1u << lane) - 1u));
        tile.ring[place % RING] = s.order[at.looked + look * PIXELS + thread];
      }
    at.found = end;
    at.looked += LOOKS * PIXELS;
    __syncthreads();
  }
}

// Takes the next Gaussians, at most PIXELS, from the ring into shared memory; returns their number.
template <int CHANNELS>
JEAN_FN int take(SplatTile<CHANNELS>& tile, const JeanSplats& s, int left, int top, Progress& at) {
  const unsigned waiting = at.found - at.taken, thread = threadIdx.x;
  const int count = waiting < (unsigned)PIXELS ? (int)waiting : PIXELS;
  if ((int)thread < count) {
    const int32_t index = tile.ring[(at.taken + thread) % RING];
    const float* record = (const float*)s.records + (long)index * (RECORD_HEAD + CHANNELS);
    Shown<CHANNELS>& to = tile.shown[thread];
    const float scale = (float)-SPLAT_BINARY;
    tile.index[thread] = index;
    to.x = record[MEAN_X] - (float)left - 0.5f;
    to.y = record[MEAN_Y] - (float)top - 0.5f;
    to.ka = 0.5f * scale * record[CONIC_A];
    to.kb = scale * record[CONIC_B];
    to.kc = 0.5f * scale * record[CONIC_C];
    to.log_opacity = record[LOG_OPACITY];
    for (int c = 0; c < CHANNELS; ++c) to.channel[c] = record[RECORD_HEAD + c];
  }
  at.taken += (unsigned)count;
  __syncthreads();
  return count;
}

// Whether a thread of the block says yes; a barrier.
template <int CHANNELS>
JEAN_FN bool any_thread(SplatTile<CHANNELS>& tile, bool yes) {
  __syncthreads();
  if (threadIdx.x == 0) tile.alive = 0u;
  __syncthreads();
  if (lanes_with(yes) && lane_number() == 0) tile.alive = 1u;
  __syncthreads();
  return tile.alive != 0u;
}

template <int CHANNELS>
JEAN_FN float alpha_at(const Shown<CHANNELS>& g, float dx, float dy) {
  return exp2f((g.ka * dx + g.kb * dy) * dx + (g.kc * dy * dy + g.log_opacity));
}

// Calls draw(shown, index, dx, dy) for the Gaussians of the block's tile, the nearest first, as long as pixels need
// them. `light` is the pixel's transmittance. All lanes of a warp call together.
template <int CHANNELS, class Draw>
JEAN_FN void through_tile(SplatTile<CHANNELS>& tile, const JeanSplats& s, const uint2* boxes, const float& light,
                          const Draw& draw) {
  const int tiles_across = (s.window[2] + SPLAT_SIDE - 1) / SPLAT_SIDE;
  const int across = (int)blockIdx.x % tiles_across, down = (int)blockIdx.x / tiles_across;
  const float column = (float)(threadIdx.x % SPLAT_SIDE), row = (float)(threadIdx.x / SPLAT_SIDE);
  Progress at;
  for (;;) {
    find(tile, s, boxes, (unsigned)across, (unsigned)down, at);
    const int count = take(tile, s, across * SPLAT_SIDE, down * SPLAT_SIDE, at);
    if (count == 0) return;
    for (int k = 0; k < count; ++k) {
      if (!lanes_with(light >= (float)SPLAT_MIN_TRANSMITTANCE)) break;
      const Shown<CHANNELS>& g = tile.shown[k];
      draw(g, tile.index[k], column - g.x, row - g.y);
    }
    if (!any_thread(tile, light >= (float)SPLAT_MIN_TRANSMITTANCE)) return;
  }
}

// This thread's pixel in the window's pictures; -1 outside.
JEAN_FN long own_pixel(const JeanSplats& s) {
  const int across = (s.window[2] + SPLAT_SIDE - 1) / SPLAT_SIDE;
  const int x = (int)blockIdx.x % across * SPLAT_SIDE + (int)threadIdx.x % SPLAT_SIDE;
  const int y = (int)blockIdx.x / across * SPLAT_SIDE + (int)threadIdx.x / SPLAT_SIDE;
  return x < s.window[2] && y < s.window[3] ? (long)y * s.window[2] + x : -1;
}

template <int CHANNELS>
JEAN_FN void draw_tile(SplatTile<CHANNELS>& tile, const JeanSplats& s, const uint2* boxes) {
  const long pixel = own_pixel(s);
  float light = pixel < 0 ? 0.0f : 1.0f, sum[CHANNELS] = {};
  through_tile(tile, s, boxes, light, [&](const Shown<CHANNELS>& g, int, float dx, float dy) {
    const float alpha = lesser(alpha_at(g, dx, dy), (float)SPLAT_MAX_ALPHA);
    if (!(alpha >= (float)SPLAT_MIN_ALPHA && light >= (float)SPLAT_MIN_TRANSMITTANCE)) return;
    const float weight = alpha * light;
    light -= weight;
    for (int c = 0; c < CHANNELS; ++c) sum[c] += weight * g.channel[c];
  });
  if (pixel < 0) return;
  for (int c = 0; c < CHANNELS - 1; ++c)
    if (c < s.channels) ((float*)s.colour)[pixel * s.channels + c] = sum[c];
  ((float*)s.opacity)[pixel] = 1.0f - light;
  ((float*)s.depth)[pixel] = sum[CHANNELS - 1];
}

// Sums of 16 values over a warp; lane l returns that of value l / 2. Each step gives half of the values away.
JEAN_FN float sums_over_lanes(float* values) {
  const int lane = lane_number();
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    const int half = 8 >> step, mask = 16 >> step;
    const bool upper = (lane & mask) != 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i >= half) continue;
      const float give = upper ? values[i] : values[i + half], keep = upper ? values[i + half] : values[i];
      values[i] = keep + from_opposite(give, mask);
    }
  }
  return values[0] + from_opposite(values[0], 1);
}

// The backward pass, front to back; see ../splat_tiles.h for the sums of a Gaussian. They are added in any order.
template <int CHANNELS>
JEAN_FN void slopes_of_tile(SplatTile<CHANNELS>& tile, const JeanSplats& s, const uint2* boxes, const JeanSplatGradients& g,
                            float* sums) {
  const long pixel = own_pixel(s);
  float light = 0.0f, behind = 0.0f, to_opacity = 0.0f, slope[CHANNELS] = {};
  if (pixel >= 0) {
    light = 1.0f;
    for (int c = 0; c < CHANNELS - 1; ++c)
      if (g.to_colour && c < s.channels) {
        slope[c] = ((const float*)g.to_colour)[pixel * s.channels + c];
        behind += slope[c] * ((const float*)s.colour)[pixel * s.channels + c];
      }
    if (g.to_opacity) {
      to_opacity = ((const float*)g.to_opacity)[pixel];
      behind += to_opacity * ((const float*)s.opacity)[pixel];
    }
    if (g.to_depth) {
      slope[CHANNELS - 1] = ((const float*)g.to_depth)[pixel];
      behind += slope[CHANNELS - 1] * ((const float*)s.depth)[pixel];
    }
  }
  through_tile(tile, s, boxes, light, [&](const Shown<CHANNELS>& one, int index, float dx, float dy) {
    const float free = alpha_at(one, dx, dy);
    const bool active = free >= (float)SPLAT_MIN_ALPHA && light >= (float)SPLAT_MIN_TRANSMITTANCE;
    if (!lanes_with(active)) return;
    float own[PAIR_SUMS] = {};
    if (active) {
      const float alpha = lesser(free, (float)SPLAT_MAX_ALPHA), weight = alpha * light, before = light;
      light -= weight;
      float shown = to_opacity;
      for (int c = 0; c < CHANNELS; ++c) {
        shown += one.channel[c] * slope[c];
        own[8 + c] = weight * slope[c];
      }
      behind -= weight * shown;
      if (free <= (float)SPLAT_MAX_ALPHA) {
        const float d = (before * shown - behind / (1.0f - alpha)) * alpha, gx = d * dx, gy = d * dy;
        const float scale = -1.38629436111989062f;  // from the scaled conic: -2 ln 2
        const float a = scale * one.ka, b = 0.5f * scale * one.kb, c = scale * one.kc;
        own[0] = d;
        own[1] = gx;
        own[2] = gy;
        own[3] = gx * dx;
        own[4] = gx * dy;
        own[5] = gy * dy;
        own[6] = fabsf(a * gx + b * gy);
        own[7] = fabsf(b * gx + c * gy);
      }
    }
    const float sum = sums_over_lanes(own);
    const int lane = lane_number();
    if ((lane & 1) == 0) atomicAdd(sums + (long)index * PAIR_SUMS + lane / 2, sum);
  });
}

}  // namespace

// Records and radii, and keys whose order is that of the depths.
JEAN_KERNEL void jean_splat_project(const __grid_constant__ JeanSplats s, int32_t* keys) {
  const long i = thread_number();
  if (i >= s.count) return;
  const Camera<float> camera = splat_camera<float>(s);
  const Gaussian<float> g = read_gaussian<float>(s, i);
  Projection<float> p;
  project(camera, g, p);
  const int record = splat_record(s.channels);
  float head[RECORD_HEAD];
  bool visible = write_record(camera, g, p, head);
  for (int c = 0; c < s.channels; ++c) visible = visible && ((const float*)s.colours)[i * s.channels + c] * 0.0f == 0.0f;
  float* to = (float*)s.records + i * record;
  for (int k = 0; k < RECORD_HEAD; ++k) to[k] = visible ? head[k] : 0.0f;
  for (int c = 0; c < record - RECORD_HEAD; ++c)
    to[RECORD_HEAD + c] = visible && c < s.channels ? ((const float*)s.colours)[i * s.channels + c] : 0.0f;
  if (visible) to[record - 1] = p.camera[2];
  ((float*)s.radii)[i] = visible ? greater(head[EXTENT_X], head[EXTENT_Y]) : 0.0f;
  keys[i] = visible ? (int32_t)bits_of(p.camera[2]) : INVISIBLE;
}

// The boxes of the Gaussians in the order of their depths.
JEAN_KERNEL void jean_splat_boxes(const __grid_constant__ JeanSplats s, uint2* boxes) {
  const long k = thread_number();
  if (k >= s.count) return;
  const float* record = (const float*)s.records + (long)s.order[k] * splat_record(s.channels);
  JeanTileBox box = {1, 0, 1, 0};
  if (record[EXTENT_X] > 0.0f) box = tiles_of(record, s.window[2], s.window[3]);
  boxes[k] = make_uint2((unsigned)box.x0 | (unsigned)box.x1 << 16, (unsigned)box.y0 | (unsigned)box.y1 << 16);
}

#define JEAN_SPLAT_TILES(CHANNELS)                                                                                     \
  JEAN_KERNEL __launch_bounds__(PIXELS, 3) void jean_splat_draw_##CHANNELS(const __grid_constant__ JeanSplats s,          \
                                                                        const uint2* boxes) {                          \
    __shared__ SplatTile<CHANNELS> tile;                                                                               \
    draw_tile(tile, s, boxes);                                                                                         \
  }                                                                                                                    \
  JEAN_KERNEL __launch_bounds__(PIXELS, 3) void jean_splat_slopes_##CHANNELS(                                             \
      const __grid_constant__ JeanSplats s, const __grid_constant__ JeanSplatGradients g, const uint2* boxes,          \
      float* sums) {                                                                                                   \
    __shared__ SplatTile<CHANNELS> tile;                                                                               \
    slopes_of_tile(tile, s, boxes, g, sums);                                                                           \
  }
JEAN_SPLAT_TILES(4)
JEAN_SPLAT_TILES(8)

// Gradients of all Gaussians from their sums [count, 16]; those of the camera are added to camera_sums [16]:
// world_to_camera, then intrinsics.
JEAN_KERNEL void jean_splat_project_back(const __grid_constant__ JeanSplats s, const __grid_constant__ JeanSplatGradients g,
                                         const float* sums, float* camera_sums) {
  const long i = thread_number();
  const int record = splat_record(s.channels);
  CameraSlopes<float> to_camera = {};
  if (i < s.count) {
    const float *own = sums + i * PAIR_SUMS, *head = (const float*)s.records + i * record;
    Gaussian<float> to = {};
    if (head[EXTENT_X] > 0.0f) {
      const Camera<float> camera = splat_camera<float>(s);
      const Gaussian<float> one = read_gaussian<float>(s, i);
      Projection<float> p;
      project(camera, one, p);
      const RecordSlopes<float> slopes = {{p.a * own[1] + p.b * own[2], p.b * own[1] + p.c * own[2]},
                                          -0.5f * own[3],
                                          -own[4],
                                          -0.5f * own[5],
                                          own[0] / p.opacity,
                                          own[8 + record - RECORD_HEAD - 1]};
      project_backward(camera, one, p, slopes, to, to_camera);
    }
    for (int k = 0; k < 3; ++k) {
      ((float*)g.centres)[3 * i + k] = to.centre[k];
      ((float*)g.scales)[3 * i + k] = to.scale[k];
    }
    for (int k = 0; k < 4; ++k) ((float*)g.rotations)[4 * i + k] = to.rotation[k];
    ((float*)g.opacities)[i] = to.opacity;
    for (int c = 0; c < s.channels; ++c) ((float*)g.colours)[i * s.channels + c] = own[8 + c];
    for (int k = 0; k < 2; ++k) ((float*)g.screen)[2 * i + k] = own[6 + k];
  }
  float values[16] = {};
  for (int r = 0; r < 3; ++r) {
    for (int k = 0; k < 3; ++k) values[4 * r + k] = to_camera.turn[r][k];
    values[4 * r + 3] = to_camera.shift[r];
  }
  values[12] = to_camera.focal;
  values[13] = to_camera.centre_x;
  values[14] = to_camera.centre_y;
  const float sum = sums_over_lanes(values);
  const int lane = lane_number();
  if ((lane & 1) == 0) atomicAdd(camera_sums + lane / 2, sum);
}
