// Fused rendering of rays without gradients: samples are placed, evaluated and composited two at a time, front to back,
// until the transmittance falls below the minimum. The field is linear up to the bias of the first layer, so the planes
// come already multiplied by that layer. A sum of table rows then replaces its product, half of all arithmetic.
#pragma once
#include "rays.h"
#include "triplane.h"

namespace {

constexpr int BLOCK = 64, MAX_SAMPLES = 64, ROUND = 2, SIDE_BY_SIDE = 16;

// N channels from channel c on, interpolated between the four cells around a sample; cells have `width` channels.
template <class T, int N>
JEAN_FN typename Lanes<T, N>::type four_cells(const JeanPlane& plane, const Places<T>& place, int s, int width, int c) {
  const T* at = (const T*)plane.table + (long)place.row[s] * width + c;
  const T* next = at + (long)plane.width * width;
  const T right = place.right[s], below = place.below[s], left = T(1) - right, above = T(1) - below;
  typename Lanes<T, N>::type sum = (left * above) * load<T, N>(at);
  sum += (right * above) * load<T, N>(at + width);
  sum += (left * below) * load<T, N>(next);
  return sum + (right * below) * load<T, N>(next + width);
}

// WIDTH vectors of the first hidden layer of one sample, which stay in registers over all planes.
template <class T, int N, int WIDTH>
JEAN_FN void sum_rows(const Prepared<T>& p, const Places<T>* places, int s, int c, T* one) {
  typedef typename Lanes<T, N>::type V;
  const JeanField& f = *p.field;
  V sum[WIDTH];
  for (int i = 0; i < WIDTH; ++i) sum[i] = load<T, N>((const T*)f.bias + c + i * N);
  for (int index = 0; index < f.planes; ++index) {
    const Places<T>& place = places[index];
    if (p.ends[index] && place.outside[s]) continue;
    for (int i = 0; i < WIDTH; ++i) sum[i] += four_cells<T, N>(f.plane[index], place, s, f.hidden, c + i * N);
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

// The field in single precision: values of a tile before exponential and sigmoid.
template <int N>
struct Exact {
  static constexpr int LANES = N;

  static JEAN_MEMBER void run(const Prepared<float>& p, const Tile<float>& tile, float* logarithm, float (*colour)[TILE]) {
    alignas(64) float one[TILE * JEAN_MAX_HIDDEN], two[TILE * JEAN_MAX_HIDDEN], shade[TILE * JEAN_MAX_HIDDEN];
    read_multiplied<float, N>(p, tile, one);
    finish<float, N>(p, tile, one, two, shade, p.hidden, logarithm, colour);
  }
};

template <class Kind>
JEAN_FN void tile_values(const Prepared<float>& p, Tile<float>& tile, float* density, float (*colour)[TILE]) {
  float logarithm[TILE];
  unbend(*p.field, tile);
  Kind::run(p, tile, logarithm, colour);
  add_prior(p, tile, logarithm);
  for (int s = 0; s < TILE; ++s) density[s] = density_of(logarithm[s]);
  for (int c = 0; c < 3; ++c)
    for (int s = 0; s < TILE; ++s) colour[c][s] = sigmoid(colour[c][s]);
}

struct Ray {
  long number;
  float light, edges[MAX_SAMPLES + 1];
};

template <class Kind>
JEAN_FN void picture_block(const Prepared<float>& p, const JeanMarch& m, const JeanPicture& out, long begin, long end) {
  Ray rays[BLOCK];
  int alive[BLOCK], living = 0;
  float densities[MAX_COARSE * SIDE_BY_SIDE] = {}, near[SIDE_BY_SIDE] = {}, far[SIDE_BY_SIDE] = {};
  for (long r = begin; r < end; ++r) {
    float density[MAX_COARSE];
    const int lane = living % SIDE_BY_SIDE;
    for (int c = 0; c < 3; ++c) out.colour[3 * r + c] = 0.0f;
    out.opacity[r] = out.depth[r] = 0.0f;
    if (look_along(m, r, density, near + lane, far + lane)) {
      for (int k = 0; k < m.coarse; ++k) densities[k * SIDE_BY_SIDE + lane] = density[k];
      rays[living].number = r;
      rays[living].light = 1.0f;
      alive[living] = living;
      ++living;
      if (lane < SIDE_BY_SIDE - 1 && r < end - 1) continue;
    } else if (r < end - 1 || lane == 0) {
      continue;
    }
    // unused lanes repeat an earlier ray, whose edges are discarded
    const int first = (living - 1) / SIDE_BY_SIDE * SIDE_BY_SIDE;
    place_edges<SIDE_BY_SIDE>(m, densities, near, far, nullptr, rays[first].edges, sizeof(Ray) / sizeof(float));
  }
  for (int first = 0; first < m.samples && living; first += ROUND) {
    int of_ray[ROUND * BLOCK], number[ROUND * BLOCK], wanted = 0;
    for (int i = 0; i < living; ++i)
      for (int k = first; k < lesser(first + ROUND, (int)m.samples); ++k) {
        const float* edges = rays[alive[i]].edges;
        if (k > first && edges[k] == edges[m.samples]) break;  // a ray ends where its last edge is repeated
        of_ray[wanted] = alive[i];
        number[wanted++] = k;
      }
    for (int from = 0; from < wanted; from += TILE) {
      Tile<float> tile;
      float density[TILE], colour[3][TILE], middle[TILE], length[TILE];
      tile.count = lesser(TILE, wanted - from);
      for (int s = 0; s < TILE; ++s) {
        const int item = from + lesser(s, tile.count - 1);
        const Ray& ray = rays[of_ray[item]];
        const float* edge = ray.edges + number[item];
        middle[s] = (edge[1] + edge[0]) / 2.0f;
        length[s] = edge[1] - edge[0];
        for (int axis = 0; axis < 3; ++axis)
          tile.position[axis][s] = m.origins[3 * ray.number + axis] + m.directions[3 * ray.number + axis] * middle[s];
        tile.frame[s] = 0;
      }
      tile_values<Kind>(p, tile, density, colour);
      for (int s = 0; s < tile.count; ++s) {
        Ray& ray = rays[of_ray[from + s]];
        const float weight = absorb(density[s] * length[s], &ray.light);
        for (int c = 0; c < 3; ++c) out.colour[3 * ray.number + c] += weight * colour[c][s];
        out.opacity[ray.number] += weight;
        out.depth[ray.number] += weight * middle[s];
      }
    }
    int kept = 0;
    for (int i = 0; i < living; ++i) {
      const Ray& ray = rays[alive[i]];
      if (!(ray.light < out.min_transmittance) && ray.edges[lesser(first + ROUND, (int)m.samples)] != ray.edges[m.samples])
        alive[kept++] = alive[i];  // a NaN continues to the last sample
    }
    living = kept;
  }
}

}  // namespace
