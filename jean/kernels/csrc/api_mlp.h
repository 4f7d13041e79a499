// The C interface of the paper's field; a part of api.cpp.

namespace {

size_t whole_lines(long bytes) { return (size_t)(bytes + 63) / 64 * 64; }

}  // namespace

// Values of all samples. `samples->rgb` null: densities only. skip_empty_tiles: colours stay zero in tiles without
// density, which an image does not show. Targets and result as jean_field_forward.
JEAN_API int jean_mlp_forward(const JeanMlp* mlp, const JeanSamples* samples, int64_t skip_empty_tiles, int64_t target,
                              int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(k->mlp_prepared_bytes(mlp, 0));
  if (prepared.failed()) return FAILED;
  k->mlp_prepare(mlp, 0, prepared.get());
  const size_t scratch = whole_lines(k->mlp_tile_bytes(prepared.get(), 0));
  Memory memory(scratch * (threads > 0 ? threads : 1));
  if (memory.failed()) return FAILED;
  const long size = 16 * JEAN_TILE, parts = (samples->count + size - 1) / size;
  share_out(parts, threads, [&](long task, int worker) {
    const long begin = task * size, end = begin + size < samples->count ? begin + size : samples->count;
    k->mlp_forward(prepared.get(), samples, (int)skip_empty_tiles, (char*)memory.get() + worker * scratch, begin, end);
  });
  return 0;
}

// Gradients from those of densities [count] and colours [count, 3]. The number of partial sums depends on the samples
// alone, so any number of threads gives the same bits.
JEAN_API int jean_mlp_backward(const JeanMlp* mlp, const JeanSamples* samples, const void* to_density,
                               const void* to_rgb, const JeanMlpGradients* out, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(k->mlp_prepared_bytes(mlp, 1)), numbers(samples->count * sizeof(int64_t));
  if (prepared.failed() || numbers.failed()) return FAILED;
  k->mlp_prepare(mlp, 1, prepared.get());
  int64_t* chosen = (int64_t*)numbers.get();
  const long count = k->mlp_choose(samples, to_density, to_rgb, chosen);
  const long some = parts_of(count, 16 * JEAN_TILE), shares = some > 32 ? 32 : (some > 0 ? some : 1);
  const size_t scratch = whole_lines(k->mlp_tile_bytes(prepared.get(), 1)),
               width = whole_lines(k->mlp_sums_bytes(prepared.get()));
  Memory memory(scratch * (threads > 0 ? threads : 1)), sums(width * shares);
  if (memory.failed() || sums.failed()) return FAILED;
  std::vector<void*> at(shares);
  for (long i = 0; i < shares; ++i) at[i] = (char*)sums.get() + i * width;
  share_out(shares, threads, [&](long task, int worker) {
    const Part part(count, shares, task);
    memset(at[task], 0, width);
    k->mlp_backward(prepared.get(), samples, chosen, to_density, to_rgb, at[task], out->positions,
                    (char*)memory.get() + worker * scratch, part.begin, part.end);
  });
  share_out(mlp->layers + 1, threads,
            [&](long task, int) { k->mlp_gather(prepared.get(), at.data(), (int)shares, (int)task, out); });
  return 0;
}

namespace {

constexpr int MLP_RAYS = 256;  // rays per block, which advance together

// The state of a ray, and the memory of one worker for all rays of a block.
struct MlpRay {
  int64_t number;
  float light;
  const float* edges;
};

struct MlpBlock {
  MlpRay rays[MLP_RAYS];
  int64_t hit[MLP_RAYS];
  float positions[3 * MLP_RAYS], density[MLP_RAYS], rgb[3 * MLP_RAYS];
  float edges[1];  // [MLP_RAYS, samples + 1]
};

// The rays of one block: first those that hit occupied cells, then their samples front to back, one sample of each ray at
// a time, until the transmittance falls below the minimum.
void follow(const JeanKernels* k, const void* prepared, const JeanMarch& m, const JeanPicture& out, void* tile,
            MlpBlock& block, long begin, long end) {
  unsigned char* hit = (unsigned char*)block.density;  // reused before densities are written
  k->hits(&m, hit - begin, begin, end);
  int alive = 0;
  for (long r = begin; r < end; ++r) {
    for (int c = 0; c < 3; ++c) out.colour[3 * r + c] = 0.0f;
    out.opacity[r] = out.depth[r] = 0.0f;
    if (hit[r - begin]) block.hit[alive++] = r;
  }
  k->edges(&m, block.hit, nullptr, block.edges, 0, alive);
  for (int i = 0; i < alive; ++i) block.rays[i] = {block.hit[i], 1.0f, block.edges + (long)i * (m.samples + 1)};
  for (int s = 0; s < m.samples && alive; ++s) {
    for (int i = 0; i < alive; ++i) {
      const MlpRay& ray = block.rays[i];
      const float* edge = ray.edges + s;
      for (int axis = 0; axis < 3; ++axis)
        block.positions[3 * i + axis] =
            m.origins[3 * ray.number + axis] + m.directions[3 * ray.number + axis] * ((edge[1] + edge[0]) / 2.0f);
    }
    const JeanSamples samples = {alive, block.positions, nullptr, block.density, block.rgb, nullptr};
    k->mlp_forward(prepared, &samples, 1, tile, 0, alive);
    int kept = 0;
    for (int i = 0; i < alive; ++i) {
      MlpRay ray = block.rays[i];
      const float* edge = ray.edges + s;
      const float passed = expf(-block.density[i] * (edge[1] - edge[0])), weight = ray.light * (1.0f - passed);
      ray.light *= passed;
      for (int c = 0; c < 3; ++c) out.colour[3 * ray.number + c] += weight * block.rgb[3 * i + c];
      out.opacity[ray.number] += weight;
      out.depth[ray.number] += weight * ((edge[1] + edge[0]) / 2.0f);
      // a NaN continues to the last sample
      if (!(ray.light < out.min_transmittance) && edge[1] != ray.edges[m.samples]) block.rays[kept++] = ray;
    }
    alive = kept;
  }
}

}  // namespace

// Renders rays through the paper's field of one frame, with samples in occupied cells of the sampling grid.
JEAN_API int jean_mlp_picture(const JeanMlp* mlp, const JeanMarch* march, const JeanPicture* out, int64_t target,
                              int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(k->mlp_prepared_bytes(mlp, 0));
  if (prepared.failed()) return FAILED;
  k->mlp_prepare(mlp, 0, prepared.get());
  const size_t tile = whole_lines(k->mlp_tile_bytes(prepared.get(), 0)),
               block = whole_lines(sizeof(MlpBlock) + MLP_RAYS * (march->samples + 1) * sizeof(float));
  Memory memory((tile + block) * (threads > 0 ? threads : 1));
  if (memory.failed()) return FAILED;
  share_out((march->rays + MLP_RAYS - 1) / MLP_RAYS, threads, [&](long task, int worker) {
    const long begin = task * MLP_RAYS, end = begin + MLP_RAYS < march->rays ? begin + MLP_RAYS : march->rays;
    char* own = (char*)memory.get() + worker * (tile + block);
    follow(k, prepared.get(), *march, *out, own, *(MlpBlock*)(own + tile), begin, end);
  });
  return 0;
}
