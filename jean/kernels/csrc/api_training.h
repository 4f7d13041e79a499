// The C interface of Adam, the smoothness prior and the torso layer; a part of api.cpp.

namespace {

constexpr long ADAM_PART = 1 << 14;   // elements of a task: 64 KiB of each of the five arrays
constexpr long GRID_PART = 1 << 15;   // values of a task of the smoothness prior, in whole rows

long rows_of_part(const JeanGrid& g) {
  const long row = g.width * g.channels;
  return row >= GRID_PART ? 1 : GRID_PART / (row > 0 ? row : 1);
}

}  // namespace

// A step of Adam over all tensors. finite [1]: whether all gradients are finite.
JEAN_API int jean_adam(const JeanAdam* adam, int64_t* finite, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  struct Place {
    int tensor;
    long begin, end;
  };
  std::vector<Place> places;
  for (int i = 0; i < adam->count; ++i)
    for (long at = 0; at < adam->tensors[i].count; at += ADAM_PART) {
      const long end = at + ADAM_PART;
      places.push_back({i, at, end < adam->tensors[i].count ? end : adam->tensors[i].count});
    }
  std::atomic<int> all{1};
  share_out((long)places.size(), threads, [&](long task, int) {
    if (!k->adam(adam, places[task].tensor, places[task].begin, places[task].end)) all = 0;
  });
  *finite = all;
  return 0;
}

// sums [2]: of the squared differences of neighbours along rows, and along columns.
JEAN_API int jean_roughness(const JeanGrid* grid, void* sums, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long rows = rows_of_part(*grid), parts = (grid->height + rows - 1) / rows;
  Memory memory(2 * k->scalar_bytes * parts);
  if (memory.failed()) return FAILED;
  share_out(parts, threads, [&](long task, int) {
    const long begin = task * rows, end = begin + rows < grid->height ? begin + rows : grid->height;
    k->roughness(grid, begin, end, (char*)memory.get() + 2 * k->scalar_bytes * task);
  });
  for (int i = 0; i < 2; ++i) {
    double sum = 0;  // in a fixed order, so that the result does not depend on threads
    for (long part = 0; part < parts; ++part)
      sum += k->scalar_bytes == 4 ? ((const float*)memory.get())[2 * part + i] : ((const double*)memory.get())[2 * part + i];
    if (k->scalar_bytes == 4) {
      ((float*)sums)[i] = (float)sum;
    } else {
      ((double*)sums)[i] = sum;
    }
  }
  return 0;
}

// The gradient [height, width, channels] of factors[0] * sums[0] + factors[1] * sums[1].
JEAN_API int jean_roughness_backward(const JeanGrid* grid, const void* factors, void* out, int64_t target,
                                     int64_t threads) {
  const JeanKernels* k = table(target);
  const long rows = rows_of_part(*grid), parts = (grid->height + rows - 1) / rows;
  share_out(parts, threads, [&](long task, int) {
    const long begin = task * rows, end = begin + rows < grid->height ? begin + rows : grid->height;
    k->roughness_slopes(grid, factors, begin, end, out);
  });
  return 0;
}

namespace {

size_t torso_prepared_bytes(const JeanTorsoLayer& t, long scalar) {
  return 64 + scalar * 2l * JEAN_CHANNELS * t.hidden;
}

// Sizes of the shared tensors, as torso_widths of torso_training.h.
std::vector<long> torso_shared(const JeanTorsoLayer& t) {
  const long bend = t.bend_hidden, hidden = t.hidden, frames = t.frames;
  return {2 * bend, frames * bend, 2 * bend, 2, hidden * 2l * JEAN_CHANNELS, frames * hidden, 4 * hidden, 4};
}

}  // namespace

// Computes rgb and opacity of all pixels.
JEAN_API int jean_torso_forward(const JeanTorsoLayer* torso, const JeanTorsoPixels* pixels, int64_t target,
                                int64_t threads) {
  const JeanKernels* k = table(target);
  Memory prepared(torso_prepared_bytes(*torso, k->scalar_bytes));
  if (prepared.failed()) return FAILED;
  k->torso_prepare(torso, prepared.get());
  const long tiles = (pixels->count + JEAN_TILE - 1) / JEAN_TILE, parts = parts_of(tiles, 8);
  share_out(parts, threads, [&](long task, int) {
    const Part part(tiles, parts, task);
    k->torso_forward(prepared.get(), pixels, part.begin, part.end);
  });
  return 0;
}

// Gradients from those of rgb and opacity. Those of shared tensors go to `out`, in the order of JeanTorsoLayer; those of
// planes are added to the memory that `torso` points to. Any number of threads gives the same bits.
JEAN_API int jean_torso_backward(const JeanTorsoLayer* torso, const JeanTorsoPixels* pixels, const void* to_rgb,
                                 const void* to_opacity, void* const* out, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const long tiles = (pixels->count + JEAN_TILE - 1) / JEAN_TILE, some = parts_of(tiles, 8);
  const long shares = some > 16 ? 16 : (some > 0 ? some : 1);
  const std::vector<long> widths = torso_shared(*torso);
  long values = 0;
  for (long width : widths) values += width;
  const size_t width = whole_lines(values * k->scalar_bytes), rows = (size_t)tiles * JEAN_TILE * k->scalar_bytes;
  Memory prepared(torso_prepared_bytes(*torso, k->scalar_bytes)), sums(width * shares), at(rows * 2),
      features(rows * 2 * JEAN_CHANNELS);
  if (prepared.failed() || sums.failed() || at.failed() || features.failed()) return FAILED;
  k->torso_prepare(torso, prepared.get());
  std::vector<const void*> share(shares);
  for (long i = 0; i < shares; ++i) share[i] = (char*)sums.get() + i * width;
  share_out(shares, threads, [&](long task, int) {
    const Part part(tiles, shares, task);
    memset((void*)share[task], 0, width);
    k->torso_backward(prepared.get(), pixels, to_rgb, to_opacity, (void*)share[task], at.get(), features.get(),
                      part.begin, part.end);
  });
  share_out(3, threads, [&](long task, int) {
    if (task < 2) {
      k->torso_scatter(torso, pixels->count, (int)task, at.get(), features.get());
    } else {
      long offset = 0;
      for (size_t i = 0; i < widths.size(); offset += widths[i++])
        k->add_up(share.data(), (int)shares, offset, widths[i], out[i]);
    }
  });
  return 0;
}
