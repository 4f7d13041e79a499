// One Gaussian, shared by all targets and CUDA: its projection to the picture, and the gradients of that. The readable
// version is jean/kernels/reference_splat.py; the equations are in docs/kernels.md.
#pragma once
#include <stdint.h>

#include "interface.h"
#include "mathematics.h"

namespace {

constexpr double SPLAT_LOW_PASS = 0.3, SPLAT_MAX_SLOPE = 2.0, SPLAT_MAX_ALPHA = 0.99, SPLAT_MIN_ALPHA = 1.0 / 255.0;
constexpr double SPLAT_MIN_TRANSMITTANCE = 1e-4, SPLAT_MIN_COMPENSATION = 0.005;
constexpr double SPLAT_LOG_MIN_ALPHA = -5.541263545158426, SPLAT_BINARY = 1.4426950408889634;  // ln 1/255, 1 / ln 2
constexpr int SPLAT_SIDE = 16;  // of a tile, px

// Numbers of a projected Gaussian, a record. Behind them come its channels: colours, zeros up to the width of a record,
// and the depth as the last one. Mean and extents are px of the window.
enum {
  MEAN_X,
  MEAN_Y,
  CONIC_A,
  CONIC_B,
  CONIC_C,
  LOG_OPACITY,  // to the base 2
  EXTENT_X,  // 0: not visible
  EXTENT_Y,
  RECORD_HEAD
};

// Channels of a record with so many colours: two sizes are compiled. The last one is the depth.
JEAN_FN int splat_channels(int colours) { return colours <= 3 ? 4 : 8; }
JEAN_FN int splat_record(int colours) { return RECORD_HEAD + splat_channels(colours); }

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
JEAN_FN float square_root(float x) { return sqrtf(x); }
JEAN_FN float logarithm(float x) { return logf(x); }
#else
template <class T>
JEAN_FN T square_root(T x) { return std::sqrt(x); }
template <class T>
JEAN_FN T logarithm(T x) { return std::log(x); }
#endif

template <class T>
struct Camera {
  T turn[3][3], shift[3], focal, centre_x, centre_y, left, top, width, height, near;
  bool compensate;
};

template <class T>
JEAN_FN Camera<T> splat_camera(const JeanSplats& s) {
  Camera<T> c;
  const T *pose = (const T*)s.world_to_camera, *lens = (const T*)s.intrinsics;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) c.turn[i][j] = pose[4 * i + j];
    c.shift[i] = pose[4 * i + 3];
  }
  c.focal = lens[0];
  c.centre_x = lens[1];
  c.centre_y = lens[2];
  c.left = T(s.window[0]);
  c.top = T(s.window[1]);
  c.width = T(s.window[2]);
  c.height = T(s.window[3]);
  c.near = T(s.near_cm);
  c.compensate = s.compensate != 0;
  return c;
}

// A Gaussian as it comes.
template <class T>
struct Gaussian {
  T centre[3], scale[3], rotation[4], opacity;
};

template <class T>
JEAN_FN Gaussian<T> read_gaussian(const JeanSplats& s, long i) {
  Gaussian<T> g;
  for (int k = 0; k < 3; ++k) {
    g.centre[k] = ((const T*)s.centres)[3 * i + k];
    g.scale[k] = ((const T*)s.scales)[3 * i + k];
  }
  for (int k = 0; k < 4; ++k) g.rotation[k] = ((const T*)s.rotations)[4 * i + k];
  g.opacity = ((const T*)s.opacities)[i];
  return g;
}

// What the projection computes on its way, and its gradients need again. `axes` are the Gaussian's axes in camera space,
// each scaled by its standard deviation; `rows` those in the picture; var and mixed without the low-pass filter.
template <class T>
struct Projection {
  T camera[3], inverse_z, slope[2], clamped[2], length, unit[4], rotation[3][3], axes[3][3], rows[2][3];
  T var_x, var_y, mixed, raw, det, compensation;
  T mean_x, mean_y, a, b, c, opacity;
};

