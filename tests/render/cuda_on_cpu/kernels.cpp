// The CUDA kernels compiled for a processor, with launches of their own.
#include "mlp.cu"
#include "picture.cu"
#include "rays.cu"

namespace {

// One layer of one warp: y [32, 32] = bias + x [32, 64] · wᵀ, and each lane's own y · head.
void one_layer(const float* x, const float* w, const float* bias, const float* head, float* y, float* own) {
  static uint4 packed[2 * 4 * 32];
  pack_weights(w, 64, [](int i) { return i; }, 32, 64, packed, (int)threadIdx.x, (int)blockDim.x);
  __syncthreads();
  const int group = lane_number() / 4;
  Rows<4> rows;
  for (int block = 0; block < 4; ++block) {
    float values[4][4];
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 4; ++i) values[r][i] = x[(group + 8 * r) * 64 + channel_of(block) + i];
    rows.put(block, values);
  }
  float sums[4] = {};
  layer<4, 2>(rows, packed, [&](int) { return bias; }, [&](int block, float (*values)[4]) {
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 4; ++i) y[(group + 8 * r) * 32 + channel_of(block) + i] = values[r][i];
    add_dot(values, head, block, sums);
  });
  own[group + 8 * (lane_number() % 4)] = own_sum(sums);
}

}  // namespace

extern "C" void launch_layer(const float* x, const float* w, const float* bias, const float* head, float* y,
                             float* own) {
  on_cpu::launch(1, 32, one_layer, x, w, bias, head, y, own);
}

extern "C" void launch_march(unsigned blocks, unsigned threads, const JeanMarch* march, const JeanPicture* out,
                             float* edges, uint32_t* list, uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_march, *march, *out, edges, list, counters);
}

extern "C" void launch_picture(unsigned blocks, unsigned threads, const JeanField* field, const JeanMarch* march,
                               const JeanPicture* out, const float* edges, const uint32_t* list, uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_picture, *field, *march, *out, edges, list, counters);
}

extern "C" void launch_mlp_pack(unsigned blocks, unsigned threads, const JeanMlp* mlp, uint4* packed) {
  for (int layer = 0; layer < mlp->layers; ++layer) {
    on_cpu::row = (unsigned)layer;
    on_cpu::launch(blocks, threads, jean_mlp_pack, *mlp, packed);
  }
  on_cpu::row = 0;
}

extern "C" void launch_mlp(unsigned blocks, unsigned threads, const JeanMlp* mlp, const JeanSamples* samples,
                           const uint4* packed) {
  on_cpu::launch(blocks, threads, jean_mlp, *mlp, *samples, packed);
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
