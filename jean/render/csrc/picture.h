// Whole rays at once, without gradients: samples are placed, read, and laid over one another two at a
// time from the front, until no light is left. The planes' features are linear until the first layer's
// bias, so the planes come already multiplied by that layer: one sum of table rows takes the place of
// its product, half of all arithmetic.
#pragma once
#include "rays.h"
#include "triplane.h"

namespace {

constexpr int BLOCK = 64, MAX_SAMPLES = 64, ROUND = 2;

// WIDTH vectors of the first hidden layer of one sample: they stay in registers over all planes.
template <class T, int N, int WIDTH>
JEAN_FN void sum_rows(const Prepared<T>& p, const Places<T>* places, int s, int c, T* one) {
  typedef typename Lanes<T, N>::type V;
  const JeanField& f = *p.field;
  V sum[WIDTH];
  for (int i = 0; i < WIDTH; ++i) sum[i] = load<T, N>((const T*)f.bias + c + i * N);
  for (int index = 0; index < f.planes; ++index) {
    const Places<T>& place = places[index];
    if (p.ends[index] && place.outside[s]) continue;
    const T* at = (const T*)f.plane[index].table + (long)place.row[s] * f.hidden + c;
    const T* next = at + (long)f.plane[index].width * f.hidden;
    const T right = place.right[s], below = place.below[s], left = T(1) - right, above = T(1) - below;
    const T w00 = left * above, w01 = right * above, w10 = left * below, w11 = right * below;
    for (int i = 0; i < WIDTH; ++i) {
      sum[i] += w00 * load<T, N>(at + i * N);
      sum[i] += w01 * load<T, N>(at + f.hidden + i * N);
      sum[i] += w10 * load<T, N>(next + i * N);
      sum[i] += w11 * load<T, N>(next + f.hidden + i * N);
    }
  }
  for (int i = 0; i < WIDTH; ++i) store<T, N>(one + c + i * N, sum[i] < V{} ? V{} : sum[i]);
}

// The first hidden layer from multiplied planes.
template <class T, int N>
JEAN_FN void read_multiplied(const Prepared<T>& p, const Tile<T>& tile, T* one) {
  Places<T> places[JEAN_MAX_PLANES];
  for (int index = 0; index < p.field->planes; ++index) places[index].find(tile.position, p.field->plane[index]);
  for (int s = 0; s < TILE; ++s) {
    int c = 0;
    for (; c + 4 * N <= p.hidden; c += 4 * N) sum_rows<T, N, 4>(p, places, s, c, one + s * p.hidden);
    for (; c < p.hidden; c += N) sum_rows<T, N, 1>(p, places, s, c, one + s * p.hidden);
  }
}

template <int N>
JEAN_FN void tile_values(const Prepared<float>& p, Tile<float>& tile, float* density, float (*colour)[TILE]) {
  alignas(64) float one[TILE * JEAN_MAX_HIDDEN], two[TILE * JEAN_MAX_HIDDEN], shade[TILE * JEAN_MAX_HIDDEN];
  float logarithm[TILE];
  unbend(*p.field, tile);
  read_multiplied<float, N>(p, tile, one);
  finish<float, N>(p, tile, one, two, shade, p.hidden, logarithm, colour);
  add_prior(p, tile, logarithm);
  for (int s = 0; s < TILE; ++s) density[s] = density_of(logarithm[s]);
  for (int c = 0; c < 3; ++c)
    for (int s = 0; s < TILE; ++s) colour[c][s] = sigmoid(colour[c][s]);
}

struct Ray {
  long number;
  float light, edges[MAX_SAMPLES + 1];
};

template <int N>
JEAN_FN void picture_block(const Prepared<float>& p, const JeanMarch& m, const JeanPicture& out, long begin, long end) {
  Ray rays[BLOCK];
  int alive = 0;
  for (long r = begin; r < end; ++r) {
    float density[MAX_COARSE], near, far;
    for (int c = 0; c < 3; ++c) out.colour[3 * r + c] = 0.0f;
    out.opacity[r] = out.depth[r] = 0.0f;
    if (!look_along(m, r, density, &near, &far)) continue;
    Ray& ray = rays[alive++];
    ray.number = r;
    ray.light = 1.0f;
    place_edges(m, density, near, far, nullptr, ray.edges);
  }
  for (int first = 0; first < m.samples && alive; first += ROUND) {
    const int round = lesser(ROUND, m.samples - first), wanted = alive * round;
    for (int from = 0; from < wanted; from += TILE) {
      Tile<float> tile;
      float density[TILE], colour[3][TILE];
      tile.count = lesser(TILE, wanted - from);
      for (int s = 0; s < TILE; ++s) {
        const int item = from + lesser(s, tile.count - 1);
        const Ray& ray = rays[item / round];
        const int k = first + item % round;
        const float depth = (ray.edges[k + 1] + ray.edges[k]) / 2.0f;
        for (int axis = 0; axis < 3; ++axis)
          tile.position[axis][s] = m.origins[3 * ray.number + axis] + m.directions[3 * ray.number + axis] * depth;
        tile.frame[s] = 0;
      }
      tile_values<N>(p, tile, density, colour);
      for (int s = 0; s < tile.count; ++s) {
        Ray& ray = rays[(from + s) / round];
        const int k = first + (from + s) % round;
        const float length = ray.edges[k + 1] - ray.edges[k], depth = (ray.edges[k + 1] + ray.edges[k]) / 2.0f;
        const float weight = absorb(density[s] * length, &ray.light);
        for (int c = 0; c < 3; ++c) out.colour[3 * ray.number + c] += weight * colour[c][s];
        out.opacity[ray.number] += weight;
        out.depth[ray.number] += weight * depth;
      }
    }
    int kept = 0;
    for (int i = 0; i < alive; ++i)
      if (!(rays[i].light < out.enough)) rays[kept++] = rays[i];  // one that is no number goes on to the end
    alive = kept;
  }
}

}  // namespace
