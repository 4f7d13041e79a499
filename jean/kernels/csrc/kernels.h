// The table of functions that each target (instruction set) compiles.
#pragma once
#include "interface.h"

// The Gaussians of a window's tiles: indices from start[tile] to start[tile + 1], the nearest first.
typedef struct {
  const int64_t* start;  // [tiles + 1]
  const int32_t* list;
  const int64_t* first;  // [count + 1], where each Gaussian's pairs with tiles begin, row by row; for gradients only
  const JeanTileBox* boxes;  // [count]
  int across;                // tiles of a row
} JeanTileLists;

// Functions work on a part [begin, end) of tiles or rays; `memory` belongs to that part alone.
typedef struct {
  void (*prepare)(const JeanField*, void* memory);
  void (*forward)(const JeanField*, const void* prepared, const JeanSamples*, long begin, long end, void* memory);
  void (*backward)(const JeanField*, const void* prepared, const JeanSamples*, const void* to_density,
                   const void* to_rgb, const JeanFieldGradients*, void* sums, void* features, long begin, long end);
  void (*scatter)(const JeanField*, const void* prepared, const JeanSamples*, int plane, const void* features);
  void (*gather)(const JeanField*, const void* const* sums, int shares, const JeanFieldGradients*);
  // rays through the field, by index of the ray; place_samples writes positions and frames of `samples`
  void (*place_samples)(const JeanRays*, const JeanSamples*, long begin, long end);
  void (*compose_rays)(const JeanRays*, const JeanSamples*, long begin, long end);
  void (*compose_rays_backward)(const JeanRays*, const JeanSamples*, const JeanRayGradients*, void* to_density,
                                void* to_rgb, long begin, long end);
  void (*move_rays)(const JeanRays*, const JeanRayGradients*, const void* to_positions, long begin, long end);
  void (*hits)(const JeanMarch*, unsigned char* hit, long begin, long end);
  void (*edges)(const JeanMarch*, const int64_t* rays, const float* quantiles, float* edges, long begin, long end);
  void (*composite)(const JeanComposite*, long begin, long end);
  void (*composite_backward)(const JeanComposite*, const JeanCompositeGradients*, long begin, long end);
  void (*picture)(const JeanField*, const void* prepared, const JeanMarch*, const JeanPicture*, long begin, long end);
  void (*paint)(const void* prepared, const JeanMarch*, const JeanTorso*, const JeanView*, long begin, long end);
  int (*adam)(const JeanAdam*, int tensor, long begin, long end);
  void (*roughness)(const JeanGrid*, long begin, long end, void* sums);
  void (*roughness_slopes)(const JeanGrid*, const void* factors, long begin, long end, void* out);
  // the torso layer with gradients; `sums` holds the gradients of its shared tensors one after the other, `at` and
  // `features` the input of `torso_scatter` for every tile
  void (*torso_prepare)(const JeanTorsoLayer*, void* memory);
  void (*torso_forward)(const void* prepared, const JeanTorsoPixels*, long begin, long end);
  void (*torso_backward)(const void* prepared, const JeanTorsoPixels*, const void* to_rgb, const void* to_opacity,
                         void* sums, void* at, void* features, long begin, long end);
  void (*torso_scatter)(const JeanTorsoLayer*, long count, int plane, const void* at, const void* features);
  void (*add_up)(const void* const* sums, int shares, long offset, long count, void* to);
  long scalar_bytes;
  // the paper's field: `prepared` is its layout followed by the packed matrices
  long (*mlp_prepared_bytes)(const JeanMlp*, int gradients);
  void (*mlp_prepare)(const JeanMlp*, int gradients, void* memory);
  long (*mlp_tile_bytes)(const void* prepared, int gradients);
  long (*mlp_sums_bytes)(const void* prepared);
  void (*mlp_forward)(const void* prepared, const JeanSamples*, int skip_empty_tiles, void* memory, long begin, long end);
  long (*mlp_choose)(const JeanSamples*, const void* to_density, const void* to_rgb, int64_t* chosen);
  void (*mlp_backward)(const void* prepared, const JeanSamples*, const int64_t* chosen, const void* to_density,
                       const void* to_rgb, void* sums, void* to_positions, void* memory, long begin, long end);
  void (*mlp_gather)(const void* prepared, void* const* sums, int shares, int layer, const JeanMlpGradients*);
  // Gaussians: projection, then tiles by the lists of api_splat.h; `pairs` holds sums of every Gaussian in every tile
  void (*splat_project)(const JeanSplats*, JeanTileBox* boxes, long begin, long end);
  void (*splat_boxes)(const JeanSplats*, JeanTileBox* boxes, long begin, long end);  // from records
  void (*splat_draw)(const JeanSplats*, const JeanTileLists*, long begin, long end);
  void (*splat_slopes)(const JeanSplats*, const JeanTileLists*, const JeanSplatGradients*, void* pairs, long begin,
                       long end);
  void (*splat_project_backward)(const JeanSplats*, const JeanSplatGradients*, const int64_t* first, const void* pairs,
                                 long begin, long end, void* camera_sums);
} JeanKernels;

const JeanKernels* jean_kernels_portable(void);
const JeanKernels* jean_kernels_double(void);
#if defined(__x86_64__)
const JeanKernels* jean_kernels_avx2(void);
const JeanKernels* jean_kernels_avx512(void);
// values of the paper's field, and rendering of the fast one by AVX-512; null if the compiler is too old
const JeanKernels* jean_kernels_avx512bf16(void);
const JeanKernels* jean_kernels_amx(void);
#endif
