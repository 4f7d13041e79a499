// Vectors of N scalars and small matrix products on them, in the vector types of GCC and clang,
// so that one source serves SSE, NEON, AVX2 and AVX-512. Matrices are row-major, and a row is one sample. All three
// products of training (values, gradients of inputs, gradients of weights) then run along rows, without a transposition.
#pragma once

namespace {

template <class T, int N>
struct Lanes {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

// The integer type of a scalar's size.
template <class T>
struct Whole {
  typedef int type;
};
template <>
struct Whole<double> {
  typedef long long type;
};

template <class T, int N>
JEAN_FN typename Lanes<T, N>::type load(const T* from) {
  typename Lanes<T, N>::type value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}

template <class T, int N>
JEAN_FN void store(T* to, typename Lanes<T, N>::type value) { __builtin_memcpy(to, &value, sizeof(value)); }

// Sum over the lanes, by halves.
template <class T, int N>
JEAN_FN T total(typename Lanes<T, N>::type value) {
  if constexpr (N == 2) {
    return value[0] + value[1];
  } else {
    typename Lanes<T, N / 2>::type halves[2];
    __builtin_memcpy(halves, &value, sizeof(value));
    return total<T, N / 2>(halves[0] + halves[1]);
  }
}

// Interleaves two vectors: a, b, a, b, … from the first halves of both, or from the second halves.
template <class T, int N, bool SECOND>
JEAN_FN typename Lanes<T, N>::type by_turns(typename Lanes<T, N>::type a, typename Lanes<T, N>::type b) {
#if defined(__clang__)
  typename Lanes<T, N>::type out;
  for (int i = 0; i < N; ++i) out[i] = (i % 2 ? b : a)[i / 2 + (SECOND ? N / 2 : 0)];
  return out;
#else
  typename Lanes<typename Whole<T>::type, N>::type mask;
  for (int i = 0; i < N; ++i) mask[i] = i / 2 + (i % 2 ? N : 0) + (SECOND ? N / 2 : 0);
  return __builtin_shuffle(a, b, mask);
#endif
}

// Sums over the lanes of N vectors, as one vector: each round halves the vectors and adds half of their lanes.
template <class T, int N>
JEAN_FN typename Lanes<T, N>::type totals(typename Lanes<T, N>::type* v) {
  for (int left = N / 2; left > 0; left /= 2)
    for (int i = 0; i < left; ++i)
      v[i] = by_turns<T, N, false>(v[i], v[i + left]) + by_turns<T, N, true>(v[i], v[i + left]);
  return v[0];
}

// out[s] = start + Σ x[s][i] w[i] for `rows` rows, a multiple of N; width is one, too.
template <class T, int N>
JEAN_FN void dots(const T* x, int x_step, const T* w, int width, T start, T* out, int rows) {
  typedef typename Lanes<T, N>::type V;
  for (int r = 0; r < rows; r += N) {
    V sums[N];
    for (int i = 0; i < N; ++i) {
      V sum = {};
      for (int c = 0; c < width; c += N) sum += load<T, N>(x + (long)(r + i) * x_step + c) * load<T, N>(w + c);
      sums[i] = sum;
    }
    store<T, N>(out + r, totals<T, N>(sums) + start);
  }
}

// to += factor * from over a multiple of N.
template <class T, int N>
JEAN_FN void add_scaled(T* to, const T* from, T factor, int count) {
  for (int i = 0; i < count; i += N) store<T, N>(to + i, load<T, N>(to + i) + factor * load<T, N>(from + i));
}

constexpr int ROWS = 4;  // rows of a block: with 4 vectors across, 16 sums hide the latency of a multiply-add

// y[r] = start[r] + x[r] · w for ROWS rows and COLUMNS vectors across.
template <class T, int N, int COLUMNS>
JEAN_FN void product_block(const T* x, int x_step, int depth, const T* w, int w_step, const T* const* start, int offset,
                           T* y, int y_step, bool rectify) {
  typedef typename Lanes<T, N>::type V;
  V sum[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) sum[r][c] = load<T, N>(start[r] + offset + c * N);
  for (int k = 0; k < depth; ++k) {
    V weight[COLUMNS];
    for (int c = 0; c < COLUMNS; ++c) weight[c] = load<T, N>(w + (long)k * w_step + c * N);
    for (int r = 0; r < ROWS; ++r) {
      const T value = x[r * x_step + k];
      for (int c = 0; c < COLUMNS; ++c) sum[r][c] += value * weight[c];
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) {
      V out = sum[r][c];
      if (rectify) out = out < V{} ? V{} : out;  // a NaN stays NaN, as in torch
      store<T, N>(y + r * y_step + c * N, out);
    }
}

// y [rows, width] = start + x [rows, depth] · w [depth, width]; rows is a multiple of ROWS, width of N.
template <class T, int N>
JEAN_FN void product(const T* x, int x_step, int depth, const T* w, int width, const T* const* start, T* y, int y_step,
                     int rows, bool rectify) {
  for (int r = 0; r < rows; r += ROWS)
    for (int c = 0; c < width;) {
      const int left = (width - c) / N;
      const T* xr = x + (long)r * x_step;
      T* yr = y + (long)r * y_step + c;
      // AVX2 has half as many registers as AVX-512: two vectors across there
      if (N * sizeof(T) == 64 && left >= 4) {
        product_block<T, N, 4>(xr, x_step, depth, w + c, width, start + r, c, yr, y_step, rectify);
        c += 4 * N;
      } else if (N * sizeof(T) == 64 && left == 3) {
        product_block<T, N, 3>(xr, x_step, depth, w + c, width, start + r, c, yr, y_step, rectify);
        c += 3 * N;
      } else if (left >= 2) {
        product_block<T, N, 2>(xr, x_step, depth, w + c, width, start + r, c, yr, y_step, rectify);
        c += 2 * N;
      } else {
        product_block<T, N, 1>(xr, x_step, depth, w + c, width, start + r, c, yr, y_step, rectify);
        c += N;
      }
    }
}

// sum[n] += Σ_s dy[s][n] x[s] for ROWS rows of the gradient of weights and COLUMNS vectors across.
template <class T, int N, int COLUMNS>
JEAN_FN void outer_block(const T* dy, int dy_step, const T* x, int x_step, int samples, T* sum, int sum_step) {
  typedef typename Lanes<T, N>::type V;
  V part[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) part[r][c] = load<T, N>(sum + r * sum_step + c * N);
  for (int s = 0; s < samples; ++s) {
    V value[COLUMNS];
    for (int c = 0; c < COLUMNS; ++c) value[c] = load<T, N>(x + (long)s * x_step + c * N);
    for (int r = 0; r < ROWS; ++r) {
      const T slope = dy[(long)s * dy_step + r];
      for (int c = 0; c < COLUMNS; ++c) part[r][c] += slope * value[c];
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) store<T, N>(sum + r * sum_step + c * N, part[r][c]);
}

// sum [height, width] += dyᵀ [height, samples] · x [samples, width]; height a multiple of ROWS, width of N.
template <class T, int N>
JEAN_FN void outer(const T* dy, int dy_step, int height, const T* x, int x_step, int width, int samples, T* sum) {
  for (int n = 0; n < height; n += ROWS)
    for (int c = 0; c < width;) {
      const int left = (width - c) / N;
      T* to = sum + (long)n * width + c;
      if (N * sizeof(T) == 64 && left >= 4) {
        outer_block<T, N, 4>(dy + n, dy_step, x + c, x_step, samples, to, width);
        c += 4 * N;
      } else if (left >= 2) {
        outer_block<T, N, 2>(dy + n, dy_step, x + c, x_step, samples, to, width);
        c += 2 * N;
      } else {
        outer_block<T, N, 1>(dy + n, dy_step, x + c, x_step, samples, to, width);
        c += N;
      }
    }
}

}  // namespace
