// The fast field on tiles of samples: values and gradients. It must agree with jean/models/head/triplane.py.
#pragma once
#include "interface.h"
#include "mathematics.h"
#include "vectors.h"

namespace {

constexpr int TILE = JEAN_TILE, CHANNELS = JEAN_CHANNELS, MAX_FEATURES = JEAN_MAX_PLANES * JEAN_CHANNELS;

// The field with numbers of one type and matrices in the layout of the products.
template <class T>
struct Prepared {
  const JeanField* field;
  int features, hidden, colour_width, gate_start, gate_width, saved;
  T* first;   // [features, hidden]
  T* second;  // [hidden, hidden], input by output
  T* colour;  // [hidden, colour_width]
  bool ends[JEAN_MAX_PLANES];  // whether the plane is zero outside its rectangle; for multiplied planes only
  T prior_centre[3], prior_radii[3];

  static long size(const JeanField& f) {
    return (long)f.planes * CHANNELS * f.hidden + (long)f.hidden * f.hidden + (long)f.hidden * f.colour_width;
  }

  // value_bytes: distance of two values of a cell of a multiplied plane; own_bytes: size of a value itself.
  Prepared(const JeanField& f, T* memory, long value_bytes = sizeof(T), long own_bytes = sizeof(T))
      : field(&f), hidden(f.hidden), colour_width(f.colour_width) {
    features = f.planes * CHANNELS;
    gate_width = f.gated * CHANNELS;
    gate_start = features - gate_width;
    saved = features + 2 * hidden + colour_width + CHANNELS;  // whole cache lines: no row starts across two
    first = memory;
    second = first + (long)features * hidden;
    colour = second + (long)hidden * hidden;
    if (f.first) turn((const T*)f.first, hidden, features, first);
    for (int i = 0; i < f.planes; ++i) ends[i] = !f.first && empty_border(f.plane[i], hidden, value_bytes, own_bytes);
    turn((const T*)f.second, hidden, hidden, second);
    turn((const T*)f.colour, colour_width, hidden, colour);
    for (int i = 0; i < 3; ++i) prior_centre[i] = T(f.prior_centre[i]), prior_radii[i] = T(f.prior_radii[i]);
  }

  // Whether the outermost cells of a plane are zero; their values continue outside of it.
  static bool empty_border(const JeanPlane& plane, int width, long value_bytes, long own_bytes) {
    for (int y = 0; y < plane.height; ++y)
      for (int x = 0; x < plane.width; ++x) {
        if (y > 0 && y < plane.height - 1 && x > 0 && x < plane.width - 1) continue;
        const char* cell = (const char*)plane.table + ((long)y * plane.width + x) * width * value_bytes;
        for (long c = 0; c < width; ++c)
          for (long i = 0; i < own_bytes; ++i)
            if (cell[c * value_bytes + i]) return false;
      }
    return true;
  }

  static void turn(const T* from, int rows, int columns, T* to) {
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) to[(long)c * rows + r] = from[(long)r * columns + c];
  }
};

// Locations of a tile's samples in one plane.
template <class T>
struct Places {
  int row[TILE];
  T right[TILE], below[TILE], slope_right[TILE], slope_below[TILE];
  bool outside[TILE];

  JEAN_MEMBER void find(const T (*position)[TILE], int a, int b, const double* low, const double* size, int height,
                    int width) {
    const T low_a = T(low[0]), low_b = T(low[1]), size_a = T(size[0]), size_b = T(size[1]);
    for (int s = 0; s < TILE; ++s) {
      const Corner<T> c =
          corner((position[a][s] - low_a) / size_a, (position[b][s] - low_b) / size_b, height, width);
      row[s] = c.row;
      right[s] = c.right;
      below[s] = c.below;
      slope_right[s] = c.slope_right / size_a;
      slope_below[s] = c.slope_below / size_b;
      outside[s] = c.outside;
    }
  }

