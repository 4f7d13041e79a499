// The C interface: chooses a target, distributes the work over threads, and owns all memory of a call.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <atomic>
#include <new>
#include <vector>

#include "kernels.h"
#include "cpu_features.h"
#include "threads.h"

#define JEAN_API extern "C" __attribute__((visibility("default")))
#ifndef JEAN_SOURCE_HASH
#define JEAN_SOURCE_HASH "unknown"
#endif

namespace {

enum Target { PORTABLE, AVX2, AVX512, DOUBLE, AVX512_BF16, AMX };

const JeanKernels* table(int64_t target) {
  switch (target) {
#if defined(__x86_64__)
    case AVX2:
      return jean_kernels_avx2();
    case AVX512:
      return jean_kernels_avx512();
    case AVX512_BF16:
      return jean_kernels_avx512bf16();
    case AMX:
      return jean_kernels_amx();
#endif
    case DOUBLE:
      return jean_kernels_double();
    default:
      return jean_kernels_portable();
  }
}

// [begin, end) of part `index` of `parts`.
struct Part {
  long begin, end;
  Part(long count, long parts, long index) : begin(count * index / parts), end(count * (index + 1) / parts) {}
};

long parts_of(long count, long size) { return count > size ? (count + size - 1) / size : (count > 0 ? 1 : 0); }

class Memory {
 public:
  explicit Memory(size_t bytes) : at(::operator new(bytes + 64, std::nothrow)) {
    const uintptr_t address = (uintptr_t)at;
    aligned = (void*)((address + 63) & ~(uintptr_t)63);
  }
  ~Memory() { ::operator delete(at); }
  Memory(const Memory&) = delete;
  void* get() const { return aligned; }
  bool failed() const { return at == nullptr; }

 private:
  void *at, *aligned;
};

long saved_width(const JeanField& f) {
  return (long)f.planes * JEAN_CHANNELS + 2l * f.hidden + f.colour_width + JEAN_CHANNELS;
}

size_t prepared_bytes(const JeanField& f, long scalar) {
  return 256 + scalar * ((long)f.planes * JEAN_CHANNELS * f.hidden + (long)f.hidden * f.hidden +
                         (long)f.hidden * f.colour_width);
}

// Must not be less than Sums<T>::size of triplane.h.
long sums_width(const JeanField& f) {
  const long cells = 3l * f.light_height * f.light_width, features = (long)f.planes * JEAN_CHANNELS;
  return features * f.hidden + (long)f.hidden * f.hidden + (long)f.colour_width * f.hidden + 5l * f.colour_width +
         2l * f.hidden + JEAN_CHANNELS +
         f.frames * ((long)f.gated * JEAN_CHANNELS + f.hidden + cells);
}

constexpr int FAILED = 1;

}  // namespace

JEAN_API const char* jean_source_hash(void) { return JEAN_SOURCE_HASH; }

// Bits: 1 AVX2 with FMA, 2 AVX-512 (F, BW, DQ, VL), 4 AVX-512 BF16, 8 AMX with bf16.
JEAN_API int jean_cpu_features(void) {
#if defined(__x86_64__)
  return (has_avx2() ? 1 : 0) | (has_avx512() ? 2 : 0) | (has_avx512bf16() && jean_kernels_avx512bf16() ? 4 : 0) |
         (has_amx() && jean_kernels_amx() ? 8 : 0);
#else
  return 0;
#endif
}

JEAN_API int64_t jean_field_saved(const JeanField* field) { return saved_width(*field); }

// Values of all samples. Targets: 0 portable, 1 AVX2, 2 AVX-512, 3 portable in double precision (all
// pointers are then to doubles). Returns 0, or 1 if memory cannot be allocated.
JEAN_API int jean_field_forward(const JeanField* field, const JeanSamples* samples, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long tiles = (samples->count + JEAN_TILE - 1) / JEAN_TILE, parts = parts_of(tiles, 8);
  const size_t scratch = samples->saved ? 0 : (JEAN_TILE * saved_width(*field) * k->scalar_bytes + 63) / 64 * 64;
  Memory prepared(prepared_bytes(*field, k->scalar_bytes)), memory(scratch * (threads > 0 ? threads : 1));
  if (prepared.failed() || memory.failed()) return FAILED;
  k->prepare(field, prepared.get());
  share_out(parts, threads, [&](long task, int worker) {
    const Part part(tiles, parts, task);
    k->forward(field, prepared.get(), samples, part.begin, part.end, (char*)memory.get() + worker * scratch);
  });
  return 0;
}

