// The loops that a target compiles: one table of functions for each instruction set.
#pragma once
#include "interface.h"

// A share of the work, [begin, end) of tiles or rays; `memory` belongs to the share alone.
typedef struct {
  void (*prepare)(const JeanField*, void* memory);
  void (*forward)(const JeanField*, const void* prepared, const JeanSamples*, long begin, long end, void* memory);
  void (*backward)(const JeanField*, const void* prepared, const JeanSamples*, const void* to_density,
                   const void* to_rgb, const JeanFieldGradients*, void* sums, void* features, long begin, long end);
  void (*scatter)(const JeanField*, const void* prepared, const JeanSamples*, int plane, const void* features);
  void (*gather)(const JeanField*, const void* const* sums, int shares, const JeanFieldGradients*);
  void (*hits)(const JeanMarch*, unsigned char* hit, long begin, long end);
  void (*edges)(const JeanMarch*, const int64_t* rays, const float* quantiles, float* edges, long begin, long end);
  void (*composite)(const JeanComposite*, long begin, long end);
  void (*composite_backward)(const JeanComposite*, const JeanCompositeGradients*, long begin, long end);
  void (*picture)(const JeanField*, const void* prepared, const JeanMarch*, const JeanPicture*, long begin, long end);
  long scalar_bytes;
} JeanKernels;

const JeanKernels* jean_kernels_portable(void);
const JeanKernels* jean_kernels_double(void);
#if defined(__x86_64__)
const JeanKernels* jean_kernels_avx2(void);
const JeanKernels* jean_kernels_avx512(void);
#endif