  JEAN_MEMBER void find(const T (*position)[TILE], const JeanPlane& p) {
    find(position, p.first_axis, p.second_axis, p.low, p.size, p.height, p.width);
  }
};

// A tile of positions, one row an axis; missing samples repeat the last one.
template <class T>
struct Tile {
  long begin;
  int count;
  T position[3][TILE];
  int frame[TILE];

  JEAN_MEMBER void read(const JeanSamples& samples, long start, int frames) {
    begin = start;
    count = (int)lesser((long)TILE, (long)samples.count - start);
    const T* from = (const T*)samples.positions + 3 * start;
    for (int s = 0; s < TILE; ++s) {
      const int source = s < count ? s : count - 1;
      for (int axis = 0; axis < 3; ++axis) position[axis][s] = from[3 * source + axis];
      frame[s] = frames == 1 ? 0 : samples.frame[start + source];
    }
  }
};

// Moves positions to canonical space by the frame's grid of displacements.
template <class T>
JEAN_FN void unbend(const JeanField& f, Tile<T>& tile) {
  if (!f.bend) return;
  Places<T> places;
  places.find(tile.position, 0, 1, f.light_low, f.light_size, f.bend_cells, f.bend_cells);
  const long cells = (long)f.bend_cells * f.bend_cells;
  for (int s = 0; s < TILE; ++s) {
    const T* at = (const T*)f.bend + 2l * (cells * tile.frame[s] + places.row[s]);
    for (int axis = 0; axis < 2; ++axis)
      tile.position[axis][s] += between(at + axis, 2l, 2l * f.bend_cells, places.right[s], places.below[s]);
  }
}

// Depth of the face's relief behind the front of the ellipsoid, cm; 0 on the back of the head.
template <class T>
JEAN_FN void deeper_than_mean(const Prepared<T>& p, const Tile<T>& tile, T* deeper) {
  const JeanField& f = *p.field;
  for (int s = 0; s < TILE; ++s) deeper[s] = T(0);
  if (!f.relief) return;
  Places<T> places;
  places.find(tile.position, 0, 1, f.light_low, f.light_size, f.relief_cells, f.relief_cells);
  for (int s = 0; s < TILE; ++s) {
    const T value =
        between((const T*)f.relief + places.row[s], 1l, (long)f.relief_cells, places.right[s], places.below[s]);
    deeper[s] = tile.position[2][s] < p.prior_centre[2] ? value : T(0);
  }
}

// Adds the log density of the mean head with the face's relief (jean/models/head/prior.py).
template <class T>
JEAN_FN void add_prior(const Prepared<T>& p, const Tile<T>& tile, T* logarithm) {
  T deeper[TILE];
  deeper_than_mean(p, tile, deeper);
  for (int s = 0; s < TILE; ++s)
    logarithm[s] += ellipsoid_prior(tile.position[0][s], tile.position[1][s], tile.position[2][s] - deeper[s],
                                    p.prior_centre, p.prior_radii);
}

template <class T, int N>
JEAN_FN void encode(const Prepared<T>& p, const Tile<T>& tile, T* features, int step) {
  Places<T> places;
  for (int index = 0; index < p.field->planes; ++index) {
    const JeanPlane& plane = p.field->plane[index];
    const T* table = (const T*)plane.table;
    const long down = (long)plane.width * CHANNELS;
    places.find(tile.position, plane);
    for (int s = 0; s < TILE; ++s) {
      const T* at = table + (long)places.row[s] * CHANNELS;
      const T right = places.right[s], below = places.below[s], left = T(1) - right, above = T(1) - below;
      const T w00 = left * above, w01 = right * above, w10 = left * below, w11 = right * below;
      for (int c = 0; c < CHANNELS; c += N) {
        typename Lanes<T, N>::type sum = w00 * load<T, N>(at + c);
        sum += w01 * load<T, N>(at + CHANNELS + c);
        sum += w10 * load<T, N>(at + down + c);
        sum += w11 * load<T, N>(at + down + CHANNELS + c);
        store<T, N>(features + (long)s * step + index * CHANNELS + c, sum);
      }
    }
  }
}

