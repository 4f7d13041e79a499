// Shared by the kernels of the fast field: locations in planes, the deformation, the mean head.
#pragma once
#include "interface.h"
#include "layers.h"

namespace {

constexpr int HIDDEN = 64, HALF = 32, IN = HIDDEN / 16, SHADE = HALF / 16;  // widths, and blocks of 16 channels

// A plane in single precision: consumer GPUs are slow in double precision.
struct Plane {
  const float* table;
  int height, width, first, second;
  float low[2], scale[2];
};

struct Volume {
  Plane plane[JEAN_MAX_PLANES];
  float light_low[2], light_scale[2], centre[3], radii[3];
};

// All threads of a block fill it together and have to synchronise before reading it.
JEAN_FN void share_volume(Volume& to, const JeanField& f) {
  for (int p = (int)threadIdx.x; p < f.planes; p += (int)blockDim.x) {
    const JeanPlane& from = f.plane[p];
    to.plane[p].table = (const float*)from.table;
    to.plane[p].height = from.height;
    to.plane[p].width = from.width;
    to.plane[p].first = from.first_axis;
    to.plane[p].second = from.second_axis;
    for (int i = 0; i < 2; ++i) {
      to.plane[p].low[i] = (float)from.low[i];
      to.plane[p].scale[i] = (float)(1.0 / from.size[i]);
    }
  }
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      to.light_low[i] = (float)f.light_low[i];
      to.light_scale[i] = (float)(1.0 / f.light_size[i]);
    }
    for (int i = 0; i < 3; ++i) {
      to.centre[i] = (float)f.prior_centre[i];
      to.radii[i] = (float)f.prior_radii[i];
    }
  }
}

JEAN_FN Corner<float> place_in(const Plane& plane, const float* position) {
  const float a = plane.first == 0 ? position[0] : plane.first == 1 ? position[1] : position[2];
  const float b = plane.second == 0 ? position[0] : plane.second == 1 ? position[1] : position[2];
  return corner((a - plane.low[0]) * plane.scale[0], (b - plane.low[1]) * plane.scale[1], plane.height, plane.width);
}

// Location of a position in a grid over the frontal plane of the box.
JEAN_FN Corner<float> frontal(const Volume& v, const float* position, int height, int width) {
  return corner((position[0] - v.light_low[0]) * v.light_scale[0], (position[1] - v.light_low[1]) * v.light_scale[1],
                height, width);
}

// Moves a position to canonical space.
JEAN_FN void unbend(const JeanField& f, const Volume& v, int frame, float* position) {
  if (!f.bend) return;
  const Corner<float> c = frontal(v, position, f.bend_cells, f.bend_cells);
  const float* at = (const float*)f.bend + 2l * ((long)f.bend_cells * f.bend_cells * frame + c.row);
  const float across = between(at, 2l, 2l * f.bend_cells, c.right, c.below);
  position[1] += between(at + 1, 2l, 2l * f.bend_cells, c.right, c.below);
  position[0] += across;
}

// Depth of the face's relief behind the front of the ellipsoid.
JEAN_FN float deeper_than_mean(const JeanField& f, const Volume& v, const float* position) {
  if (!f.relief || !(position[2] < v.centre[2])) return 0.0f;
  const Corner<float> c = frontal(v, position, f.relief_cells, f.relief_cells);
  return between((const float*)f.relief + c.row, 1l, (long)f.relief_cells, c.right, c.below);
}

JEAN_FN float prior(const JeanField& f, const Volume& v, const float* position) {
  return ellipsoid_prior(position[0], position[1], position[2] - deeper_than_mean(f, v, position), v.centre, v.radii);
}

}  // namespace
