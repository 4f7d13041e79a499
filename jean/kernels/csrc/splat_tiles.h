// Gaussians in tiles of 16 by 16 pixels, in the compilers' vector types: compositing front to back, and its gradients. A
// row of a tile is 16 / N vectors. Gradients go through a tile front to back as well: what lies behind a Gaussian is
// the pixel's sum without what was in front, so no transmittance is divided out again.
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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
#if defined(__x86_64__)
  if constexpr (sizeof(Mask) == 64) return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
  if constexpr (sizeof(Mask) == 32) return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#endif
  long long parts[sizeof(Mask) / 8], all = 0;
  __builtin_memcpy(parts, &mask, sizeof(mask));
  for (unsigned i = 0; i < sizeof(Mask) / 8; ++i) all |= parts[i];
  return all != 0;
}

// One Gaussian over a tile's rows [from, to).
template <class T, int N>
struct Brush {
  typedef typename Lanes<T, N>::type V;
  T x, y, ka, kb, kc, log_opacity;
  int from, to;

  JEAN_MEMBER Brush(const T* record, int left, int top) {
    const T half = T(0.5), scale = T(-SPLAT_BINARY);
    x = record[MEAN_X] - T(left) - half;  // relative to the centre of the tile's first pixel
    y = record[MEAN_Y] - T(top) - half;
    ka = T(0.5) * scale * record[CONIC_A];
    kb = scale * record[CONIC_B];
    kc = T(0.5) * scale * record[CONIC_C];
    log_opacity = record[LOG_OPACITY];
    from = (int)std::ceil(clamp(y - record[EXTENT_Y], T(0), T(SPLAT_SIDE)));
    to = (int)std::floor(clamp(y + record[EXTENT_Y], T(-1), T(SPLAT_SIDE - 1))) + 1;
  }
  // Logarithms, to the base 2, of the alphas of N pixels before the limit.
  JEAN_MEMBER V exponents(V dx, T dy) const { return (ka * dx + kb * dy) * dx + (kc * dy * dy + log_opacity); }
};

// Whether pixels take a Gaussian: decided before the exponential, which is left out where no pixel does.
template <class T, class V>
JEAN_FN auto reached(V exponent, V light) {
  const T least = T(SPLAT_LOG_MIN_ALPHA * SPLAT_BINARY);
  return (exponent >= least) & (light >= T(SPLAT_MIN_TRANSMITTANCE));
}

// Pixels of a tile: for every vector of N pixels `COUNT` quantities side by side. (With one array per quantity, at
// distances of a power of two, loads would wait for stores to addresses whose last 12 bits are equal.) The first
// quantity is the transmittance.
template <class T, int N, int COUNT>
struct TilePixels {
  static constexpr int VECTORS = SPLAT_PIXELS / N, ACROSS = SPLAT_SIDE / N;
  alignas(64) T cells[VECTORS][COUNT][N];
  int left, top, width, height;  // of the part within the window

  JEAN_MEMBER TilePixels(const JeanSplats& s, int across, long tile) {
    left = (int)(tile % across) * SPLAT_SIDE;
    top = (int)(tile / across) * SPLAT_SIDE;
    width = lesser(SPLAT_SIDE, s.window[2] - left);
    height = lesser(SPLAT_SIDE, s.window[3] - top);
    __builtin_memset(cells, 0, sizeof(cells));
    for (int y = 0; y < height; ++y)  // pixels outside stay opaque
      for (int x = 0; x < width; ++x) at(y, x, 0) = T(1);
  }
  JEAN_MEMBER T& at(int y, int x, int quantity) { return cells[y * ACROSS + x / N][quantity][x % N]; }
  // The index of a pixel of the tile in the window's pictures.
  JEAN_MEMBER long pixel(const JeanSplats& s, int y, int x) const { return (long)(top + y) * s.window[2] + left + x; }

  JEAN_MEMBER bool opaque() const {
    typedef typename Lanes<T, N>::type V;
    V most = {};
    for (int i = 0; i < VECTORS; ++i) {
      const V light = load<T, N>(cells[i][0]);
      most = most < light ? light : most;
    }
    return !any(most >= T(SPLAT_MIN_TRANSMITTANCE));
  }
};

// Numbers 0, 1, … of lanes.
template <class T, int N>
JEAN_FN typename Lanes<T, N>::type lane_numbers() {
  typename Lanes<T, N>::type out;
  for (int i = 0; i < N; ++i) out[i] = T(i);
  return out;
}

