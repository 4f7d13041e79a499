// The torso layer (jean/models/head/torso.py) with gradients, on tiles of 32 pixels. Only the
// result is kept for the backward pass: computing a tile's layers again costs less than writing and reading them.
#pragma once
#include "triplane.h"

namespace {

constexpr int TORSO_PLANES = 2, TORSO_FEATURES = TORSO_PLANES * CHANNELS, TORSO_OUT = 4;

JEAN_FN double tangent(double x) { return std::tanh(x); }
JEAN_FN float tangent(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

// The layer with its second matrix transposed for the products, [features, hidden].
template <class T>
struct TorsoPrepared {
  const JeanTorsoLayer* layer;
  T* shade;

  static long size(const JeanTorsoLayer& t) { return (long)TORSO_FEATURES * t.hidden; }

  TorsoPrepared(const JeanTorsoLayer& t, T* memory) : layer(&t), shade(memory) {
    Prepared<T>::turn((const T*)t.shade, t.hidden, TORSO_FEATURES, shade);
  }
};

// Intermediate values of a tile of pixels.
template <class T>
struct TorsoTile {
  long begin;
  int count, frame[TILE];
  T inputs[TILE * 2], tangents[2][TILE], at[3][TILE], out[TORSO_OUT][TILE];
  alignas(64) T one[TILE * JEAN_MAX_HIDDEN], features[TILE * TORSO_FEATURES], two[TILE * JEAN_MAX_HIDDEN];
  Places<T> places[TORSO_PLANES];
};

template <class T, int N>
JEAN_FN void torso_values(const TorsoPrepared<T>& p, const JeanTorsoPixels& pixels, long begin, TorsoTile<T>& tile) {
  typedef typename Lanes<T, N>::type V;
  const JeanTorsoLayer& t = *p.layer;
  tile.begin = begin;
  tile.count = (int)lesser((long)TILE, (long)pixels.count - begin);
  const T* start[TILE];
  for (int s = 0; s < TILE; ++s) {
    const long source = begin + lesser(s, tile.count - 1);
    tile.frame[s] = t.frames == 1 ? 0 : pixels.frame[source];
    for (int axis = 0; axis < 2; ++axis) {
      tile.at[axis][s] = ((const T*)pixels.coordinates)[2 * source + axis];
      tile.inputs[2 * s + axis] = tile.at[axis][s] * T(2) - T(1);
    }
    tile.at[2][s] = T(0);
    start[s] = (const T*)t.bend_bias + (long)tile.frame[s] * t.bend_hidden;
  }
  product<T, N>(tile.inputs, 2, 2, (const T*)t.bend_first, t.bend_hidden, start, tile.one, t.bend_hidden, TILE, true);
  for (int axis = 0; axis < 2; ++axis) {
    dots<T, N>(tile.one, t.bend_hidden, (const T*)t.bend_second + axis * t.bend_hidden, t.bend_hidden,
               ((const T*)t.bend_second_bias)[axis], tile.tangents[axis], TILE);
    for (int s = 0; s < TILE; ++s) {
      tile.tangents[axis][s] = tangent(tile.tangents[axis][s]);
      tile.at[axis][s] += T(t.reach) * tile.tangents[axis][s];
    }
  }
  for (int i = 0; i < TORSO_PLANES; ++i) {
    const JeanPlane& plane = t.plane[i];
    const Places<T>& places = tile.places[i];
    const long down = (long)plane.width * CHANNELS;
    tile.places[i].find(tile.at, plane);
    for (int s = 0; s < TILE; ++s) {
      const T* at = (const T*)plane.table + (long)places.row[s] * CHANNELS;
      const T right = places.right[s], below = places.below[s], left = T(1) - right, above = T(1) - below;
      for (int c = 0; c < CHANNELS; c += N) {
        V sum = left * above * load<T, N>(at + c) + right * above * load<T, N>(at + CHANNELS + c);
        sum += left * below * load<T, N>(at + down + c) + right * below * load<T, N>(at + down + CHANNELS + c);
        store<T, N>(tile.features + s * TORSO_FEATURES + i * CHANNELS + c, sum);
      }
    }
  }
  for (int s = 0; s < TILE; ++s) start[s] = (const T*)t.bias + (long)tile.frame[s] * t.hidden;
  product<T, N>(tile.features, TORSO_FEATURES, TORSO_FEATURES, p.shade, t.hidden, start, tile.two, t.hidden, TILE, true);
  for (int k = 0; k < TORSO_OUT; ++k) {
    dots<T, N>(tile.two, t.hidden, (const T*)t.last + k * t.hidden, t.hidden, ((const T*)t.last_bias)[k], tile.out[k],
               TILE);
    for (int s = 0; s < TILE; ++s) tile.out[k][s] = sigmoid(tile.out[k][s]);
  }
}

constexpr int TORSO_SHARED = 8;  // tensors that all pixels share, in the order of JeanTorsoLayer

JEAN_FN void torso_widths(const JeanTorsoLayer& t, long* width) {
  const long bend = t.bend_hidden, hidden = t.hidden, frames = t.frames;
  const long made[TORSO_SHARED] = {2 * bend, frames * bend, 2 * bend, 2, hidden * TORSO_FEATURES, frames * hidden, 4 * hidden, 4};
  for (int i = 0; i < TORSO_SHARED; ++i) width[i] = made[i];
}

// Their gradients, as one partial sum over pixels.
template <class T>
struct TorsoSums {
  T *bend_first, *bend_bias, *bend_second, *bend_second_bias, *shade, *bias, *last, *last_bias;

  TorsoSums(const JeanTorsoLayer& t, T* memory) {
    long width[TORSO_SHARED];
    torso_widths(t, width);
    T** parts[TORSO_SHARED] = {&bend_first, &bend_bias, &bend_second, &bend_second_bias, &shade, &bias, &last, &last_bias};
    for (int i = 0; i < TORSO_SHARED; ++i) {
      *parts[i] = memory;
      memory += width[i];
    }
  }
};

// Gradients from those of rgb [count, 3] and opacity [count]: adds to `sums`, writes those of features to `features`.
template <class T, int N>
JEAN_FN void torso_slopes(const TorsoPrepared<T>& p, const TorsoTile<T>& tile, const T* to_rgb, const T* to_opacity,
                          const TorsoSums<T>& sums, T* features) {
  typedef typename Lanes<T, N>::type V;
  const JeanTorsoLayer& t = *p.layer;
  const int hidden = t.hidden, bend_hidden = t.bend_hidden;
  static const T zeros[TORSO_FEATURES] = {};
  const T* start[TILE];
  alignas(64) T d_two[TILE * JEAN_MAX_HIDDEN], d_one[TILE * JEAN_MAX_HIDDEN];
  T last[TILE * TORSO_OUT], moved[TILE * 4] = {};
  for (int s = 0; s < TILE; ++s) {
    start[s] = zeros;
    for (int k = 0; k < TORSO_OUT; ++k) {
      const T value = tile.out[k][s], slope = value * (T(1) - value);
      const long i = tile.begin + s;
      last[4 * s + k] = s >= tile.count ? T(0) : (k < 3 ? to_rgb[3 * i + k] : to_opacity[i]) * slope;
      sums.last_bias[k] += last[4 * s + k];
    }
  }
  outer<T, N>(last, 4, 4, tile.two, hidden, hidden, TILE, sums.last);
  for (int s = 0; s < TILE; ++s)
    for (int c = 0; c < hidden; c += N) {
      V sum = {};
      for (int k = 0; k < TORSO_OUT; ++k) sum += last[4 * s + k] * load<T, N>((const T*)t.last + k * hidden + c);
      store<T, N>(d_two + s * hidden + c, sum);
    }
  stop_at_zero<T, N>(d_two, tile.two, hidden, hidden);
  outer<T, N>(d_two, hidden, hidden, tile.features, TORSO_FEATURES, TORSO_FEATURES, TILE, sums.shade);
  product<T, N>(d_two, hidden, hidden, (const T*)t.shade, TORSO_FEATURES, start, features, TORSO_FEATURES, TILE, false);
  for (int i = 0; i < TORSO_PLANES; ++i) {
    const JeanPlane& plane = t.plane[i];
    const Places<T>& places = tile.places[i];
    const long down = (long)plane.width * CHANNELS;
    for (int s = 0; s < tile.count; ++s) {
      const T* at = (const T*)plane.table + (long)places.row[s] * CHANNELS;
      const T right = places.right[s], below = places.below[s];
      V across = {}, along = {};
      for (int c = 0; c < CHANNELS; c += N) {
        const V a = load<T, N>(at + c), b = load<T, N>(at + CHANNELS + c), d = load<T, N>(at + down + c),
                e = load<T, N>(at + down + CHANNELS + c);
        const V g = load<T, N>(features + s * TORSO_FEATURES + i * CHANNELS + c);
        across += g * ((T(1) - below) * (b - a) + below * (e - d));
        along += g * ((T(1) - right) * (d - a) + right * (e - b));
      }
      moved[4 * s] += places.slope_right[s] * total<T, N>(across);
      moved[4 * s + 1] += places.slope_below[s] * total<T, N>(along);
    }
  }
  for (int s = 0; s < TILE; ++s) {
    for (int axis = 0; axis < 2; ++axis) {
      const T tangent = tile.tangents[axis][s];
      moved[4 * s + axis] *= T(t.reach) * (T(1) - tangent * tangent);
      sums.bend_second_bias[axis] += moved[4 * s + axis];
      add_scaled<T, N>(sums.bend_second + axis * bend_hidden, tile.one + s * bend_hidden, moved[4 * s + axis], bend_hidden);
    }
    for (int c = 0; c < bend_hidden; c += N)
      store<T, N>(d_one + s * bend_hidden + c,
                  moved[4 * s] * load<T, N>((const T*)t.bend_second + c) +
                      moved[4 * s + 1] * load<T, N>((const T*)t.bend_second + bend_hidden + c));
  }
  stop_at_zero<T, N>(d_one, tile.one, bend_hidden, bend_hidden);
  for (int s = 0; s < TILE; ++s) {
    add_scaled<T, N>(sums.bias + (long)tile.frame[s] * hidden, d_two + s * hidden, T(1), hidden);
    add_scaled<T, N>(sums.bend_bias + (long)tile.frame[s] * bend_hidden, d_one + s * bend_hidden, T(1), bend_hidden);
    for (int axis = 0; axis < 2; ++axis)
      add_scaled<T, N>(sums.bend_first + axis * bend_hidden, d_one + s * bend_hidden, tile.inputs[2 * s + axis], bend_hidden);
  }
}

// Adds the gradients of features of `count` pixels, at deformed positions `at`, to one plane's table.
template <class T, int N>
JEAN_FN void torso_scatter(const JeanTorsoLayer& t, const T (*at)[TILE], int count, int index, const T* features) {
  const JeanPlane& plane = t.plane[index];
  Places<T> places;
  places.find(at, plane);
  scatter_rows<T, N>(plane, places, count, features + index * CHANNELS, TORSO_FEATURES);
}

}  // namespace
