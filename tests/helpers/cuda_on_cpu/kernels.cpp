// The CUDA kernels compiled for the CPU, with launch functions.
#include "mlp.cu"
#include "mlp_backward.cu"
#include "picture.cu"
#include "products.cu"
#include "rays.cu"
#include "splat.cu"
#include "triplane.cu"

namespace {

// One layer of one warp: y [32, 32] = bias + x [32, 64] · wᵀ, and each lane's own y · head.
template <class F>
void one_layer(const float* x, const float* w, const float* bias, const float* head, float* y, float* own) {
  static uint4 packed[2 * 4 * 64];
  const auto value = [&](int output, int input) { return w[output * 64 + input]; };
  pack_weights<F>(value, 2, 4, packed, (int)threadIdx.x, (int)blockDim.x);
  __syncthreads();
  const int group = 4 * (lane_number() / 4);
  Rows<F, 4> rows;
  for (int block = 0; block < 4; ++block) {
    float values[4][4];
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 4; ++i) values[r][i] = x[(group + r) * 64 + channel_of(block) + i];
    rows.put(block, values);
  }
  float sums[4] = {};
  layer<F, 4, 2>(rows, packed, OneBias{bias}, [&](int block, float (*values)[4]) {
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 4; ++i) y[(group + r) * 32 + channel_of(block) + i] = values[r][i];
    add_dot(values, head, block, sums);
  });
  own[lane_number()] = own_sum(sums);
}

// A launch whose blocks have a second number, below `count`.
template <class Kernel, class... Arguments>
void rows(int count, unsigned blocks, unsigned threads, Kernel kernel, Arguments... arguments) {
  for (int row = 0; row < count; ++row) {
    on_cpu::row = (unsigned)row;
    on_cpu::launch(blocks, threads, kernel, arguments...);
  }
  on_cpu::row = 0;
}

}  // namespace

extern "C" void launch_layer(const float* x, const float* w, const float* bias, const float* head, float* y,
                             float* own, int single) {
  on_cpu::launch(1, 32, single ? one_layer<Single> : one_layer<Half>, x, w, bias, head, y, own);
}

extern "C" void launch_march(unsigned blocks, unsigned threads, const JeanMarch* march, const JeanPicture* out,
                             float* edges, uint32_t* list, uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_march, *march, *out, edges, list, counters);
}

extern "C" void launch_picture(unsigned blocks, unsigned threads, const JeanField* field, const JeanMarch* march,
                               const JeanPicture* out, const float* edges, const uint32_t* list, uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_picture, *field, *march, *out, edges, list, counters);
}

#define LAUNCH_MLP(FORMAT)                                                                                       \
  extern "C" void launch_mlp_pack_##FORMAT(unsigned blocks, unsigned threads, const JeanMlp* mlp, int64_t turned, \
                                           uint4* packed) {                                                       \
    rows(mlp->layers, blocks, threads, jean_mlp_pack_##FORMAT, *mlp, turned, packed);                             \
  }                                                                                                               \
  extern "C" void launch_mlp_##FORMAT(unsigned blocks, unsigned threads, const JeanMlp* mlp,                      \
                                      const JeanSamples* samples, const uint4* packed, int64_t skip_empty_tiles) {         \
    on_cpu::launch(blocks, threads, jean_mlp_##FORMAT, *mlp, *samples, packed, skip_empty_tiles);                          \
  }                                                                                                               \
  extern "C" void launch_mlp_back_##FORMAT(                                                                       \
      unsigned blocks, unsigned threads, const JeanMlp* mlp, const JeanSamples* samples, const float* to_density, \
      const float* to_rgb, const uint32_t* chosen, const uint32_t* counters, const uint4* packed,                 \
      const uint4* turned, uint32_t* scratch, int64_t tile_words, int64_t first_tile, int64_t tiles,              \
      float* to_positions) {                                                                                      \
    on_cpu::launch(blocks, threads, jean_mlp_back_##FORMAT, *mlp, *samples, to_density, to_rgb, chosen, counters, \
                   packed, turned, scratch, tile_words, first_tile, tiles, to_positions);                         \
  }                                                                                                               \
  extern "C" void launch_products_##FORMAT(unsigned blocks, unsigned threads, const JeanProducts* products,       \
                                           int64_t first_tile, int64_t tiles) {                                   \
    on_cpu::launch(blocks, threads, jean_products_##FORMAT, *products, first_tile, tiles);                        \
  }
LAUNCH_MLP(half)
LAUNCH_MLP(single)

extern "C" void launch_mlp_choose(unsigned blocks, unsigned threads, const JeanSamples* samples,
                                  const float* to_density, const float* to_rgb, uint32_t* bits, uint32_t* counts,
                                  uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_mlp_choose, *samples, to_density, to_rgb, bits, counts, counters);
}