namespace {

// Gradients of the field in two passes: over pieces of the samples, which add to partial sums, then one task per plane.
// The number of partial sums depends on the number of pieces alone (each gets at least `least` pieces), and they are
// added up in a fixed order. So any number of threads gives the same bits. piece(index, tiles) computes one piece and
// calls tiles(begin, end).
template <class Piece>
int field_slopes(const JeanField* field, const JeanSamples* samples, const void* to_density, const void* to_rgb,
                 const JeanFieldGradients* out, int64_t target, int64_t threads, long pieces, long least,
                 const Piece& piece) {
  const JeanKernels* k = table(target);
  const long tiles = (samples->count + JEAN_TILE - 1) / JEAN_TILE;
  const long some = parts_of(pieces, least), shares = some > 32 ? 32 : (some > 0 ? some : 1);
  const size_t width = (sums_width(*field) * k->scalar_bytes + 63) / 64 * 64;
  Memory prepared(prepared_bytes(*field, k->scalar_bytes)), sums(width * shares);
  Memory features(tiles * JEAN_TILE * (size_t)field->planes * JEAN_CHANNELS * k->scalar_bytes);
  if (prepared.failed() || sums.failed() || features.failed()) return FAILED;
  k->prepare(field, prepared.get());
  std::vector<const void*> at(shares);
  for (long i = 0; i < shares; ++i) at[i] = (char*)sums.get() + i * width;
  share_out(shares, threads, [&](long task, int) {
    const Part part(pieces, shares, task);
    memset((void*)at[task], 0, width);
    for (long index = part.begin; index < part.end; ++index)
      piece(index, [&](long begin, long end) {
        k->backward(field, prepared.get(), samples, to_density, to_rgb, out, (void*)at[task], features.get(), begin, end);
      });
  });
  // adding up the partial sums is one more task beside the planes
  share_out(field->planes + 1, threads, [&](long task, int) {
    if (task == field->planes) {
      k->gather(field, at.data(), (int)shares, out);
    } else if (field->plane[task].gradient) {
      k->scatter(field, prepared.get(), samples, (int)task, features.get());
    }
  });
  return 0;
}

}  // namespace

// Gradients from those of densities [count] and colours [count, 3]. Gradients of planes are added to the memory that
// `field` points to.
JEAN_API int jean_field_backward(const JeanField* field, const JeanSamples* samples, const void* to_density,
                                 const void* to_rgb, const JeanFieldGradients* out, int64_t target, int64_t threads) {
  const long tiles = (samples->count + JEAN_TILE - 1) / JEAN_TILE;
  return field_slopes(field, samples, to_density, to_rgb, out, target, threads, tiles, 32,
                      [](long tile, auto&& work) { work(tile, tile + 1); });
}

// hit [rays]: 1 where a ray meets an occupied cell of the sampling grid.
JEAN_API int jean_march_hits(const JeanMarch* march, unsigned char* hit, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long parts = parts_of(march->rays, 256);
  share_out(parts, threads, [&](long task, int) {
    const Part part(march->rays, parts, task);
    k->hits(march, hit, part.begin, part.end);
  });
  return 0;
}

// edges [count, samples + 1] of the given rays; quantiles of the same shape, or null for the middles.
JEAN_API int jean_march_edges(const JeanMarch* march, const int64_t* rays, int64_t count, const float* quantiles,
                              float* edges, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long parts = parts_of(count, 256);
  share_out(parts, threads, [&](long task, int) {
    const Part part(count, parts, task);
    k->edges(march, rays, quantiles, edges, part.begin, part.end);
  });
  return 0;
}

JEAN_API int jean_composite(const JeanComposite* composite, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long parts = parts_of(composite->rays, 512);
  share_out(parts, threads, [&](long task, int) {
    const Part part(composite->rays, parts, task);
    k->composite(composite, part.begin, part.end);
  });
  return 0;
}

JEAN_API int jean_composite_backward(const JeanComposite* composite, const JeanCompositeGradients* gradients,
                                     int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long parts = parts_of(composite->rays, 512);
  share_out(parts, threads, [&](long task, int) {
    const Part part(composite->rays, parts, task);
    k->composite_backward(composite, gradients, part.begin, part.end);
  });
  return 0;
}

// Renders rays through a field with multiplied planes; see JeanPicture.
JEAN_API int jean_picture(const JeanField* field, const JeanMarch* march, const JeanPicture* out, int64_t target,
                          int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(prepared_bytes(*field, k->scalar_bytes));
  if (prepared.failed()) return FAILED;
  k->prepare(field, prepared.get());
  const long parts = parts_of(march->rays, 256);
  share_out(parts, threads, [&](long task, int) {
    const long begin = task * 256, end = begin + 256 < march->rays ? begin + 256 : march->rays;
    k->picture(field, prepared.get(), march, out, begin, end);
  });
  return 0;
}

// Renders pixels: a field with multiplied planes over the torso over a background; see JeanView.
JEAN_API int jean_paint(const JeanField* field, const JeanMarch* march, const JeanTorso* torso, const JeanView* view,
                        int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(prepared_bytes(*field, k->scalar_bytes));
  if (prepared.failed()) return FAILED;
  k->prepare(field, prepared.get());
  share_out(parts_of(view->count, 256), threads, [&](long task, int) {
    const long begin = task * 256, end = begin + 256 < view->count ? begin + 256 : view->count;
    k->paint(prepared.get(), march, torso, view, begin, end);
  });
  return 0;
}
#include "api_mlp.h"
#include "api_splat.h"
#include "api_trace.h"
#include "api_training.h"