// Without branches, so that compilers can vectorise a loop over Gaussians.
template <class T>
JEAN_FN void project(const Camera<T>& v, const Gaussian<T>& g, Projection<T>& p) {
  for (int i = 0; i < 3; ++i)
    p.camera[i] = v.turn[i][0] * g.centre[0] + v.turn[i][1] * g.centre[1] + v.turn[i][2] * g.centre[2] + v.shift[i];
  p.inverse_z = T(1) / p.camera[2];
  const T limit = T(SPLAT_MAX_SLOPE);
  for (int i = 0; i < 2; ++i) {
    p.slope[i] = p.camera[i] * p.inverse_z;
    p.clamped[i] = clamp(p.slope[i], -limit, limit);
  }
  p.mean_x = v.focal * p.slope[0] + (v.centre_x - v.left);
  p.mean_y = v.focal * p.slope[1] + (v.centre_y - v.top);
  const T* q = g.rotation;
  p.length = T(1) / square_root(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  for (int i = 0; i < 4; ++i) p.unit[i] = q[i] * p.length;
  const T w = p.unit[0], x = p.unit[1], y = p.unit[2], z = p.unit[3];
  p.rotation[0][0] = T(1) - T(2) * (y * y + z * z);
  p.rotation[0][1] = T(2) * (x * y - w * z);
  p.rotation[0][2] = T(2) * (x * z + w * y);
  p.rotation[1][0] = T(2) * (x * y + w * z);
  p.rotation[1][1] = T(1) - T(2) * (x * x + z * z);
  p.rotation[1][2] = T(2) * (y * z - w * x);
  p.rotation[2][0] = T(2) * (x * z - w * y);
  p.rotation[2][1] = T(2) * (y * z + w * x);
  p.rotation[2][2] = T(1) - T(2) * (x * x + y * y);
  const T zoom = v.focal * p.inverse_z;
  for (int j = 0; j < 3; ++j) {
    for (int i = 0; i < 3; ++i)
      p.axes[i][j] = g.scale[j] * (v.turn[i][0] * p.rotation[0][j] + v.turn[i][1] * p.rotation[1][j] +
                                   v.turn[i][2] * p.rotation[2][j]);
    for (int i = 0; i < 2; ++i) p.rows[i][j] = zoom * (p.axes[i][j] - p.clamped[i] * p.axes[2][j]);
  }
  const T(&r)[3] = p.rows[0], (&s)[3] = p.rows[1];
  p.var_x = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
  p.var_y = s[0] * s[0] + s[1] * s[1] + s[2] * s[2];
  p.mixed = r[0] * s[0] + r[1] * s[1] + r[2] * s[2];
  // the determinant as the square of a cross product, which cannot be negative
  const T n0 = r[1] * s[2] - r[2] * s[1], n1 = r[2] * s[0] - r[0] * s[2], n2 = r[0] * s[1] - r[1] * s[0];
  const T low = T(SPLAT_LOW_PASS);
  p.raw = n0 * n0 + n1 * n1 + n2 * n2;
  p.det = p.raw + low * (p.var_x + p.var_y) + low * low;
  const T inverse = T(1) / p.det;
  p.a = (p.var_y + low) * inverse;
  p.b = -p.mixed * inverse;
  p.c = (p.var_x + low) * inverse;
  const T floor = T(SPLAT_MIN_COMPENSATION * SPLAT_MIN_COMPENSATION), ratio = p.raw * inverse;
  p.compensation = v.compensate ? square_root(ratio > floor ? ratio : floor) : T(1);
  p.opacity = g.opacity * p.compensation;
}

// The record's head; returns whether the Gaussian is visible. Everything that is not finite makes it invisible.
template <class T>
JEAN_FN bool write_record(const Camera<T>& v, const Gaussian<T>& g, const Projection<T>& p, T* to) {
  const T nothing = (p.mean_x + p.mean_y + p.a + p.b + p.c + p.opacity + p.camera[2]) * T(0);  // or NaN
  const T log_opacity = logarithm(p.opacity), reach = T(2) * (log_opacity - T(SPLAT_LOG_MIN_ALPHA));
  to[MEAN_X] = p.mean_x;
  to[MEAN_Y] = p.mean_y;
  to[CONIC_A] = p.a;
  to[CONIC_B] = p.b;
  to[CONIC_C] = p.c;
  to[LOG_OPACITY] = log_opacity * T(SPLAT_BINARY);
  to[EXTENT_X] = square_root(reach * (p.var_x + T(SPLAT_LOW_PASS)));
  to[EXTENT_Y] = square_root(reach * (p.var_y + T(SPLAT_LOW_PASS)));
  const T half = T(0.5), right = v.width - half, bottom = v.height - half;
  const T x = p.mean_x, y = p.mean_y, wide = to[EXTENT_X], high = to[EXTENT_Y];
  return nothing == T(0) && p.camera[2] > v.near && g.opacity >= T(SPLAT_MIN_ALPHA) && p.opacity >= T(SPLAT_MIN_ALPHA) &&
         wide * T(0) == T(0) && high * T(0) == T(0) && right >= half && bottom >= half && x + wide >= half && x - wide <= right && y + high >= half &&
         y - high <= bottom;
}

// Gradients of one record: of mean, conic, opacity and depth, then absolute ones of the mean.
template <class T>
struct RecordSlopes {
  T mean[2], a, b, c, opacity, depth;
};

// Gradients of a Gaussian and of the camera; the latter are added to.
template <class T>
struct CameraSlopes {
  T turn[3][3], shift[3], focal, centre_x, centre_y;
};

template <class T>
JEAN_FN void project_backward(const Camera<T>& v, const Gaussian<T>& g, const Projection<T>& p, const RecordSlopes<T>& d,
                              Gaussian<T>& to, CameraSlopes<T>& to_camera) {
  // conic = inverse covariance K; dL/dcovariance = -K G K with G the symmetric matrix of the conic's gradients
  const T ga = d.a, gb = T(0.5) * d.b, gc = d.c;
  const T left0 = p.a * ga + p.b * gb, left1 = p.a * gb + p.b * gc, left2 = p.b * ga + p.c * gb, left3 = p.b * gb + p.c * gc;
  T to_xx = -(left0 * p.a + left1 * p.b), to_xy = -T(2) * (left0 * p.b + left1 * p.c), to_yy = -(left2 * p.b + left3 * p.c);
  to.opacity = d.opacity * p.compensation;
  const T floor = T(SPLAT_MIN_COMPENSATION * SPLAT_MIN_COMPENSATION);
  if (v.compensate && p.raw > floor * p.det) {
    // compensation² = raw / det, and det = raw + low (var_x + var_y) + low²
    const T half = T(0.5) * p.compensation * d.opacity * g.opacity, of_raw = half * (T(1) / p.raw - T(1) / p.det);
    const T of_rest = -half / p.det * T(SPLAT_LOW_PASS);
    to_xx += of_raw * p.var_y + of_rest;
    to_yy += of_raw * p.var_x + of_rest;
    to_xy -= T(2) * of_raw * p.mixed;
  }
  const T zoom = v.focal * p.inverse_z;
  T to_axes[3][3], to_clamped[2] = {}, to_zoom = T(0);
  for (int j = 0; j < 3; ++j) {
    const T row[2] = {T(2) * to_xx * p.rows[0][j] + to_xy * p.rows[1][j], to_xy * p.rows[0][j] + T(2) * to_yy * p.rows[1][j]};
    to_axes[2][j] = T(0);
    for (int i = 0; i < 2; ++i) {
      to_axes[i][j] = zoom * row[i];
      to_axes[2][j] -= zoom * p.clamped[i] * row[i];
      to_clamped[i] -= zoom * p.axes[2][j] * row[i];
      to_zoom += row[i] * (p.axes[i][j] - p.clamped[i] * p.axes[2][j]);
    }
  }
  T to_rotation[3][3];
  for (int j = 0; j < 3; ++j) {
    to.scale[j] = T(0);
    for (int k = 0; k < 3; ++k) {
      const T slope = v.turn[0][k] * to_axes[0][j] + v.turn[1][k] * to_axes[1][j] + v.turn[2][k] * to_axes[2][j];
      to.scale[j] += slope * p.rotation[k][j];
      to_rotation[k][j] = slope * g.scale[j];
      for (int i = 0; i < 3; ++i) to_camera.turn[i][k] += to_axes[i][j] * g.scale[j] * p.rotation[k][j];
    }
  }
  const T(&r)[3][3] = to_rotation;
  const T w = p.unit[0], x = p.unit[1], y = p.unit[2], z = p.unit[3], two = T(2);
  const T unit[4] = {
      two * (x * (r[2][1] - r[1][2]) + y * (r[0][2] - r[2][0]) + z * (r[1][0] - r[0][1])),
      two * (w * (r[2][1] - r[1][2]) + y * (r[0][1] + r[1][0]) + z * (r[0][2] + r[2][0]) - two * x * (r[1][1] + r[2][2])),
      two * (w * (r[0][2] - r[2][0]) + x * (r[0][1] + r[1][0]) + z * (r[1][2] + r[2][1]) - two * y * (r[0][0] + r[2][2])),
      two * (w * (r[1][0] - r[0][1]) + x * (r[0][2] + r[2][0]) + y * (r[1][2] + r[2][1]) - two * z * (r[0][0] + r[1][1]))};
  const T along = w * unit[0] + x * unit[1] + y * unit[2] + z * unit[3];  // a longer quaternion is the same rotation
  for (int i = 0; i < 4; ++i) to.rotation[i] = p.length * (unit[i] - p.unit[i] * along);
  T to_place[3] = {T(0), T(0), d.depth - to_zoom * zoom * p.inverse_z};
  for (int i = 0; i < 2; ++i) {
    const T to_slope = v.focal * d.mean[i] + (p.slope[i] == p.clamped[i] ? to_clamped[i] : T(0));
    to_place[i] = to_slope * p.inverse_z;
    to_place[2] -= to_slope * p.slope[i] * p.inverse_z;
    to_camera.focal += d.mean[i] * p.slope[i];
  }
  to_camera.focal += to_zoom * p.inverse_z;
  to_camera.centre_x += d.mean[0];
  to_camera.centre_y += d.mean[1];
  for (int k = 0; k < 3; ++k) {
    to.centre[k] = v.turn[0][k] * to_place[0] + v.turn[1][k] * to_place[1] + v.turn[2][k] * to_place[2];
    to_camera.shift[k] += to_place[k];
    for (int i = 0; i < 3; ++i) to_camera.turn[i][k] += to_place[i] * g.centre[k];
  }
}

// Tiles that the box of a record touches, within the window. The box is that of pixel centres, at half-integers.
template <class T>
JEAN_FN JeanTileBox tiles_of(const T* record, int width, int height) {
  const T half = T(0.5), right = T(width - 1), bottom = T(height - 1);
  // clamped before they become integers, which hold less than floats do
  const T x0 = clamp(record[MEAN_X] - record[EXTENT_X] - half, T(0), right);
  const T x1 = clamp(record[MEAN_X] + record[EXTENT_X] - half, T(0), right);
  const T y0 = clamp(record[MEAN_Y] - record[EXTENT_Y] - half, T(0), bottom);
  const T y1 = clamp(record[MEAN_Y] + record[EXTENT_Y] - half, T(0), bottom);
  const JeanTileBox box = {(uint16_t)((int)x0 / SPLAT_SIDE), (uint16_t)((int)x1 / SPLAT_SIDE),
                           (uint16_t)((int)y0 / SPLAT_SIDE), (uint16_t)((int)y1 / SPLAT_SIDE)};
  return box;
}

constexpr JeanTileBox NO_TILES = {1, 0, 1, 0};

JEAN_FN int tile_count(const JeanTileBox& box) { return (box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1); }

}  // namespace
