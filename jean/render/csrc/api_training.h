// The C interface of what a training step does beside the fields; a part of api.cpp.

namespace {

constexpr long ADAM_PART = 1 << 14;   // elements of a task: 64 KiB of each of the five arrays
constexpr long GRID_PART = 1 << 15;   // values of a task of the smoothness prior, in whole rows

long rows_of_part(const JeanGrid& g) {
  const long row = g.width * g.channels;
  return row >= GRID_PART ? 1 : GRID_PART / (row > 0 ? row : 1);
}

}  // namespace

// A step of Adam over all tensors. finite [1]: whether all gradients are.
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
    double sum = 0;  // in the parts' order, whatever thread made them
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