// Loads the record after the next ones into the cache: neighbours in a list lie anywhere in memory.
template <int RECORD, class T>
JEAN_FN void look_ahead(const T* records, const int32_t* list, long k, long count) {
  const T* later = records + (long)list[lesser(k + 4, count - 1)] * RECORD;
  __builtin_prefetch(later);
  __builtin_prefetch(later + RECORD - 1);
}

// Quantities of a drawn tile: transmittance, then the channels' sums.
template <class T, int N, int CHANNELS>
JEAN_FN void draw_tile(const T* records, const int32_t* list, long count, TilePixels<T, N, 1 + CHANNELS>& tile) {
  typedef typename Lanes<T, N>::type V;
  constexpr int RECORD = RECORD_HEAD + CHANNELS, ACROSS = SPLAT_SIDE / N;
  const V lanes = lane_numbers<T, N>();
  for (long k = 0; k < count; ++k) {
    look_ahead<RECORD>(records, list, k, count);
    const T* record = records + (long)list[k] * RECORD;
    const Brush<T, N> brush(record, tile.left, tile.top);
    for (int row = brush.from; row < brush.to; ++row)
      for (int column = 0; column < ACROSS; ++column) {
        T(*cell)[N] = tile.cells[row * ACROSS + column];
        const V exponent = brush.exponents(lanes + (T(column * N) - brush.x), T(row) - brush.y);
        const V light = load<T, N>(cell[0]);
        const auto active = reached<T>(exponent, light);
        if (!any(active)) continue;
        V alpha = power_of_two<T, N>(exponent);
        alpha = alpha > T(SPLAT_MAX_ALPHA) ? V{} + T(SPLAT_MAX_ALPHA) : alpha;
        const V weight = (active ? alpha : V{}) * light;
        store<T, N>(cell[0], light - weight);
        for (int c = 0; c < CHANNELS; ++c)
          store<T, N>(cell[1 + c], load<T, N>(cell[1 + c]) + weight * record[RECORD_HEAD + c]);
      }
    if (k % SPLAT_LOOK == SPLAT_LOOK - 1 && tile.opaque()) break;
  }
}

// Tiles [begin, end): colour, opacity and depth.
template <class T, int N, int CHANNELS>
JEAN_FN void draw_tiles(const JeanSplats& s, const JeanTileLists& lists, long begin, long end) {
  for (long t = begin; t < end; ++t) {
    TilePixels<T, N, 1 + CHANNELS> tile(s, lists.across, t);
    const long first = lists.start[t];
    draw_tile<T, N, CHANNELS>((const T*)s.records, lists.list + first, lists.start[t + 1] - first, tile);
    for (int y = 0; y < tile.height; ++y)
      for (int x = 0; x < tile.width; ++x) {
        const long pixel = tile.pixel(s, y, x);
        for (int c = 0; c < s.channels; ++c) ((T*)s.colour)[pixel * s.channels + c] = tile.at(y, x, 1 + c);
        ((T*)s.opacity)[pixel] = T(1) - tile.at(y, x, 0);
        ((T*)s.depth)[pixel] = tile.at(y, x, CHANNELS);
      }
  }
}

// Quantities of a tile in the backward pass, after the transmittance: the sum of what is still behind, weighted by the
// incoming gradients, and these gradients, of the opacity and of the channels.
enum { BEHIND = 1, TO_OPACITY, TO_CHANNELS };

template <class T, int N, int CHANNELS>
JEAN_FN void read_slopes(const JeanSplats& s, const JeanSplatGradients& g, TilePixels<T, N, TO_CHANNELS + CHANNELS>& tile) {
  const T *to_colour = (const T*)g.to_colour, *to_opacity = (const T*)g.to_opacity, *to_depth = (const T*)g.to_depth;
  for (int y = 0; y < tile.height; ++y)
    for (int x = 0; x < tile.width; ++x) {
      const long pixel = tile.pixel(s, y, x);
      T sum = T(0);
      if (to_colour)
        for (int c = 0; c < s.channels; ++c) {
          const T slope = to_colour[pixel * s.channels + c];
          tile.at(y, x, TO_CHANNELS + c) = slope;
          sum += slope * ((const T*)s.colour)[pixel * s.channels + c];
        }
      if (to_opacity) {
        tile.at(y, x, TO_OPACITY) = to_opacity[pixel];
        sum += to_opacity[pixel] * ((const T*)s.opacity)[pixel];
      }
      if (to_depth) {
        tile.at(y, x, TO_CHANNELS + CHANNELS - 1) = to_depth[pixel];
        sum += to_depth[pixel] * ((const T*)s.depth)[pixel];
      }
      tile.at(y, x, BEHIND) = sum;
    }
}

