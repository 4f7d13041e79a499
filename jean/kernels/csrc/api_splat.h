// The C interface of Gaussians; a part of api.cpp. Depth order and tile lists are computed here, for every target alike.
#include "splat.h"

namespace {

constexpr long SPLAT_PART = 256;  // Gaussians of a task

// Sorts (key, index) by the key, 11 bits at a time; equal keys keep their order.
template <class Key>
struct Keyed {
  Key key;
  int32_t index;
};

template <class Key>
void radix_sort(Keyed<Key>* items, Keyed<Key>* other, long count) {
  constexpr int BITS = 11, PASSES = (8 * (int)sizeof(Key) + BITS - 1) / BITS, BUCKETS = 1 << BITS;
  std::vector<long> counts((size_t)PASSES * BUCKETS);
  for (long i = 0; i < count; ++i)
    for (int pass = 0; pass < PASSES; ++pass) ++counts[pass * BUCKETS + (items[i].key >> (pass * BITS) & (BUCKETS - 1))];
  Keyed<Key>*from = items, *to = other;
  for (int pass = 0; pass < PASSES; ++pass) {
    long* at = counts.data() + pass * BUCKETS;
    bool same = false;  // all items in one bucket
    long sum = 0;
    for (int b = 0; b < BUCKETS; ++b) {
      const long here = at[b];
      same |= here == count;
      at[b] = sum;
      sum += here;
    }
    if (same) continue;
    for (long i = 0; i < count; ++i) to[at[from[i].key >> (pass * BITS) & (BUCKETS - 1)]++] = from[i];
    Keyed<Key>* swap = from;
    from = to;
    to = swap;
  }
  if (from != items) memcpy((void*)items, (const void*)from, sizeof(Keyed<Key>) * count);
}

template <class T>
const T* record_of(const JeanSplats& s, long i) { return (const T*)s.records + i * splat_record(s.channels); }

// The visible Gaussians by depth, those of equal depth by index, then -1. Depths are positive, and so their bits have
// the order of their values.
template <class T, class Key>
bool order_by_depth(const JeanSplats& s) {
  Memory memory(2 * sizeof(Keyed<Key>) * s.count);
  if (memory.failed()) return false;
  Keyed<Key>* items = (Keyed<Key>*)memory.get();
  long visible = 0;
  const int depth = splat_record(s.channels) - 1;
  for (long i = 0; i < s.count; ++i) {
    const T* record = record_of<T>(s, i);
    if (!(record[EXTENT_X] > 0)) continue;
    memcpy(&items[visible].key, record + depth, sizeof(Key));
    items[visible++].index = (int32_t)i;
  }
  radix_sort<Key>(items, items + s.count, visible);
  for (long i = 0; i < s.count; ++i) s.order[i] = i < visible ? items[i].index : -1;
  return true;
}

// The lists of all tiles, and for gradients the places of each Gaussian's pairs.
struct Lists {
  std::vector<int64_t> start, first;
  Memory* list = nullptr;
  int across;
  ~Lists() { delete list; }

  template <class T>
  bool fill(const JeanSplats& s, bool places) {
    const int width = s.window[2], height = s.window[3];
    across = (width + SPLAT_SIDE - 1) / SPLAT_SIDE;
    const long tiles = (long)across * ((height + SPLAT_SIDE - 1) / SPLAT_SIDE);
    start.assign(tiles + 1, 0);
    if (places) first.assign(s.count + 1, 0);
    long visible = 0;
    for (; visible < s.count && s.order[visible] >= 0; ++visible) {
      const TileBox box = tiles_of(record_of<T>(s, s.order[visible]), width, height);
      if (places) first[s.order[visible] + 1] = box.count();
      for (int y = box.y0; y <= box.y1; ++y)
        for (int x = box.x0; x <= box.x1; ++x) ++start[(long)y * across + x + 1];
    }
    for (long t = 0; t < tiles; ++t) start[t + 1] += start[t];
    if (places)
      for (long i = 0; i < s.count; ++i) first[i + 1] += first[i];
    list = new (std::nothrow) Memory(sizeof(int32_t) * start[tiles]);
    if (!list || list->failed()) return false;
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    int32_t* to = (int32_t*)list->get();
    for (long k = 0; k < visible; ++k) {
      const TileBox box = tiles_of(record_of<T>(s, s.order[k]), width, height);
      for (int y = box.y0; y <= box.y1; ++y)
        for (int x = box.x0; x <= box.x1; ++x) to[next[(long)y * across + x]++] = s.order[k];
    }
    return true;
  }
  long tiles() const { return (long)start.size() - 1; }
  JeanTileLists view() const { return {start.data(), (const int32_t*)list->get(), first.data(), across}; }
};

bool fill_lists(const JeanKernels* k, const JeanSplats& s, Lists& lists, bool places) {
  return k->scalar_bytes == 4 ? lists.fill<float>(s, places) : lists.fill<double>(s, places);
}

}  // namespace

// Rasterises Gaussians: records, order, radii and the three pictures.
JEAN_API int jean_splat(const JeanSplats* splats, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const JeanSplats& s = *splats;
  const long parts = parts_of(s.count, SPLAT_PART);
  share_out(parts, threads, [&](long task, int) {
    const Part part(s.count, parts, task);
    k->splat_project(splats, part.begin, part.end);
  });
  Lists lists;
  const bool ordered = k->scalar_bytes == 4 ? order_by_depth<float, uint32_t>(s) : order_by_depth<double, uint64_t>(s);
  if (!ordered || !fill_lists(k, s, lists, false)) return FAILED;
  const JeanTileLists view = lists.view();
  share_out(lists.tiles(), threads, [&](long tile, int) { k->splat_draw(splats, &view, tile, tile + 1); });
  return 0;
}

// Gradients of all inputs. Each pair of a Gaussian and a tile has its own sums, and they are added in the order of the
// tiles. So any number of threads gives the same bits.
JEAN_API int jean_splat_backward(const JeanSplats* splats, const JeanSplatGradients* out, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const JeanSplats& s = *splats;
  Lists lists;
  if (!fill_lists(k, s, lists, true)) return FAILED;
  const long parts = parts_of(s.count, SPLAT_PART);
  Memory pairs((size_t)lists.first[s.count] * 16 * k->scalar_bytes), sums((size_t)parts * 15 * k->scalar_bytes);
  if (pairs.failed() || sums.failed()) return FAILED;
  const JeanTileLists view = lists.view();
  share_out(lists.tiles(), threads,
            [&](long tile, int) { k->splat_slopes(splats, &view, out, pairs.get(), tile, tile + 1); });
  share_out(parts, threads, [&](long task, int) {
    const Part part(s.count, parts, task);
    k->splat_project_backward(splats, out, lists.first.data(), pairs.get(), part.begin, part.end,
                              (char*)sums.get() + task * 15 * k->scalar_bytes);
  });
  for (int i = 0; i < 15; ++i) {
    double sum = 0;
    for (long part = 0; part < parts; ++part)
      sum += k->scalar_bytes == 4 ? ((const float*)sums.get())[15 * part + i] : ((const double*)sums.get())[15 * part + i];
    void* to = i < 12 ? out->world_to_camera : out->intrinsics;
    const int at = i < 12 ? i : i - 12;
    if (k->scalar_bytes == 4) {
      ((float*)to)[at] = (float)sum;
    } else {
      ((double*)to)[at] = sum;
    }
  }
  return 0;
}
