// The C interface of Gaussians; a part of api.cpp. Depth order and tile lists are computed here, for every target alike.
#include "splat.h"

namespace {

constexpr long SPLAT_PART = 256;               // Gaussians of a task
constexpr size_t KEPT_BYTES = (size_t)64 << 20;  // larger memory is given back after the call

// Memory that stays with the calling thread between calls: the pages of fresh memory cost as much as a small picture.
// One call at a time uses each slot.
class Scratch {
 public:
  Scratch(int slot, size_t bytes) : kept_(kept(slot)) {
    if (kept_.bytes >= bytes) return;
    kept_.release();
    kept_.at = ::operator new(bytes + bytes / 4 + 64, std::nothrow);
    if (kept_.at) kept_.bytes = bytes + bytes / 4;
    failed_ = !kept_.at;
  }
  ~Scratch() {
    if (kept_.bytes > KEPT_BYTES) kept_.release();
  }
  Scratch(const Scratch&) = delete;
  template <class T>
  T* get() const { return (T*)(((uintptr_t)kept_.at + 63) & ~(uintptr_t)63); }
  bool failed() const { return failed_; }

 private:
  struct Kept {
    void* at = nullptr;
    size_t bytes = 0;
    void release() {
      ::operator delete(at);
      at = nullptr;
      bytes = 0;
    }
    ~Kept() { release(); }
  };
  static Kept& kept(int slot) {
    static thread_local Kept all[8];
    return all[slot];
  }
  Kept& kept_;
  bool failed_ = false;
};
enum { BOXES, ITEMS, ORDERED, STARTS, LISTED, FIRSTS, PAIRS };

// Sorts (key, index) by the key, 11 bits at a time; equal keys keep their order.
template <class Key>
struct Keyed {
  Key key;
  int32_t index;
};

template <class Key>
void radix_sort(Keyed<Key>* items, Keyed<Key>* other, long count) {
  constexpr int BITS = 11, PASSES = (8 * (int)sizeof(Key) + BITS - 1) / BITS, BUCKETS = 1 << BITS;
  uint32_t counts[PASSES * BUCKETS] = {};
  for (long i = 0; i < count; ++i)
    for (int pass = 0; pass < PASSES; ++pass) ++counts[pass * BUCKETS + (items[i].key >> (pass * BITS) & (BUCKETS - 1))];
  Keyed<Key>*from = items, *to = other;
  for (int pass = 0; pass < PASSES; ++pass) {
    uint32_t *at = counts + pass * BUCKETS, sum = 0;
    bool same = false;  // all items in one bucket
    for (int b = 0; b < BUCKETS; ++b) {
      const uint32_t here = at[b];
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

// The visible Gaussians by depth, those of equal depth by index, then -1. Depths are positive, and so their bits have
// the order of their values. Returns whether there was memory.
template <class T, class Key>
bool order_by_depth(const JeanSplats& s) {
  Scratch memory(ITEMS, 2 * sizeof(Keyed<Key>) * s.count);
  if (memory.failed()) return false;
  Keyed<Key>* items = memory.get<Keyed<Key>>();
  long visible = 0;
  const int record = splat_record(s.channels);
  for (long i = 0; i < s.count; ++i) {
    const T* at = (const T*)s.records + i * record;
    memcpy(&items[visible].key, at + record - 1, sizeof(Key));
    items[visible].index = (int32_t)i;
    visible += at[EXTENT_X] > 0;
  }
  radix_sort<Key>(items, items + s.count, visible);
  for (long i = 0; i < visible; ++i) s.order[i] = items[i].index;
  for (long i = visible; i < s.count; ++i) s.order[i] = -1;
  return true;
}

// The lists of all tiles. Each thread fills those of a band of tile rows: the lists do not depend on the bands.
class SplatLists {
 public:
  SplatLists(const JeanSplats& s)
      : across((s.window[2] + SPLAT_SIDE - 1) / SPLAT_SIDE),
        down((s.window[3] + SPLAT_SIDE - 1) / SPLAT_SIDE),
        boxes_(BOXES, sizeof(JeanTileBox) * s.count) {}
  const int across, down;

  bool failed() const { return boxes_.failed(); }
  JeanTileBox* boxes() const { return boxes_.get<JeanTileBox>(); }
  long tiles() const { return (long)across * down; }

  // Calls use(lists) after filling them; returns whether there was memory.
  template <class Use>
  bool fill(const JeanSplats& s, int64_t threads, const Use& use) {
    struct Placed {
      JeanTileBox box;
      int32_t index;
    };
    Scratch ordered(ORDERED, sizeof(Placed) * s.count), starts(STARTS, sizeof(int64_t) * (2 * tiles() + 1));
    if (ordered.failed() || starts.failed()) return false;
    Placed* placed = ordered.get<Placed>();
    int64_t *start = starts.get<int64_t>(), *next = start + tiles() + 1;
    long visible = 0;
    for (; visible < s.count && s.order[visible] >= 0; ++visible)
      placed[visible] = {boxes()[s.order[visible]], s.order[visible]};
    memset(start, 0, sizeof(int64_t) * (tiles() + 1));
    const long bands = threads < down ? (threads > 0 ? threads : 1) : down;
    const auto each = [&](const auto& work) {
      share_out(bands, threads, [&](long task, int) {
        const Part rows(down, bands, task);
        for (long k = 0; k < visible; ++k) {
          const JeanTileBox& box = placed[k].box;
          const long from = box.y0 > rows.begin ? box.y0 : rows.begin, to = box.y1 < rows.end ? box.y1 + 1 : rows.end;
          for (long y = from; y < to; ++y)
            for (long x = box.x0; x <= box.x1; ++x) work(y * across + x, placed[k].index);
        }
      });
    };
    each([&](long tile, int32_t) { ++start[tile + 1]; });
    for (long t = 0; t < tiles(); ++t) {
      start[t + 1] += start[t];
      next[t] = start[t];
    }
    Scratch list(LISTED, sizeof(int32_t) * start[tiles()]);
    if (list.failed()) return false;
    int32_t* to = list.get<int32_t>();
    each([&](long tile, int32_t index) { to[next[tile]++] = index; });
    use(JeanTileLists{start, to, nullptr, boxes(), across});
    return true;
  }

 private:
  Scratch boxes_;
};

// Runs work(begin, end, task) over parts of the Gaussians.
template <class Work>
void each_part(const JeanSplats& s, int64_t threads, const Work& work) {
  const long parts = parts_of(s.count, SPLAT_PART);
  share_out(parts, threads, [&](long task, int) {
    const Part part(s.count, parts, task);
    work(part.begin, part.end, task);
  });
}

// Projects and orders the Gaussians, then calls use(lists).
template <class Use>
int lay_out_splats(const JeanKernels* k, const JeanSplats& s, int64_t threads, const Use& use) {
  SplatLists lists(s);
  if (lists.failed()) return FAILED;
  each_part(s, threads, [&](long begin, long end, long) { k->splat_project(&s, lists.boxes(), begin, end); });
  const bool ordered = k->scalar_bytes == 4 ? order_by_depth<float, uint32_t>(s) : order_by_depth<double, uint64_t>(s);
  return ordered && lists.fill(s, threads, use) ? 0 : FAILED;
}

}  // namespace

// Rasterises Gaussians: records, order, radii and the three pictures.
JEAN_API int jean_splat(const JeanSplats* splats, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  return lay_out_splats(k, *splats, threads, [&](const JeanTileLists& lists) {
    const long tiles = (long)lists.across * ((splats->window[3] + SPLAT_SIDE - 1) / SPLAT_SIDE);
    share_out(tiles, threads, [&](long tile, int) { k->splat_draw(splats, &lists, tile, tile + 1); });
  });
}

// Gradients of all inputs. Each pair of a Gaussian and a tile has its own sums, and they are added in the order of the
// tiles. So any number of threads gives the same bits.
JEAN_API int jean_splat_backward(const JeanSplats* splats, const JeanSplatGradients* out, int64_t target, int64_t threads) {
  const JeanKernels* k = table(target);
  const JeanSplats& s = *splats;
  const size_t scalar = k->scalar_bytes;
  const long parts = parts_of(s.count, SPLAT_PART);
  SplatLists lists(s);
  Scratch firsts(FIRSTS, sizeof(int64_t) * (s.count + 1) + 15 * scalar * parts + 64);
  if (lists.failed() || firsts.failed()) return FAILED;
  int64_t* first = firsts.get<int64_t>();
  char* sums = (char*)(first + s.count + 1);
  each_part(s, threads, [&](long begin, long end, long) { k->splat_boxes(splats, lists.boxes(), begin, end); });
  first[0] = 0;
  for (long i = 0; i < s.count; ++i) first[i + 1] = first[i] + tile_count(lists.boxes()[i]);
  Scratch pairs(PAIRS, (size_t)first[s.count] * 16 * scalar);
  if (pairs.failed()) return FAILED;
  const bool filled = lists.fill(s, threads, [&](JeanTileLists view) {
    view.first = first;
    share_out(lists.tiles(), threads,
              [&](long tile, int) { k->splat_slopes(splats, &view, out, pairs.get<void>(), tile, tile + 1); });
  });
  if (!filled) return FAILED;
  each_part(s, threads, [&](long begin, long end, long task) {
    k->splat_project_backward(splats, out, first, pairs.get<void>(), begin, end, sums + task * 15 * scalar);
  });
  for (int i = 0; i < 15; ++i) {
    double sum = 0;
    for (long part = 0; part < parts; ++part)
      sum += scalar == 4 ? ((const float*)sums)[15 * part + i] : ((const double*)sums)[15 * part + i];
    void* to = i < 12 ? out->world_to_camera : out->intrinsics;
    const int at = i < 12 ? i : i - 12;
    if (scalar == 4) {
      ((float*)to)[at] = (float)sum;
    } else {
      ((double*)to)[at] = sum;
    }
  }
  return 0;
}