// Copies the features; the last ones are multiplied by the frame's gates.
template <class T, int N>
JEAN_FN void gate(const Prepared<T>& p, const Tile<T>& tile, const T* features, int step, T* gated) {
  for (int s = 0; s < TILE; ++s) {
    const T* from = features + (long)s * step;
    const T* gates = (const T*)p.field->gates + (long)tile.frame[s] * p.gate_width - p.gate_start;
    T* to = gated + (long)s * p.features;
    for (int c = 0; c < p.gate_start; c += N) store<T, N>(to + c, load<T, N>(from + c));
    for (int c = p.gate_start; c < p.features; c += N) store<T, N>(to + c, load<T, N>(from + c) * load<T, N>(gates + c));
  }
}

// The network's part of the log density, and the colour before its sigmoid, from the layers `two` and `shade`.
template <class T, int N>
JEAN_FN void heads(const Prepared<T>& p, const Tile<T>& tile, const T* two, const T* shade, int step_two,
                   int step_shade, T* logarithm, T (*colour)[TILE]) {
  const JeanField& f = *p.field;
  dots<T, N>(two, step_two, (const T*)f.density, p.hidden, ((const T*)f.density_bias)[0], logarithm, TILE);
  for (int c = 0; c < 3; ++c)
    dots<T, N>(shade, step_shade, (const T*)f.rgb + c * p.colour_width, p.colour_width, ((const T*)f.rgb_bias)[c],
               colour[c], TILE);
  Places<T> places;
  places.find(tile.position, 0, 1, f.light_low, f.light_size, f.light_height, f.light_width);
  const long cells = (long)f.light_height * f.light_width;
  for (int s = 0; s < TILE; ++s) {
    const T* at = (const T*)f.light + 3 * (cells * tile.frame[s] + places.row[s]);
    for (int c = 0; c < 3; ++c)
      colour[c][s] += between(at + c, 3l, 3l * f.light_width, places.right[s], places.below[s]);
  }
}

// From the first hidden layer `one` to the outputs of the heads; layers `one`, `two` and `shade` have rows of `step`
// numbers.
template <class T, int N>
JEAN_FN void finish(const Prepared<T>& p, const Tile<T>& tile, const T* one, T* two, T* shade, int step, T* logarithm,
                    T (*colour)[TILE]) {
  const JeanField& f = *p.field;
  const int hidden = p.hidden, colour_width = p.colour_width;
  const T* start[TILE];
  for (int s = 0; s < TILE; ++s) start[s] = (const T*)f.second_bias;
  product<T, N>(one, step, hidden, p.second, hidden, start, two, step, TILE, true);
  for (int s = 0; s < TILE; ++s) start[s] = (const T*)f.colour_bias;
  product<T, N>(two, step, hidden, p.colour, colour_width, start, shade, step, TILE, true);
  heads<T, N>(p, tile, two, shade, step, step, logarithm, colour);
}

