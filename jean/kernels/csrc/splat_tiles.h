// Gaussians in tiles of 16 by 16 pixels, in the compilers' vector types: compositing front to back, and its gradients. A
// row of a tile is 16 / N vectors. Gradients go through a tile front to back as well: what lies behind a Gaussian is
// the pixel's sum without what was in front, so no transmittance is divided out again.
#pragma once
#include "kernels.h"
#include "splat.h"
#include "vectors.h"

namespace {

constexpr int SPLAT_PIXELS = SPLAT_SIDE * SPLAT_SIDE;
constexpr int SPLAT_SUMS = 16;  // sums of a Gaussian over the pixels of a tile: six moments, two absolute ones, channels
constexpr int SPLAT_LOOK = 8;   // Gaussians between two looks whether a tile is opaque

// 2^x for -126 <= x <= 0, to 2·10⁻⁷; smaller x count as -126, whose alpha is cut off anyway.
template <class T, int N>
JEAN_FN typename Lanes<T, N>::type power_of_two(typename Lanes<T, N>::type x) {
  typedef typename Lanes<T, N>::type V;
  typedef typename Lanes<typename Whole<T>::type, N>::type I;
  x = x < T(-126) ? V{} + T(-126) : x;
  if constexpr (sizeof(T) == 8) {
    V out;
    for (int i = 0; i < N; ++i) out[i] = std::exp2(x[i]);
    return out;
  } else {
    const T magic = T(12582912);  // 1.5 · 2^23: adding it rounds to an integer in the low bits
    const V shifted = x + magic, r = x - (shifted - magic);
    V p = r * T(1.33335581e-3) + T(9.61812911e-3);
    p = p * r + T(5.55041087e-2);
    p = p * r + T(2.40226507e-1);
    p = p * r + T(6.93147181e-1);
    p = p * r + T(1);
    return (V)((I)p + ((I)shifted << 23));
  }
}

// Whether a lane of a comparison's result is set.
template <class Mask>
JEAN_FN bool any(Mask mask) {
  long long parts[sizeof(Mask) / 8], all = 0;
  __builtin_memcpy(parts, &mask, sizeof(mask));
  for (unsigned i = 0; i < sizeof(Mask) / 8; ++i) all |= parts[i];
  return all != 0;
}

// One Gaussian over a tile's rows [from, to).
template <class T, int N>
struct Brush {
  typedef typename Lanes<T, N>::type V;
  T x, y, ka, kb, kc, opacity;
  int from, to;

  JEAN_MEMBER Brush(const T* record, int left, int top) {
    const T half = T(0.5), scale = T(-1.44269504088896341);
    x = record[MEAN_X] - T(left) - half;  // relative to the centre of the tile's first pixel
    y = record[MEAN_Y] - T(top) - half;
    ka = T(0.5) * scale * record[CONIC_A];
    kb = scale * record[CONIC_B];
    kc = T(0.5) * scale * record[CONIC_C];
    opacity = record[OPACITY];
    from = (int)std::ceil(clamp(y - record[EXTENT_Y], T(0), T(SPLAT_SIDE)));
    to = (int)std::floor(clamp(y + record[EXTENT_Y], T(-1), T(SPLAT_SIDE - 1))) + 1;
  }
  // Alphas of N pixels before the limit.
  JEAN_MEMBER V alphas(V dx, T dy) const {
    return opacity * power_of_two<T, N>((ka * dx + kb * dy) * dx + kc * dy * dy);
  }
};

// Pixels of a tile, channel by channel.
template <class T, int CHANNELS>
struct TilePixels {
  alignas(64) T light[SPLAT_PIXELS], sum[CHANNELS][SPLAT_PIXELS];
  int left, top, width, height;  // of the part within the window

