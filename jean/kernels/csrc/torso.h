// The torso layer (jean/models/head/torso.py) and whole pixels: camera, head, torso, background. Without
// gradients: the pose, which is constant over a frame, is folded into biases beforehand, and the feature planes come
// multiplied by the layer that reads them.
#pragma once
#include "picture.h"

namespace {

constexpr int TORSO_MAX_HIDDEN = 64;

JEAN_FN float tanh_of(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

// rgb and opacity [4][TILE] at image positions `at` [2][TILE], 0 to 1.
template <int N>
JEAN_FN void torso_tile(const JeanTorso& t, const float (*at)[TILE], float (*out)[TILE]) {
  typedef typename Lanes<float, N>::type V;
  alignas(64) float inputs[TILE * 2], one[TILE * TORSO_MAX_HIDDEN];
  float moved[3][TILE] = {};
  const float* start[TILE];
  for (int s = 0; s < TILE; ++s) {
    inputs[2 * s] = at[0][s] * 2.0f - 1.0f;
    inputs[2 * s + 1] = at[1][s] * 2.0f - 1.0f;
    start[s] = t.bend_bias;
  }
  product<float, N>(inputs, 2, 2, t.bend_first, t.bend_hidden, start, one, t.bend_hidden, TILE, true);
  for (int axis = 0; axis < 2; ++axis) {
    dots<float, N>(one, t.bend_hidden, t.bend_second + axis * t.bend_hidden, t.bend_hidden, t.bend_second_bias[axis],
                   moved[axis], TILE);
    for (int s = 0; s < TILE; ++s) moved[axis][s] = at[axis][s] + t.reach * tanh_of(moved[axis][s]);
  }
  Places<float> places[2];
  for (int i = 0; i < 2; ++i) places[i].find(moved, t.plane[i]);
  for (int s = 0; s < TILE; ++s)
    for (int c = 0; c < t.hidden; c += N) {
      V sum = load<float, N>(t.bias + c);
      for (int i = 0; i < 2; ++i) sum += four_cells<float, N>(t.plane[i], places[i], s, t.hidden, c);
      store<float, N>(one + s * t.hidden + c, sum < V{} ? V{} : sum);
    }
  for (int k = 0; k < 4; ++k) {
    dots<float, N>(one, t.hidden, t.last + k * t.hidden, t.hidden, t.last_bias[k], out[k], TILE);
    for (int s = 0; s < TILE; ++s) out[k][s] = sigmoid(out[k][s]);
  }
}

// The ray through a pixel, as in jean.kernels.reference.camera_rays.
JEAN_FN void camera_ray(const JeanView& v, const float* pixel, float* origin, float* direction) {
  const float x = (pixel[0] - v.center_px[0]) / v.focal_px, y = (pixel[1] - v.center_px[1]) / v.focal_px;
  const float length = std::sqrt(x * x + y * y + 1.0f), local[3] = {x / length, y / length, 1.0f / length};
  for (int axis = 0; axis < 3; ++axis) {
    const float* row = v.camera_to_world + 4 * axis;
    direction[axis] = row[0] * local[0] + row[1] * local[1] + row[2] * local[2];
    origin[axis] = row[3];
  }
}

// Pixels [begin, end), at most BLOCK of them: the head over the torso over the background.
template <class Kind>
JEAN_FN void paint_block(const Prepared<float>& p, const JeanMarch& march, const JeanTorso& torso, const JeanView& view,
                         long begin, long end) {
  const int count = (int)(end - begin);
  float origins[3 * BLOCK], directions[3 * BLOCK], colour[3 * BLOCK], opacity[BLOCK], depth[BLOCK];
  for (int i = 0; i < count; ++i)
    camera_ray(view, view.pixels + 2 * (begin + i), origins + 3 * i, directions + 3 * i);
  JeanMarch own = march;
  own.rays = count;
  own.origins = origins;
  own.directions = directions;
  const JeanPicture out = {colour, opacity, depth, view.min_transmittance};
  picture_block<Kind>(p, own, out, 0, count);
  for (int from = 0; from < count; from += TILE) {
    float at[2][TILE], behind[4][TILE];
    bool seen = false;
    for (int s = 0; s < TILE; ++s) {
      const int i = lesser(from + s, count - 1);
      for (int axis = 0; axis < 2; ++axis) at[axis][s] = view.pixels[2 * (begin + i) + axis] / view.size_px;
      seen |= !(1.0f - opacity[i] < view.min_transmittance);
    }
    if (seen) torso_tile<Kind::LANES>(torso, at, behind);
    for (int s = 0; s < lesser(TILE, count - from); ++s) {
      const int i = from + s;
      const long at_pixel = begin + i;
      for (int c = 0; c < 3; ++c) {
        const float back = view.background[3 * at_pixel + c];
        const float rest = seen ? behind[3][s] * behind[c][s] + (1.0f - behind[3][s]) * back : back;
        view.rgb[3 * at_pixel + c] = colour[3 * i + c] + (1.0f - opacity[i]) * rest;
      }
      view.depth[at_pixel] = opacity[i] > 0.5f ? depth[i] / greater(opacity[i], 1e-6f) : 0.0f;
    }
  }
}

}  // namespace
