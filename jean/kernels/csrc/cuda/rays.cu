// Rays, one thread each, by the functions of ../rays.h: grid lookups, placing samples, compositing and its gradients.
#include "interface.h"
#include "rays.h"
#include "warp.h"

JEAN_KERNEL void jean_march_hits(const __grid_constant__ JeanMarch m, unsigned char* hit) {
  const long ray = thread_number();
  if (ray >= m.rays) return;
  float density[MAX_COARSE], near, far;
  hit[ray] = look_along(m, ray, density, &near, &far);
}

// Edges [count, samples + 1] of the given rays; quantiles of the same shape, or null for the middles.
JEAN_KERNEL void jean_march_edges(const __grid_constant__ JeanMarch m, const int64_t* rays, int64_t count,
                                  const float* quantiles, float* edges) {
  const long at = thread_number();
  if (at >= count) return;
  const long first = at * (m.samples + 1);
  float density[MAX_COARSE], near, far;
  look_along(m, rays[at], density, &near, &far);
  place_edges<1>(m, density, &near, &far, quantiles ? quantiles + first : quantiles, edges + first, 0);
}

JEAN_KERNEL void jean_composite(const __grid_constant__ JeanComposite c) {
  const long ray = thread_number();
  if (ray < c.rays) composite_ray<float>(c, ray);
}

JEAN_KERNEL void jean_composite_backward(const __grid_constant__ JeanComposite c,
                                         const __grid_constant__ JeanCompositeGradients g) {
  const long ray = thread_number();
  if (ray < c.rays) composite_ray_backward<float>(c, g, ray);
}