// Values of a tile; writes features, both hidden layers, the colour's layer and the log density to `saved`.
template <class T, int N>
JEAN_FN void field_forward(const Prepared<T>& p, const JeanSamples& samples, const Tile<T>& tile, T* saved) {
  const JeanField& f = *p.field;
  const int step = p.saved, hidden = p.hidden;
  alignas(64) T gated[TILE * MAX_FEATURES];
  const T* start[TILE];
  T* one = saved + p.features;
  T* two = one + hidden;
  encode<T, N>(p, tile, saved, step);
  gate<T, N>(p, tile, saved, step, gated);
  for (int s = 0; s < TILE; ++s) start[s] = (const T*)f.bias + (long)tile.frame[s] * hidden;
  product<T, N>(gated, p.features, p.features, p.first, hidden, start, one, step, TILE, true);
  T logarithm[TILE], colour[3][TILE];
  finish<T, N>(p, tile, one, two, two + hidden, step, logarithm, colour);
  add_prior(p, tile, logarithm);
  T density[TILE];
  for (int s = 0; s < TILE; ++s) density[s] = density_of(logarithm[s]);
  for (int c = 0; c < 3; ++c)
    for (int s = 0; s < TILE; ++s) colour[c][s] = sigmoid(colour[c][s]);
  for (int s = 0; s < TILE; ++s) {
    T* last = saved + (long)(s + 1) * step - CHANNELS;
    for (int c = 0; c < CHANNELS - 1; ++c) last[c] = T(0);
    last[CHANNELS - 1] = logarithm[s];
  }
  for (int s = 0; s < tile.count; ++s) {
    ((T*)samples.density)[tile.begin + s] = density[s];
    for (int c = 0; c < 3; ++c) ((T*)samples.rgb)[3 * (tile.begin + s) + c] = colour[c][s];
  }
}

// Gradients of the tensors that all samples share, as one partial sum over samples.
template <class T>
struct Sums {
  T *first, *second, *colour, *rgb, *density, *second_bias, *colour_bias, *last, *gates, *bias, *light;

  static long size(const JeanField& f) {
    const long cells = 3l * f.light_height * f.light_width;
    return (long)f.planes * CHANNELS * f.hidden + (long)f.hidden * f.hidden + (long)f.colour_width * f.hidden +
           4l * f.colour_width +
           f.hidden + f.hidden + f.colour_width + CHANNELS + f.frames * ((long)f.gated * CHANNELS + f.hidden + cells);
  }

  Sums(const JeanField& f, T* memory) {
    first = memory;
    second = first + (long)f.planes * CHANNELS * f.hidden;
    colour = second + (long)f.hidden * f.hidden;
    rgb = colour + (long)f.colour_width * f.hidden;
    density = rgb + 4l * f.colour_width;
    second_bias = density + f.hidden;
    colour_bias = second_bias + f.hidden;
    last = colour_bias + f.colour_width;  // biases of rgb (3), then of density
    gates = last + CHANNELS;
    bias = gates + (long)f.frames * f.gated * CHANNELS;
    light = bias + (long)f.frames * f.hidden;
  }
};

template <class T, int N>
JEAN_FN void stop_at_zero(T* gradient, const T* value, int value_step, int width) {
  typedef typename Lanes<T, N>::type V;
  for (int s = 0; s < TILE; ++s)
    for (int c = 0; c < width; c += N) {
      const V v = load<T, N>(value + (long)s * value_step + c);
      T* g = gradient + s * width + c;
      store<T, N>(g, v > V{} ? load<T, N>(g) : V{});
    }
}