  JEAN_MEMBER TilePixels(const JeanSplats& s, int across, long tile) {
    left = (int)(tile % across) * SPLAT_SIDE;
    top = (int)(tile / across) * SPLAT_SIDE;
    width = lesser(SPLAT_SIDE, s.window[2] - left);
    height = lesser(SPLAT_SIDE, s.window[3] - top);
    for (int i = 0; i < SPLAT_PIXELS; ++i)  // pixels outside count as opaque
      light[i] = i % SPLAT_SIDE < width && i / SPLAT_SIDE < height ? T(1) : T(0);
  }
};

template <class T, int N>
JEAN_FN bool opaque(const T* light) {
  typedef typename Lanes<T, N>::type V;
  V most = load<T, N>(light);
  for (int i = N; i < SPLAT_PIXELS; i += N) {
    const V other = load<T, N>(light + i);
    most = most < other ? other : most;
  }
  return !any(most >= T(SPLAT_MIN_TRANSMITTANCE));
}

// Numbers 0, 1, … of lanes.
template <class T, int N>
JEAN_FN typename Lanes<T, N>::type lane_numbers() {
  typename Lanes<T, N>::type out;
  for (int i = 0; i < N; ++i) out[i] = T(i);
  return out;
}

// Sums of all channels of a tile, and the transmittances that are left.
template <class T, int N, int CHANNELS>
JEAN_FN void draw_tile(const T* records, const int32_t* list, long count, TilePixels<T, CHANNELS>& tile) {
  typedef typename Lanes<T, N>::type V;
  constexpr int RECORD = RECORD_HEAD + CHANNELS;
  const V lanes = lane_numbers<T, N>();
  for (int c = 0; c < CHANNELS; ++c)
    for (int i = 0; i < SPLAT_PIXELS; ++i) tile.sum[c][i] = T(0);
  for (long k = 0; k < count; ++k) {
    const T* record = records + (long)list[k] * RECORD;
    const Brush<T, N> brush(record, tile.left, tile.top);
    for (int row = brush.from; row < brush.to; ++row)
      for (int column = 0; column < SPLAT_SIDE; column += N) {
        const int at = row * SPLAT_SIDE + column;
        V alpha = brush.alphas(lanes + (T(column) - brush.x), T(row) - brush.y);
        alpha = alpha > T(SPLAT_MAX_ALPHA) ? V{} + T(SPLAT_MAX_ALPHA) : alpha;
        const V light = load<T, N>(tile.light + at);
        const auto active = (alpha >= T(SPLAT_MIN_ALPHA)) & (light >= T(SPLAT_MIN_TRANSMITTANCE));
        if (!any(active)) continue;
        const V weight = (active ? alpha : V{}) * light;
        store<T, N>(tile.light + at, light - weight);
        for (int c = 0; c < CHANNELS; ++c)
          store<T, N>(tile.sum[c] + at, load<T, N>(tile.sum[c] + at) + weight * record[RECORD_HEAD + c]);
      }
    if (k % SPLAT_LOOK == SPLAT_LOOK - 1 && opaque<T, N>(tile.light)) break;
  }
}

// Tiles [begin, end): colour, opacity and depth.
template <class T, int N, int CHANNELS>
JEAN_FN void draw_tiles(const JeanSplats& s, const JeanTileLists& lists, long begin, long end) {
  for (long t = begin; t < end; ++t) {
    TilePixels<T, CHANNELS> tile(s, lists.across, t);
    draw_tile<T, N, CHANNELS>((const T*)s.records, lists.list + lists.start[t], lists.start[t + 1] - lists.start[t], tile);
    for (int y = 0; y < tile.height; ++y)
      for (int x = 0; x < tile.width; ++x) {
        const long pixel = (long)(tile.top + y) * s.window[2] + tile.left + x;
        const int i = y * SPLAT_SIDE + x;
        for (int c = 0; c < s.channels; ++c) ((T*)s.colour)[pixel * s.channels + c] = tile.sum[c][i];
        ((T*)s.opacity)[pixel] = T(1) - tile.light[i];
        ((T*)s.depth)[pixel] = tile.sum[CHANNELS - 1][i];
      }
  }
}

// Incoming gradients of a tile's pixels, zero outside the window, and the sum of all outputs weighted by them.
template <class T, int CHANNELS>
struct TileSlopes {
  alignas(64) T channel[CHANNELS][SPLAT_PIXELS], opacity[SPLAT_PIXELS], rest[SPLAT_PIXELS];