extern "C" void launch_mlp_list(unsigned blocks, unsigned threads, int64_t samples, const uint32_t* bits,
                                const uint32_t* counts, uint32_t* chosen) {
  on_cpu::launch(blocks, threads, jean_mlp_list, samples, bits, counts, chosen);
}

extern "C" void launch_products_gather(unsigned blocks, unsigned threads, const JeanProducts* products) {
  rows(products->count, blocks, threads, jean_products_gather, *products);
}

extern "C" void launch_triplane_pack(unsigned blocks, unsigned threads, const JeanField* field, uint4* packed) {
  rows(6, blocks, threads, jean_triplane_pack, *field, packed);
}

extern "C" void launch_triplane(unsigned blocks, unsigned threads, const JeanField* field, const JeanSamples* samples,
                                const uint4* packed) {
  on_cpu::launch(blocks, threads, jean_triplane, *field, *samples, packed);
}

extern "C" void launch_triplane_back(unsigned blocks, unsigned threads, const JeanField* field,
                                     const JeanSamples* samples, const float* to_density, const float* to_rgb,
                                     const uint4* packed, uint32_t* scratch, int64_t tile_words, int64_t first_tile,
                                     int64_t tiles, float* to_light, float* to_positions) {
  on_cpu::launch(blocks, threads, jean_triplane_back, *field, *samples, to_density, to_rgb, packed, scratch,
                 tile_words, first_tile, tiles, to_light, to_positions);
}

extern "C" void launch_march_hits(unsigned blocks, unsigned threads, const JeanMarch* march, unsigned char* hit) {
  on_cpu::launch(blocks, threads, jean_march_hits, *march, hit);
}

extern "C" void launch_march_edges(unsigned blocks, unsigned threads, const JeanMarch* march, const int64_t* rays,
                                   int64_t count, const float* quantiles, float* edges) {
  on_cpu::launch(blocks, threads, jean_march_edges, *march, rays, count, quantiles, edges);
}

extern "C" void launch_composite(unsigned blocks, unsigned threads, const JeanComposite* rays) {
  on_cpu::launch(blocks, threads, jean_composite, *rays);
}

extern "C" void launch_composite_backward(unsigned blocks, unsigned threads, const JeanComposite* rays,
                                          const JeanCompositeGradients* gradients) {
  on_cpu::launch(blocks, threads, jean_composite_backward, *rays, *gradients);
}

extern "C" void launch_splat_project(unsigned blocks, unsigned threads, const JeanSplats* splats, int32_t* keys) {
  on_cpu::launch(blocks, threads, jean_splat_project, *splats, keys);
}

extern "C" void launch_splat_boxes(unsigned blocks, unsigned threads, const JeanSplats* splats, uint2* boxes) {
  on_cpu::launch(blocks, threads, jean_splat_boxes, *splats, boxes);
}

// A block of a tile has a thread for every pixel.
#define LAUNCH_SPLAT(CHANNELS)                                                                                     \
  extern "C" void launch_splat_draw_##CHANNELS(unsigned blocks, unsigned threads, const JeanSplats* splats,        \
                                               const uint2* boxes) {                                               \
    on_cpu::launch(blocks * threads / PIXELS, PIXELS, jean_splat_draw_##CHANNELS, *splats, boxes);                 \
  }                                                                                                                \
  extern "C" void launch_splat_slopes_##CHANNELS(unsigned blocks, unsigned threads, const JeanSplats* splats,      \
                                                 const JeanSplatGradients* gradients, const uint2* boxes,          \
                                                 float* sums) {                                                    \
    on_cpu::launch(blocks * threads / PIXELS, PIXELS, jean_splat_slopes_##CHANNELS, *splats, *gradients, boxes,    \
                   sums);                                                                                          \
  }
LAUNCH_SPLAT(4)
LAUNCH_SPLAT(8)

extern "C" void launch_splat_project_back(unsigned blocks, unsigned threads, const JeanSplats* splats,
                                          const JeanSplatGradients* gradients, const float* sums, float* camera_sums) {
  on_cpu::launch(blocks, threads, jean_splat_project_back, *splats, *gradients, sums, camera_sums);
}