// Gradients of a tile: adds to `sums`, writes those of features to `features` [TILE, features].
template <class T, int N>
JEAN_FN void field_backward(const Prepared<T>& p, const JeanSamples& samples, const Tile<T>& tile, const T* to_density,
                            const T* to_rgb, const JeanFieldGradients& out, const Sums<T>& sums, T* features) {
  const JeanField& f = *p.field;
  const int step = p.saved, hidden = p.hidden, colour_width = p.colour_width;
  const T* saved = (const T*)samples.saved + tile.begin * step;
  const T* one = saved + p.features;
  const T* two = one + hidden;
  const T* shade = two + hidden;
  const T* start[TILE];
  static const T zeros[MAX_FEATURES] = {};
  alignas(64) T gated[TILE * MAX_FEATURES], d_shade[TILE * JEAN_MAX_HIDDEN], d_two[TILE * JEAN_MAX_HIDDEN],
      d_one[TILE * JEAN_MAX_HIDDEN], last[TILE * 4];
  T d_density[TILE];
  gate<T, N>(p, tile, saved, step, gated);
  for (int s = 0; s < TILE; ++s) start[s] = zeros;

  for (int s = 0; s < TILE; ++s) {
    const bool real = s < tile.count;
    const long i = tile.begin + (real ? s : 0);
    for (int c = 0; c < 3; ++c) {
      const T value = ((const T*)samples.rgb)[3 * i + c];
      last[4 * s + c] = real ? to_rgb[3 * i + c] * value * (T(1) - value) : T(0);
    }
    last[4 * s + 3] = T(0);
    const T slope = density_slope(saved[(long)s * step + step - 1], ((const T*)samples.density)[i]);
    d_density[s] = real ? to_density[i] * slope : T(0);
    for (int c = 0; c < 3; ++c) sums.last[c] += last[4 * s + c];
    sums.last[3] += d_density[s];
  }

  outer<T, N>(last, 4, 4, shade, step, colour_width, TILE, sums.rgb);
  for (int s = 0; s < TILE; ++s)
    for (int c = 0; c < colour_width; c += N) {
      typename Lanes<T, N>::type sum = {};
      for (int k = 0; k < 3; ++k) sum += last[4 * s + k] * load<T, N>((const T*)f.rgb + k * colour_width + c);
      store<T, N>(d_shade + s * colour_width + c, sum);
    }
  stop_at_zero<T, N>(d_shade, shade, step, colour_width);
  outer<T, N>(d_shade, colour_width, colour_width, two, step, hidden, TILE, sums.colour);
  product<T, N>(d_shade, colour_width, colour_width, (const T*)f.colour, hidden, start, d_two, hidden, TILE, false);
  for (int s = 0; s < TILE; ++s) {
    add_scaled<T, N>(sums.colour_bias, d_shade + s * colour_width, T(1), colour_width);
    add_scaled<T, N>(sums.density, two + (long)s * step, d_density[s], hidden);
    add_scaled<T, N>(d_two + s * hidden, (const T*)f.density, d_density[s], hidden);
  }
  stop_at_zero<T, N>(d_two, two, step, hidden);
  outer<T, N>(d_two, hidden, hidden, one, step, hidden, TILE, sums.second);
  product<T, N>(d_two, hidden, hidden, (const T*)f.second, hidden, start, d_one, hidden, TILE, false);
  stop_at_zero<T, N>(d_one, one, step, hidden);
  outer<T, N>(d_one, hidden, hidden, gated, p.features, p.features, TILE, sums.first);
  product<T, N>(d_one, hidden, hidden, (const T*)f.first, p.features, start, features, p.features, TILE, false);
  for (int s = 0; s < TILE; ++s) {
    add_scaled<T, N>(sums.second_bias, d_two + s * hidden, T(1), hidden);
    add_scaled<T, N>(sums.bias + (long)tile.frame[s] * hidden, d_one + s * hidden, T(1), hidden);
    const T* gates = (const T*)f.gates + (long)tile.frame[s] * p.gate_width;
    T* to_gates = sums.gates + (long)tile.frame[s] * p.gate_width;
    for (int c = 0; c < p.gate_width; c += N) {
      T* g = features + (long)s * p.features + p.gate_start + c;
      const typename Lanes<T, N>::type value = load<T, N>(g);
      store<T, N>(to_gates + c,
                  load<T, N>(to_gates + c) + value * load<T, N>(saved + (long)s * step + p.gate_start + c));
      store<T, N>(g, value * load<T, N>(gates + c));
    }
  }

  Places<T> places;
  places.find(tile.position, 0, 1, f.light_low, f.light_size, f.light_height, f.light_width);
  const long cells = (long)f.light_height * f.light_width;
  T d_position[3][TILE] = {};
  for (int s = 0; s < tile.count; ++s) {
    const long at = 3 * (cells * tile.frame[s] + places.row[s]);
    T* to = sums.light + at;
    const T* light = (const T*)f.light + at;
    const T right = places.right[s], below = places.below[s];
    const int down = 3 * f.light_width;
    for (int c = 0; c < 3; ++c) {
      const T d = last[4 * s + c];
      to[c] += d * (T(1) - right) * (T(1) - below);
      to[3 + c] += d * right * (T(1) - below);
      to[down + c] += d * (T(1) - right) * below;
      to[down + 3 + c] += d * right * below;
      d_position[0][s] += d * places.slope_right[s] *
                          ((T(1) - below) * (light[3 + c] - light[c]) + below * (light[down + 3 + c] - light[down + c]));
      d_position[1][s] += d * places.slope_below[s] *
                          ((T(1) - right) * (light[down + c] - light[c]) + right * (light[down + 3 + c] - light[3 + c]));
    }
  }
  if (!out.positions) return;

  T deeper[TILE];
  deeper_than_mean(p, tile, deeper);
  for (int s = 0; s < TILE; ++s) {
    const T place[3] = {tile.position[0][s], tile.position[1][s], tile.position[2][s] - deeper[s]};
    T slope[3];
    ellipsoid_slope(place, p.prior_centre, p.prior_radii, slope);
    for (int axis = 0; axis < 3; ++axis) d_position[axis][s] += d_density[s] * slope[axis];
  }
  for (int index = 0; index < f.planes; ++index) {
    typedef typename Lanes<T, N>::type V;
    const JeanPlane& plane = f.plane[index];
    const long down = (long)plane.width * CHANNELS;
    places.find(tile.position, plane);
    for (int s = 0; s < tile.count; ++s) {
      const T* at = (const T*)plane.table + (long)places.row[s] * CHANNELS;
      V across = {}, along = {};
      for (int c = 0; c < CHANNELS; c += N) {
        const V a = load<T, N>(at + c), b = load<T, N>(at + CHANNELS + c), d = load<T, N>(at + down + c),
                e = load<T, N>(at + down + CHANNELS + c);
        const V g = load<T, N>(features + (long)s * p.features + index * CHANNELS + c);
        const T right = places.right[s], below = places.below[s];
        across += g * ((T(1) - below) * (b - a) + below * (e - d));
        along += g * ((T(1) - right) * (d - a) + right * (e - b));
      }
      d_position[plane.first_axis][s] += places.slope_right[s] * total<T, N>(across);
      d_position[plane.second_axis][s] += places.slope_below[s] * total<T, N>(along);
    }
  }
  for (int s = 0; s < tile.count; ++s)
    for (int axis = 0; axis < 3; ++axis) ((T*)out.positions)[3 * (tile.begin + s) + axis] = d_position[axis][s];
}