  JEAN_MEMBER TileSlopes(const JeanSplats& s, const JeanSplatGradients& g, const TilePixels<T, CHANNELS>& tile) {
    __builtin_memset(this, 0, sizeof(*this));
    for (int y = 0; y < tile.height; ++y)
      for (int x = 0; x < tile.width; ++x) {
        const long pixel = (long)(tile.top + y) * s.window[2] + tile.left + x;
        const int i = y * SPLAT_SIDE + x;
        T sum = T(0);
        if (g.to_colour)
          for (int c = 0; c < s.channels; ++c) {
            channel[c][i] = ((const T*)g.to_colour)[pixel * s.channels + c];
            sum += channel[c][i] * ((const T*)s.colour)[pixel * s.channels + c];
          }
        if (g.to_opacity) {
          opacity[i] = ((const T*)g.to_opacity)[pixel];
          sum += opacity[i] * ((const T*)s.opacity)[pixel];
        }
        if (g.to_depth) {
          channel[CHANNELS - 1][i] = ((const T*)g.to_depth)[pixel];
          sum += channel[CHANNELS - 1][i] * ((const T*)s.depth)[pixel];
        }
        rest[i] = sum;
      }
  }
};

// One Gaussian of a tile: its 16 sums over pixels. With g = dL/dalpha · alpha and d = pixel - mean: Σ g, Σ g dx, Σ g dy,
// Σ g dx², Σ g dx dy, Σ g dy², Σ |g (a dx + b dy)|, Σ |g (b dx + c dy)|, then the channels' gradients.
template <class T, int N, int CHANNELS>
JEAN_FN void slopes_in_tile(const T* record, TilePixels<T, CHANNELS>& tile, TileSlopes<T, CHANNELS>& slopes, T* to) {
  typedef typename Lanes<T, N>::type V;
  const V lanes = lane_numbers<T, N>(), none = {};
  V sums[SPLAT_SUMS] = {};
  const Brush<T, N> brush(record, tile.left, tile.top);
  const T a = record[CONIC_A], b = record[CONIC_B], c = record[CONIC_C];
  for (int row = brush.from; row < brush.to; ++row)
    for (int column = 0; column < SPLAT_SIDE; column += N) {
      const int at = row * SPLAT_SIDE + column;
      const V dx = lanes + (T(column) - brush.x);
      const T dy = T(row) - brush.y;
      const V free = brush.alphas(dx, dy);
      V alpha = free > T(SPLAT_MAX_ALPHA) ? none + T(SPLAT_MAX_ALPHA) : free;
      const V light = load<T, N>(tile.light + at);
      const auto active = (alpha >= T(SPLAT_MIN_ALPHA)) & (light >= T(SPLAT_MIN_TRANSMITTANCE));
      if (!any(active)) continue;
      alpha = active ? alpha : none;
      const V weight = alpha * light;
      store<T, N>(tile.light + at, light - weight);
      V shown = load<T, N>(slopes.opacity + at);
      for (int k = 0; k < CHANNELS; ++k) {
        const V slope = load<T, N>(slopes.channel[k] + at);
        shown += record[RECORD_HEAD + k] * slope;
        sums[8 + k] += weight * slope;
      }
      const V rest = load<T, N>(slopes.rest + at) - weight * shown;
      store<T, N>(slopes.rest + at, rest);
      V g = (light * shown - rest / (T(1) - alpha)) * alpha;
      g = free > T(SPLAT_MAX_ALPHA) ? none : g;
      const V gx = g * dx, gy = g * dy;
      sums[0] += g;
      sums[1] += gx;
      sums[2] += gy;
      sums[3] += gx * dx;
      sums[4] += gx * dy;
      sums[5] += gy * dy;
      const V along = a * gx + b * gy, down = b * gx + c * gy;
      sums[6] += along < none ? -along : along;
      sums[7] += down < none ? -down : down;
    }
  for (int k = 0; k < SPLAT_SUMS; k += N) store<T, N>(to + k, totals<T, N>(sums + k));
}

// Tiles [begin, end): the sums of every pair of a Gaussian and a tile, in `pairs` [pairs, 16].
template <class T, int N, int CHANNELS>
JEAN_FN void slopes_in_tiles(const JeanSplats& s, const JeanTileLists& lists, const JeanSplatGradients& g, T* pairs, long begin,
                             long end) {
  constexpr int RECORD = RECORD_HEAD + CHANNELS;
  for (long t = begin; t < end; ++t) {
    TilePixels<T, CHANNELS> tile(s, lists.across, t);
    TileSlopes<T, CHANNELS> slopes(s, g, tile);
    const int32_t* list = lists.list + lists.start[t];
    const long count = lists.start[t + 1] - lists.start[t];
    bool done = false;
    for (long k = 0; k < count; ++k) {
      const T* record = (const T*)s.records + (long)list[k] * RECORD;
      const TileBox box = tiles_of(record, s.window[2], s.window[3]);
      const int x = tile.left / SPLAT_SIDE - box.x0, y = tile.top / SPLAT_SIDE - box.y0;
      T* to = pairs + (lists.first[list[k]] + y * (box.x1 - box.x0 + 1) + x) * SPLAT_SUMS;
      if (done) {
        for (int i = 0; i < SPLAT_SUMS; ++i) to[i] = T(0);
        continue;
      }
      slopes_in_tile<T, N, CHANNELS>(record, tile, slopes, to);
      done = k % SPLAT_LOOK == SPLAT_LOOK - 1 && opaque<T, N>(tile.light);
    }
  }
}

// Records of the Gaussians [begin, end), and their radii.
template <class T, int CHANNELS>
JEAN_FN void project_range(const JeanSplats& s, long begin, long end) {
  constexpr int RECORD = RECORD_HEAD + CHANNELS;
  const Camera<T> camera = splat_camera<T>(s);
  for (long i = begin; i < end; ++i) {
    const Gaussian<T> g = read_gaussian<T>(s, i);
    Projection<T> p;
    project(camera, g, p);
    T* to = (T*)s.records + i * RECORD;
    bool visible = write_record(camera, g, p, to);
    for (int c = 0; c < CHANNELS - 1; ++c) {
      const T value = c < s.channels ? ((const T*)s.colours)[i * s.channels + c] : T(0);
      visible = visible && value * T(0) == T(0);
      to[RECORD_HEAD + c] = value;
    }
    to[RECORD_HEAD + CHANNELS - 1] = p.camera[2];
    if (!visible)
      for (int k = 0; k < RECORD; ++k) to[k] = T(0);
    if (s.radii) ((T*)s.radii)[i] = greater(to[EXTENT_X], to[EXTENT_Y]);
  }
}

// Gradients of the Gaussians [begin, end) from the sums of their pairs, and the part's sum of the camera's gradients [15]:
// world_to_camera, then intrinsics.
template <class T, int CHANNELS>
JEAN_FN void project_range_backward(const JeanSplats& s, const JeanSplatGradients& out, const int64_t* first, const T* pairs,
                                    long begin, long end, T* camera_sums) {
  constexpr int RECORD = RECORD_HEAD + CHANNELS;
  const Camera<T> camera = splat_camera<T>(s);
  CameraSlopes<T> to_camera = {};
  for (long i = begin; i < end; ++i) {
    T sums[SPLAT_SUMS] = {};
    for (int64_t pair = first[i]; pair < first[i + 1]; ++pair)
      for (int k = 0; k < SPLAT_SUMS; ++k) sums[k] += pairs[pair * SPLAT_SUMS + k];
    Gaussian<T> to = {};
    const T* record = (const T*)s.records + i * RECORD;
    if (first[i] < first[i + 1]) {
      const Gaussian<T> g = read_gaussian<T>(s, i);
      Projection<T> p;
      project(camera, g, p);
      const RecordSlopes<T> slopes = {{p.a * sums[1] + p.b * sums[2], p.b * sums[1] + p.c * sums[2]},
                                      T(-0.5) * sums[3],
                                      -sums[4],
                                      T(-0.5) * sums[5],
                                      sums[0] / record[OPACITY],
                                      sums[8 + CHANNELS - 1]};
      project_backward(camera, g, p, slopes, to, to_camera);
    }
    for (int k = 0; k < 3; ++k) ((T*)out.centres)[3 * i + k] = to.centre[k], ((T*)out.scales)[3 * i + k] = to.scale[k];
    for (int k = 0; k < 4; ++k) ((T*)out.rotations)[4 * i + k] = to.rotation[k];
    ((T*)out.opacities)[i] = to.opacity;
    for (int c = 0; c < s.channels; ++c) ((T*)out.colours)[i * s.channels + c] = sums[8 + c];
    for (int k = 0; k < 2; ++k) ((T*)out.screen)[2 * i + k] = sums[6 + k];
  }
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < 3; ++k) camera_sums[4 * i + k] = to_camera.turn[i][k];
    camera_sums[4 * i + 3] = to_camera.shift[i];
  }
  camera_sums[12] = to_camera.focal;
  camera_sums[13] = to_camera.centre_x;
  camera_sums[14] = to_camera.centre_y;
}

}  // namespace
