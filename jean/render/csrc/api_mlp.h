// The C interface of the paper's field; a part of api.cpp.

namespace {

size_t whole_lines(long bytes) { return (size_t)(bytes + 63) / 64 * 64; }

}  // namespace

// Values of all samples. `samples->rgb` null: densities only. thrifty: colours are left at zero in tiles without any
// density, where they make no difference to a picture. Targets and result as jean_field_forward.
JEAN_API int jean_mlp_forward(const JeanMlp* mlp, const JeanSamples* samples, int64_t thrifty, int64_t target,
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
    k->mlp_forward(prepared.get(), samples, (int)thrifty, (char*)memory.get() + worker * scratch, begin, end);
  });
  return 0;
}

// Gradients, from those of densities [count] and colours [count, 3]. Sums are made over shares whose number depends on
// the samples alone, so that any number of threads gives the same bits.
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
