// The C interface of rays through the fast field, with gradients; a part of api.cpp.

namespace {

// The rays of one block and its tiles: JEAN_TILE rays have whole tiles of samples.
struct RayPart {
  long begin, end, first_tile, last_tile;
  RayPart(const JeanRays& rays, long block) {
    const long tiles = (rays.count * rays.samples + JEAN_TILE - 1) / JEAN_TILE;
    begin = block * JEAN_TILE;
    end = begin + JEAN_TILE < rays.count ? begin + JEAN_TILE : rays.count;
    first_tile = block * rays.samples;
    last_tile = first_tile + rays.samples < tiles ? first_tile + rays.samples : tiles;
  }
};

long blocks_of(const JeanRays& rays) { return (rays.count + JEAN_TILE - 1) / JEAN_TILE; }

}  // namespace

// Colour, opacity and depth of the listed rays; those of other rays are not written. Also writes positions, frames,
// densities, colours and `saved` of the samples.
JEAN_API int jean_trace_forward(const JeanField* field, const JeanSamples* samples, const JeanRays* rays, int64_t target,
                                int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(prepared_bytes(*field, k->scalar_bytes));
  if (prepared.failed()) return FAILED;
  k->prepare(field, prepared.get());
  share_out(blocks_of(*rays), threads, [&](long task, int) {
    const RayPart part(*rays, task);
    k->place_samples(rays, samples, part.begin, part.end);
    k->forward(field, prepared.get(), samples, part.first_tile, part.last_tile, nullptr);
    k->compose_rays(rays, samples, part.begin, part.end);
  });
  return 0;
}

// Gradients from those of colour, opacity and depth; sums and planes as in jean_field_backward. If `through->edges` is
// not null, also those of edges, origins and directions (the latter two of all rays, zero before the call);
// `out->positions` is then scratch memory for the gradients of the samples' positions.
JEAN_API int jean_trace_backward(const JeanField* field, const JeanSamples* samples, const JeanRays* rays,
                                 const JeanRayGradients* through, const JeanFieldGradients* out, int64_t target,
                                 int64_t threads) {
  const JeanKernels* k = table(target);
  const size_t count = (size_t)rays->count * rays->samples;
  Memory slopes(count * 4 * k->scalar_bytes);
  if (slopes.failed()) return FAILED;
  void *to_density = slopes.get(), *to_rgb = (char*)slopes.get() + count * k->scalar_bytes;
  const long blocks = blocks_of(*rays);
  return field_slopes(field, samples, to_density, to_rgb, out, target, threads, blocks, 2, [&](long block, auto&& tiles) {
    const RayPart part(*rays, block);
    k->compose_rays_backward(rays, samples, through, to_density, to_rgb, part.begin, part.end);
    tiles(part.first_tile, part.last_tile);
    if (through->edges) k->move_rays(rays, through, out->positions, part.begin, part.end);
  });
}