// One Gaussian of a tile: its 16 sums over pixels. With g = dL/dalpha · alpha and d = pixel - mean: Σ g, Σ g dx, Σ g dy,
// Σ g dx², Σ g dx dy, Σ g dy², Σ |g (a dx + b dy)|, Σ |g (b dx + c dy)|, then the channels' gradients.
template <class T, int N, int CHANNELS>
JEAN_FN void slopes_in_tile(const T* record, TilePixels<T, N, TO_CHANNELS + CHANNELS>& tile, T* to) {
  typedef typename Lanes<T, N>::type V;
  constexpr int ACROSS = SPLAT_SIDE / N;
  const V lanes = lane_numbers<T, N>(), none = {};
  constexpr int USED = 8 + CHANNELS;
  V sums[USED];
  for (int k = 0; k < USED; ++k) sums[k] = none;
  const Brush<T, N> brush(record, tile.left, tile.top);
  const T a = record[CONIC_A], b = record[CONIC_B], c = record[CONIC_C];
  for (int row = brush.from; row < brush.to; ++row)
    for (int column = 0; column < ACROSS; ++column) {
      T(*cell)[N] = tile.cells[row * ACROSS + column];
      const V dx = lanes + (T(column * N) - brush.x);
      const T dy = T(row) - brush.y;
      const V exponent = brush.exponents(dx, dy);
      const V light = load<T, N>(cell[0]);
      const auto active = reached<T>(exponent, light);
      if (!any(active)) continue;
      const V free = power_of_two<T, N>(exponent);
      V alpha = free > T(SPLAT_MAX_ALPHA) ? none + T(SPLAT_MAX_ALPHA) : free;
      alpha = active ? alpha : none;
      const V weight = alpha * light;
      store<T, N>(cell[0], light - weight);
      V shown = load<T, N>(cell[TO_OPACITY]);
      for (int k = 0; k < CHANNELS; ++k) {
        const V slope = load<T, N>(cell[TO_CHANNELS + k]);
        shown += record[RECORD_HEAD + k] * slope;
        sums[8 + k] += weight * slope;
      }
      const V behind = load<T, N>(cell[BEHIND]) - weight * shown;
      store<T, N>(cell[BEHIND], behind);
      V g = (light * shown - behind / (T(1) - alpha)) * alpha;
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
  V all[SPLAT_SUMS];
  for (int k = 0; k < SPLAT_SUMS; ++k) all[k] = k < USED ? sums[k] : none;
  for (int k = 0; k < SPLAT_SUMS; k += N) store<T, N>(to + k, totals<T, N>(all + k));
}

// Tiles [begin, end): the sums of every pair of a Gaussian and a tile, in `pairs` [pairs, 16].
template <class T, int N, int CHANNELS>
JEAN_FN void slopes_in_tiles(const JeanSplats& s, const JeanTileLists& lists, const JeanSplatGradients& g, T* pairs,
                             long begin, long end) {
  constexpr int RECORD = RECORD_HEAD + CHANNELS;
  for (long t = begin; t < end; ++t) {
    TilePixels<T, N, TO_CHANNELS + CHANNELS> tile(s, lists.across, t);
    read_slopes<T, N, CHANNELS>(s, g, tile);
    const int32_t* list = lists.list + lists.start[t];
    const long count = lists.start[t + 1] - lists.start[t];
    const int x = tile.left / SPLAT_SIDE, y = tile.top / SPLAT_SIDE;
    bool done = false;
    for (long k = 0; k < count; ++k) {
      look_ahead<RECORD>((const T*)s.records, list, k, count);
      const JeanTileBox box = lists.boxes[list[k]];
      T* to = pairs + (lists.first[list[k]] + (y - box.y0) * (box.x1 - box.x0 + 1) + x - box.x0) * SPLAT_SUMS;
      if (done) {
        for (int i = 0; i < SPLAT_SUMS; ++i) to[i] = T(0);
        continue;
      }
      slopes_in_tile<T, N, CHANNELS>((const T*)s.records + (long)list[k] * RECORD, tile, to);
      done = k % SPLAT_LOOK == SPLAT_LOOK - 1 && tile.opaque();
    }
  }
}

// Records of the Gaussians [begin, end), and their radii.
template <class T, int CHANNELS>
JEAN_FN void project_range(const JeanSplats& s, JeanTileBox* boxes, long begin, long end) {
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
    boxes[i] = visible ? tiles_of(to, s.window[2], s.window[3]) : NO_TILES;
    if (!visible)
      for (int k = 0; k < RECORD; ++k) to[k] = T(0);
    ((T*)s.radii)[i] = greater(to[EXTENT_X], to[EXTENT_Y]);
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
                                      sums[0] / p.opacity,
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