// Adds gradients of features, `step` numbers from sample to sample, to the four cells around each sample.
template <class T, int N>
JEAN_FN void scatter_rows(const JeanPlane& plane, const Places<T>& places, int count, const T* features, int step) {
  const long down = (long)plane.width * CHANNELS;
  for (int s = 0; s < count; ++s) {
    T* at = (T*)plane.gradient + (long)places.row[s] * CHANNELS;
    const T right = places.right[s], below = places.below[s], left = T(1) - right, above = T(1) - below;
    const T* g = features + (long)s * step;
    add_scaled<T, N>(at, g, left * above, CHANNELS);
    add_scaled<T, N>(at + CHANNELS, g, right * above, CHANNELS);
    add_scaled<T, N>(at + down, g, left * below, CHANNELS);
    add_scaled<T, N>(at + down + CHANNELS, g, right * below, CHANNELS);
  }
}

// Adds the gradients of features [count, features] of a tile to one plane's table.
template <class T, int N>
JEAN_FN void scatter(const Prepared<T>& p, const Tile<T>& tile, int index, const T* features) {
  const JeanPlane& plane = p.field->plane[index];
  Places<T> places;
  places.find(tile.position, plane);
  scatter_rows<T, N>(plane, places, tile.count, features + index * CHANNELS, p.features);
}

}  // namespace
