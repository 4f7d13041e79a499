// Rays through the fast field with gradients, from the edges of the sampling intervals to colour, opacity and depth. Rays
// are computed in blocks of JEAN_TILE, so that a block of rays with S samples each is S whole tiles of samples.
#pragma once
#include "rays.h"
#include "triplane.h"

namespace {

constexpr int RAY_BLOCK = TILE, MAX_RAY_SAMPLES = JEAN_MAX_RAY_SAMPLES;

// Inputs and outputs of the compositing of one block of rays.
template <class T>
struct RayBlock {
  T depths[RAY_BLOCK * MAX_RAY_SAMPLES], intervals[RAY_BLOCK * MAX_RAY_SAMPLES], weights[RAY_BLOCK * MAX_RAY_SAMPLES];
  T colour[RAY_BLOCK * 3], opacity[RAY_BLOCK], depth[RAY_BLOCK];
  JeanComposite composite;

  // Rays [begin, end) of those that hit, at most RAY_BLOCK.
  RayBlock(const JeanRays& r, const JeanSamples& samples, long begin, long end) {
    for (long i = begin; i < end; ++i) {
      const T* edges = (const T*)r.edges + i * (r.samples + 1);
      for (int s = 0; s < r.samples; ++s) {
        const long at = (i - begin) * r.samples + s;
        depths[at] = (edges[s + 1] + edges[s]) / T(2);
        intervals[at] = edges[s + 1] - edges[s];
      }
    }
    const long first = begin * r.samples;
    composite = {end - begin, r.samples, 3, (const T*)samples.density + first, (const T*)samples.rgb + 3 * first, depths,
                 intervals, colour, opacity, depth, weights};
  }
};

// Positions and frames of the samples of rays [begin, end).
template <class T>
JEAN_FN void place_samples(const JeanRays& r, T* positions, int32_t* frames, long begin, long end) {
  for (long i = begin; i < end; ++i) {
    const T* edges = (const T*)r.edges + i * (r.samples + 1);
    const T* origin = (const T*)r.origins + 3 * r.ray[i];
    const T* direction = (const T*)r.directions + 3 * r.ray[i];
    for (int s = 0; s < r.samples; ++s) {
      const long at = i * r.samples + s;
      const T depth = (edges[s + 1] + edges[s]) / T(2);
      for (int axis = 0; axis < 3; ++axis) positions[3 * at + axis] = origin[axis] + direction[axis] * depth;
      frames[at] = r.frame[r.ray[i]];
    }
  }
}

// Composites rays [begin, end) from the densities and colours of their samples.
template <class T>
JEAN_FN void compose_rays(const JeanRays& r, const JeanSamples& samples, long begin, long end) {
  RayBlock<T> block(r, samples, begin, end);
  for (long i = begin; i < end; ++i) {
    composite_ray<T>(block.composite, i - begin);
    const long ray = r.ray[i];
    for (int c = 0; c < 3; ++c) ((T*)r.colour)[3 * ray + c] = block.colour[3 * (i - begin) + c];
    ((T*)r.opacity)[ray] = block.opacity[i - begin];
    ((T*)r.depth)[ray] = block.depth[i - begin];
  }
}

// Gradients of densities [.., 1] and colours [.., 3] of the samples of rays [begin, end), and where `to_edges` is not
// null of the edges, as far as they do not move the samples.
template <class T>
JEAN_FN void compose_rays_backward(const JeanRays& r, const JeanSamples& samples, const JeanRayGradients& g, T* to_density,
                                   T* to_rgb, long begin, long end) {
  RayBlock<T> block(r, samples, begin, end);
  T to_depths[RAY_BLOCK * MAX_RAY_SAMPLES], to_intervals[RAY_BLOCK * MAX_RAY_SAMPLES];
  for (long i = begin; i < end; ++i) {
    const long ray = r.ray[i], own = i - begin;
    composite_ray<T>(block.composite, own);  // the weights
    for (int c = 0; c < 3; ++c) block.colour[3 * own + c] = ((const T*)g.to_colour)[3 * ray + c];
    block.opacity[own] = ((const T*)g.to_opacity)[ray];
    block.depth[own] = ((const T*)g.to_depth)[ray];
    const long first = begin * r.samples;
    const JeanCompositeGradients through = {block.colour, block.opacity, block.depth, nullptr,
                                            to_density + first, to_rgb + 3 * first, to_depths, to_intervals};
    composite_ray_backward<T>(block.composite, through, own);
    if (!g.edges) continue;
    T* to_edges = (T*)g.edges + i * (r.samples + 1);
    for (int s = 0; s <= r.samples; ++s) to_edges[s] = T(0);
    for (int s = 0; s < r.samples; ++s) {
      const long at = own * r.samples + s;
      to_edges[s] += to_depths[at] / T(2) - to_intervals[at];
      to_edges[s + 1] += to_depths[at] / T(2) + to_intervals[at];
    }
  }
}

// Gradients of edges, origins and directions from those of the samples' positions.
template <class T>
JEAN_FN void move_rays(const JeanRays& r, const JeanRayGradients& g, const T* to_positions, long begin, long end) {
  for (long i = begin; i < end; ++i) {
    const T* edges = (const T*)r.edges + i * (r.samples + 1);
    const T* direction = (const T*)r.directions + 3 * r.ray[i];
    T* to_edges = (T*)g.edges + i * (r.samples + 1);
    T* to_origin = (T*)g.origins + 3 * r.ray[i];
    T* to_direction = (T*)g.directions + 3 * r.ray[i];
    for (int s = 0; s < r.samples; ++s) {
      const T* to = to_positions + 3 * (i * r.samples + s);
      const T depth = (edges[s + 1] + edges[s]) / T(2);
      const T along = (to[0] * direction[0] + to[1] * direction[1] + to[2] * direction[2]) / T(2);
      to_edges[s] += along;
      to_edges[s + 1] += along;
      for (int axis = 0; axis < 3; ++axis) {
        to_origin[axis] += to[axis];
        to_direction[axis] += to[axis] * depth;
      }
    }
  }
}

}  // namespace
