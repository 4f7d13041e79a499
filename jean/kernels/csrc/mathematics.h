// The mathematics of one sample and of one ray, shared by all targets: portable C++, AVX2, AVX-512 and CUDA. It is
// templated on the scalar, so that gradients can be checked in double precision. Nothing here allocates memory or is
// parallel, and compilers can vectorise the loops over samples. The readable torch versions are in
// jean/kernels/reference.py and jean/models/head/triplane.py.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define JEAN_FN __device__ __forceinline__
#define JEAN_MEMBER JEAN_FN
#else
#include <cmath>
#define JEAN_MEMBER inline __attribute__((always_inline))
#define JEAN_FN static JEAN_MEMBER
#endif

namespace {

template <class T>
JEAN_FN T lesser(T a, T b) { return b < a ? b : a; }
template <class T>
JEAN_FN T greater(T a, T b) { return a < b ? b : a; }

// Keeps a NaN a NaN, as torch.clamp does.
template <class T>
JEAN_FN T clamp(T x, T low, T high) { return x < low ? low : (x > high ? high : x); }

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
JEAN_FN float exponential(float x) { return __expf(x); }
JEAN_FN double exponential(double x) { return exp(x); }
#else
JEAN_FN double exponential(double x) { return std::exp(x); }

// e^x to about one unit in the last place; 0 below -87.3 (torch gives denormal numbers there).
// Adding 1.5 * 2^23 rounds to an integer in the low bits. So no float that may be NaN is cast, and every compiler can
// vectorise the arithmetic.
JEAN_FN float exponential(float x) {
  const float magic = 12582912.0f;
  const float inside = clamp(x, -87.3f, 88.7f);
  const float shifted = inside * 1.44269504088896341f + magic;
  const float whole = shifted - magic;
  // ln 2 in two parts, the first exact in 10 bits: the remainder keeps its last bits
  const float r = (inside - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  unsigned bits;
  __builtin_memcpy(&bits, &shifted, 4);
  // two factors: e^88.7 is 2^127.97, and 2^128 itself is not a float
  const unsigned power = bits - 0x4B400000u, half = (unsigned)((int)power >> 1);
  const unsigned first = (half + 127u) << 23, second = (power - half + 127u) << 23;
  float a, b;
  __builtin_memcpy(&a, &first, 4);
  __builtin_memcpy(&b, &second, 4);
  const float result = p * a * b;
  return x < -87.3f ? 0.0f : result;
}
#endif

template <class T>
JEAN_FN T sigmoid(T x) { return T(1) / (T(1) + exponential(-x)); }

// Location of a position in a plane of features: the first of the four cells around it (the others are the next one, and
// those a row further), the fractions between them, and their derivatives (zero outside, where the edge value continues).
template <class T>
struct Corner {
  int row;
  T right, below;
  T slope_right, slope_below;
  bool outside;
};

template <class T>
JEAN_FN Corner<T> corner(T across, T down, int height, int width) {
  // slightly less than the last index, so that all four cells exist
  const T x_end = T(width - 1.001), y_end = T(height - 1.001);
  const T raw_x = across * T(width - 1), raw_y = down * T(height - 1);
  const T x = clamp(raw_x, T(0), x_end), y = clamp(raw_y, T(0), y_end);
  const int column = x > T(0) ? int(x) : 0, line = y > T(0) ? int(y) : 0;  // a NaN gives any row, and NaN weights
  Corner<T> found;
  found.row = line * width + column;
  found.right = x - T(column);
  found.below = y - T(line);
  found.slope_right = raw_x >= T(0) && raw_x <= x_end ? T(width - 1) : T(0);
  found.slope_below = raw_y >= T(0) && raw_y <= y_end ? T(height - 1) : T(0);
  found.outside = (raw_x < T(0)) | (raw_x > T(width - 1)) | (raw_y < T(0)) | (raw_y > T(height - 1));
  return found;
}

// Log density of the mean head (jean.models.head.prior.head_prior).
template <class T>
JEAN_FN T ellipsoid_prior(T x, T y, T z, const T* centre, const T* radii) {
  const T a = (x - centre[0]) / radii[0], b = (y - centre[1]) / radii[1], c = (z - centre[2]) / radii[2];
  const T squared = a * a + b * b + c * c;
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
  const T distance = sqrt(squared);
#else
  const T distance = std::sqrt(squared);
#endif
  return clamp(T(8) * (T(1) - distance), T(-4), T(0.5));
}

// Its derivatives along the three axes; the relief counts as constant.
template <class T>
JEAN_FN void ellipsoid_slope(const T* position, const T* centre, const T* radii, T* slope) {
  T scaled[3], squared = T(0);
  for (int axis = 0; axis < 3; ++axis) {
    scaled[axis] = (position[axis] - centre[axis]) / radii[axis];
    squared += scaled[axis] * scaled[axis];
  }
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
  const T distance = sqrt(squared);
#else
  const T distance = std::sqrt(squared);
#endif
  const T value = T(8) * (T(1) - distance);
  const T factor = value >= T(-4) && value <= T(0.5) && distance > T(0) ? T(-8) / distance : T(0);
  for (int axis = 0; axis < 3; ++axis) slope[axis] = factor * scaled[axis] / radii[axis];
}

// Bilinear interpolation between four cells, `step` numbers apart in a row and `down` from row to row.
template <class T>
JEAN_FN T between(const T* at, long step, long down, T right, T below) {
  return (T(1) - below) * ((T(1) - right) * at[0] + right * at[step]) +
         below * ((T(1) - right) * at[down] + right * at[down + step]);
}

// Range of the exponent of a density, as in TriplaneField.forward.
template <class T>
JEAN_FN T density_of(T logarithm) { return exponential(clamp(logarithm, T(-12), T(6))); }
template <class T>
JEAN_FN T density_slope(T logarithm, T density) {
  return logarithm >= T(-12) && logarithm <= T(6) ? density : T(0);
}

// Whether a sample of the paper's field has nonzero gradients: ReLU stops those of a density of 0.
template <class T>
JEAN_FN bool flows_back(T density, T to_density, const T* to_rgb) {
  return (!(density <= T(0)) && to_density != T(0)) || to_rgb[0] != T(0) || to_rgb[1] != T(0) || to_rgb[2] != T(0);
}

// Slab test: distances at which a ray enters and leaves a box. A miss gives near == far.
template <class T>
JEAN_FN void box_interval(const T* origin, const T* direction, const T* low, const T* high, T* near, T* far) {
  T first = T(0), last = T(1e30);
  for (int axis = 0; axis < 3; ++axis) {
    const T along = direction[axis];
    const T inverse = T(1) / ((along < T(0) ? -along : along) < T(1e-9) ? T(1e-9) : along);
    const T a = (low[axis] - origin[axis]) * inverse, b = (high[axis] - origin[axis]) * inverse;
    first = greater(first, lesser(a, b));
    last = lesser(last, greater(a, b));
  }
  *near = first;
  *far = greater(first, last);
}

// Index of the cell of the sampling grid [depth, height, width] around a point given in cells; -1 outside and for NaN.
// Without branches, so that compilers can vectorise it.
template <class T>
JEAN_FN int grid_cell(const int* cells, T x, T y, T z) {
  // NaN fails these comparisons; bitwise, since && would branch
  const bool inside = (x >= T(0)) & (x < T(cells[0])) & (y >= T(0)) & (y < T(cells[1])) & (z >= T(0)) & (z < T(cells[2]));
  const int column = int(inside ? x : T(0)), row = int(inside ? y : T(0)), layer = int(inside ? z : T(0));
  return inside ? (layer * cells[1] + row) * cells[0] + column : -1;
}

// Weight of one interval; updates the transmittance behind it.
template <class T>
JEAN_FN T absorb(T optical, T* light) {
  const T passed = exponential(-optical), weight = *light * (T(1) - passed);
  *light *= passed;
  return weight;
}

}  // namespace
