// Rays: placing samples, and compositing. Mirrors jean/kernels/reference.py.
#pragma once
#include "interface.h"
#include "mathematics.h"

namespace {

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
constexpr int MAX_COARSE = 64;  // each GPU thread has an array of this size on its stack
#else
constexpr int MAX_COARSE = 256;
#endif

// Densities of the grid along one ray, one per `coarse` equal interval; returns whether any is not zero.
JEAN_FN bool look_along(const JeanMarch& m, long ray, float* density, float* near, float* far) {
  const float* origin = m.origins + 3 * ray;
  const float* direction = m.directions + 3 * ray;
  box_interval(origin, direction, m.low, m.high, near, far);
  float scale[3];
  for (int axis = 0; axis < 3; ++axis) scale[axis] = (float)m.cells[axis] / (m.high[axis] - m.low[axis]);
  const float reach = *far - *near;
  // first the cells' indices, which floats hold exactly up to 2^24, then their values: so the first loop is vectorised
  for (int k = 0; k < m.coarse; ++k) {
    const float depth = *near + reach * (((float)k + 0.5f) / (float)m.coarse);
    density[k] = (float)grid_cell(m.cells, (origin[0] + direction[0] * depth - m.low[0]) * scale[0],
                                  (origin[1] + direction[1] * depth - m.low[1]) * scale[1],
                                  (origin[2] + direction[2] * depth - m.low[2]) * scale[2]);
  }
  float most = 0.0f;
  for (int k = 0; k < m.coarse; ++k) {
    density[k] = density[k] < 0.0f ? 0.0f : m.grid[(int)density[k]];
    most = greater(most, density[k]);
  }
  return most > 0.0f;
}

// Number of samples of a ray by its opacity in the grid: a quarter if it is transparent, all from the threshold on.
JEAN_FN int samples_of(const JeanMarch& m, float opacity) {
  if (!(opacity < m.full_samples_opacity)) return m.samples;  // a NaN gets all samples
  const int count = (int)((float)m.samples * (opacity / m.full_samples_opacity)) + 1, least = (m.samples + 3) / 4;
  return lesser(greater(count, least), (int)m.samples);
}

// Edges of the sampling intervals of rays that hit: depths at which the grid's cumulative weights reach the quantiles.
// Without quantiles they are the middles of equal parts; a ray then has samples_of intervals and repeats its last edge.
// RAYS rays are computed side by side, as lanes of vectors: density [coarse][RAYS], near and far [RAYS], quantiles of one
// ray, edges [RAYS], `apart` numbers from ray to ray.
template <int RAYS>
JEAN_FN void place_edges(const JeanMarch& m, const float* density, const float* near, const float* far,
                         const float* quantiles, float* edges, long apart) {
  float cdf[(MAX_COARSE + 1) * RAYS];  // first the weights, later their cumulative sums
  float step[RAYS], light[RAYS], sum[RAYS], filled[RAYS];
  int count[RAYS], above[RAYS];
  for (int l = 0; l < RAYS; ++l) {
    step[l] = (far[l] - near[l]) / (float)m.coarse;
    light[l] = 1.0f;
    sum[l] = filled[l] = cdf[l] = 0.0f;
  }
  for (int k = 0; k < m.coarse; ++k)  // first the transmittances
    for (int l = 0; l < RAYS; ++l) cdf[(k + 1) * RAYS + l] = exponential(-density[k * RAYS + l] * step[l]);
  for (int k = 0; k < m.coarse; ++k)
    for (int l = 0; l < RAYS; ++l) {
      const float left = light[l] * cdf[(k + 1) * RAYS + l];
      cdf[(k + 1) * RAYS + l] = light[l] - left;
      sum[l] += light[l] - left;
      light[l] = left;
      filled[l] += density[k * RAYS + l] > 0.0f ? 1.0f : 0.0f;
    }
  for (int l = 0; l < RAYS; ++l) {
    sum[l] = 1.0f / greater(sum[l], 1e-9f);
    filled[l] = m.uniform_weight / filled[l];
    count[l] = quantiles ? m.samples : samples_of(m, 1.0f - light[l]);
  }
  for (int k = 0; k < m.coarse; ++k)
    for (int l = 0; l < RAYS; ++l)
      cdf[(k + 1) * RAYS + l] = cdf[k * RAYS + l] + (cdf[(k + 1) * RAYS + l] * sum[l] +
                                                     (density[k * RAYS + l] > 0.0f ? filled[l] : 0.0f));
  float q[RAYS];
  for (int l = 0; l < RAYS; ++l) above[l] = 1;
  for (int i = 0; i <= m.samples; ++i) {
    // the quantiles are scaled by the total, so that the sums need no division
    for (int l = 0; l < RAYS; ++l) {
      const float share = quantiles ? quantiles[i] : ((float)lesser(i, count[l]) + 0.5f) / (float)(count[l] + 1);
      q[l] = greater(cdf[m.coarse * RAYS + l], 1e-12f) * share;
    }
    if constexpr (RAYS == 1) {
      while (above[0] < m.coarse && cdf[above[0]] <= q[0]) ++above[0];  // quantiles increase
    } else {
      for (int l = 0; l < RAYS; ++l) above[l] = 1;
      for (int k = 1; k < m.coarse; ++k)
        for (int l = 0; l < RAYS; ++l) above[l] += cdf[k * RAYS + l] <= q[l] ? 1 : 0;
    }
    for (int l = 0; l < RAYS; ++l) {
      const float before = cdf[(above[l] - 1) * RAYS + l], after = cdf[above[l] * RAYS + l];
      const float least = 1e-12f * greater(cdf[m.coarse * RAYS + l], 1e-12f);
      const float part = (q[l] - before) / greater(after - before, least);
      edges[l * apart + i] = near[l] + step[l] * ((float)(above[l] - 1) + clamp(part, 0.0f, 1.0f));
    }
  }
}

template <class T>
JEAN_FN void composite_ray(const JeanComposite& c, long ray) {
  const T* density = (const T*)c.density + ray * c.samples;
  const T* intervals = (const T*)c.intervals + ray * c.samples;
  const T* depths = (const T*)c.depths + ray * c.samples;
  const T* values = (const T*)c.values + ray * c.samples * c.channels;
  T* colour = (T*)c.colour + ray * c.channels;
  T* weights = (T*)c.weights + ray * c.samples;
  T light = T(1), opacity = T(0), depth = T(0);
  for (int k = 0; k < c.channels; ++k) colour[k] = T(0);
  for (int s = 0; s < c.samples; ++s) {
    weights[s] = absorb(density[s] * intervals[s], &light);
    opacity += weights[s];
    depth += weights[s] * depths[s];
    for (int k = 0; k < c.channels; ++k) colour[k] += weights[s] * values[s * c.channels + k];
  }
  ((T*)c.opacity)[ray] = opacity;
  ((T*)c.depth)[ray] = depth;
}

// Backward, from the last sample to the first: the density of a sample reduces the weights of those behind it.
template <class T>
JEAN_FN void composite_ray_backward(const JeanComposite& c, const JeanCompositeGradients& g, long ray) {
  const long at = ray * c.samples;
  const T* weights = (const T*)c.weights + at;
  T light = T(1), behind = T(0);
  T* to_density = (T*)g.density + at;
  for (int s = 0; s < c.samples; ++s) {  // transmittance behind each sample, for the backward pass
    light *= exponential(-((const T*)c.density)[at + s] * ((const T*)c.intervals)[at + s]);
    to_density[s] = light;
  }
  for (int s = c.samples - 1; s >= 0; --s) {
    const T depth = ((const T*)c.depths)[at + s], interval = ((const T*)c.intervals)[at + s];
    T to_weight = g.weights ? ((const T*)g.weights)[at + s] : T(0);
    if (g.opacity) to_weight += ((const T*)g.opacity)[ray];
    if (g.depth) to_weight += ((const T*)g.depth)[ray] * depth;
    for (int k = 0; k < c.channels; ++k) {
      const T to_colour = g.colour ? ((const T*)g.colour)[ray * c.channels + k] : T(0);
      to_weight += to_colour * ((const T*)c.values)[(at + s) * c.channels + k];
      ((T*)g.values)[(at + s) * c.channels + k] = weights[s] * to_colour;
    }
    const T to_optical = to_weight * to_density[s] - behind;
    behind += to_weight * weights[s];
    ((T*)g.intervals)[at + s] = to_optical * ((const T*)c.density)[at + s];
    ((T*)g.depths)[at + s] = g.depth ? weights[s] * ((const T*)g.depth)[ray] : T(0);
    to_density[s] = to_optical * interval;
  }
}

}  // namespace
