// Emulates a GPU on the CPU, for tests: the source of the kernels runs here lane by lane. Each thread of a block is a
// fiber. Where lanes of a warp exchange values, a fiber waits until all 32 have arrived, all for the same reason. Blocks
// run one after another. Matrix products follow the register layout of the PTX manual and round to bf16, or to fp16 with
// JEAN_ON_CPU_FP16, as GPUs do.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <vector>

#define JEAN_KERNEL static
#define JEAN_CALLED static
#if !defined(JEAN_ON_CPU_FP16)
#define JEAN_TF32  // GPUs with bf16 (from sm_80 on) have tf32 too
#endif
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static

struct uint2 {
  unsigned x, y;
};
struct uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
static inline uint2 make_uint2(unsigned x, unsigned y) { return uint2{x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4{x, y, z, w}; }
static inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
struct Dimensions {
  unsigned x, y, z;
};
static Dimensions threadIdx, blockIdx, blockDim, gridDim;

namespace on_cpu {

struct Fiber {
  ucontext_t context;  // to begin with; later switches go without the system's help, which is ten times as fast
  jmp_buf place;
  std::vector<char> stack;
  unsigned number, meetings = 0, barriers = 0;
  bool begun = false, done = false;
};
struct Warp {
  unsigned char slot[2][32][64];
  const char* reason[2];
  unsigned arrived[2] = {0, 0}, meetings = 0;
};

static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static jmp_buf scheduled;
static Fiber* current;
static unsigned long progress;
static unsigned barrier_arrived, barriers, row;  // row: the y of the block that runs
static const std::function<void()>* body;

static inline void fail(const char* message, const char* more) {
  fprintf(stderr, "a GPU would hang or fail here: %s %s\n", message, more);
  abort();
}

static void enter() {
  (*body)();
  current->done = true;
  ++progress;
  _longjmp(scheduled, 1);
}

static inline void wait() {
  if (!_setjmp(current->place)) _longjmp(scheduled, 1);
}

static void go_on(Fiber& fiber) {
  if (_setjmp(scheduled)) return;
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}

// Gives `bytes` of this lane to its warp; returns the 32 lanes' slots of 64 bytes.
static inline const unsigned char (*meet(const char* reason, const void* data, size_t bytes))[64] {
  Warp& warp = warps[threadIdx.x / 32];
  const int turn = current->meetings++ & 1;
  memcpy(warp.slot[turn][threadIdx.x % 32], data, bytes);
  if (warp.arrived[turn] == 0) warp.reason[turn] = reason;
  if (strcmp(warp.reason[turn], reason) != 0) fail("lanes of a warp part ways:", reason);
  if (++warp.arrived[turn] == 32) {
    warp.arrived[turn] = 0;
    ++warp.meetings;
    ++progress;
  }
  while (warp.meetings < current->meetings) wait();
  return warp.slot[turn];
}

static void run_block(unsigned block, const std::function<void()>& kernel) {
  body = &kernel;
  fibers.assign(blockDim.x, Fiber());
  warps.assign(blockDim.x / 32, Warp());
  barrier_arrived = barriers = 0;
  blockIdx = {block, row, 0};
  for (unsigned i = 0; i < blockDim.x; ++i) {
    Fiber& fiber = fibers[i];
    fiber.number = i;
    fiber.stack.resize(256 * 1024);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool running = true; running;) {
    running = false;
    const unsigned long before = progress;
    for (Fiber& fiber : fibers) {
      if (fiber.done) continue;
      running = true;
      current = &fiber;
      threadIdx = {fiber.number, 0, 0};
      go_on(fiber);
    }
    if (running && progress == before) fail("threads wait for others that do not come", "");
  }
}

template <class Kernel, class... Arguments>
void launch(unsigned blocks, unsigned threads, Kernel kernel, Arguments... arguments) {
  blockDim = {threads, 1, 1};
  gridDim = {blocks, 1, 1};
  for (unsigned block = 0; block < blocks; ++block) run_block(block, [&] { kernel(arguments...); });
}

static inline unsigned short half_bits(float value) {
#if defined(JEAN_ON_CPU_FP16)
  const _Float16 half = (_Float16)(value < -65504.0f ? -65504.0f : value > 65504.0f ? 65504.0f : value);
  unsigned short bits;
  memcpy(&bits, &half, 2);
  return bits;
#else
  unsigned bits;
  memcpy(&bits, &value, 4);
  if (value != value) return 0x7fff;
  return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}

static inline float from_half(unsigned short bits) {
#if defined(JEAN_ON_CPU_FP16)
  _Float16 half;
  memcpy(&half, &bits, 2);
  return (float)half;
#else
  const unsigned wide = (unsigned)bits << 16;
  float value;
  memcpy(&value, &wide, 4);
  return value;
#endif
}

}  // namespace on_cpu

static inline void __syncthreads() {
  const unsigned mine = ++on_cpu::current->barriers;
  if (++on_cpu::barrier_arrived == blockDim.x) {
    on_cpu::barrier_arrived = 0;
    ++on_cpu::barriers;
    ++on_cpu::progress;
  }
  while (on_cpu::barriers < mine) on_cpu::wait();
}

static inline void __syncwarp() {}  // lanes meet where they exchange values

template <class T>
static inline T __ldg(const T* at) { return *at; }
template <class T>
static inline T atomicAdd(T* at, T value) {
  const T before = *at;
  *at += value;
  return before;
}

template <class T>
static inline T atomicMax(T* at, T value) {
  const T before = *at;
  *at = before < value ? value : before;
  return before;
}

namespace {

inline unsigned bits_of(float value) {
  unsigned bits;
  memcpy(&bits, &value, 4);
  return bits;
}
inline float float_of(unsigned bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
inline int lane_number() { return (int)(threadIdx.x % 32); }
template <class T>
inline T from_lane(T value, int lane) {
  T found;
  memcpy(&found, on_cpu::meet("from_lane", &value, sizeof(T))[lane], sizeof(T));
  return found;
}
template <class T>
inline T from_opposite(T value, int mask) {
  T found;
  memcpy(&found, on_cpu::meet("from_opposite", &value, sizeof(T))[lane_number() ^ mask], sizeof(T));
  return found;
}
inline unsigned lanes_with(bool yes) {
  const auto slots = on_cpu::meet("lanes_with", &yes, 1);
  unsigned bits = 0;
  for (int lane = 0; lane < 32; ++lane) bits |= (unsigned)(slots[lane][0] != 0) << lane;
  return bits;
}
inline void add_four(float* at, const float* values) {
  for (int i = 0; i < 4; ++i) at[i] += values[i];
}
inline int count_bits(unsigned bits) { return __builtin_popcount(bits); }
inline int lowest_bit(unsigned bits) { return __builtin_ffs((int)bits) - 1; }
inline unsigned pack(float low, float high) {
  return (unsigned)on_cpu::half_bits(low) | (unsigned)on_cpu::half_bits(high) << 16;
}
inline float first_of(unsigned packed) { return on_cpu::from_half((unsigned short)packed); }

// Element (row, column) of the tile a, and of b, is where the manual says.
inline void multiply_add(float* d, const unsigned* a, unsigned b0, unsigned b1) {
  const unsigned mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const auto slots = on_cpu::meet("multiply_add", mine, sizeof(mine));
  const auto element = [&](int lane, int word, int half) {
    unsigned bits;
    memcpy(&bits, slots[lane] + 4 * word, 4);
    return on_cpu::from_half((unsigned short)(bits >> 16 * half));
  };
  const int group = lane_number() / 4, pair = lane_number() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + (i < 2 ? 0 : 8), column = 2 * pair + i % 2;
    float sum = d[i];
    for (int k = 0; k < 16; ++k)
      sum += element(row % 8 * 4 + k % 8 / 2, (row >= 8) + 2 * (k >= 8), k % 2) *
             element(column * 4 + k % 8 / 2, 4 + (k >= 8), k % 2);
    d[i] = sum;
  }
}

#if defined(JEAN_TF32)
inline float round_tf32(float value) { return value != value ? value : float_of((bits_of(value) + 0x1000u) & ~0x1fffu); }

// Other digits are cut off, as on a GPU.
inline void multiply_add_tf32(float* d, const float* a, float b0, float b1) {
  const float mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const auto slots = on_cpu::meet("multiply_add_tf32", mine, sizeof(mine));
  const auto element = [&](int lane, int word) {
    unsigned bits;
    memcpy(&bits, slots[lane] + 4 * word, 4);
    return float_of(bits & ~0x1fffu);
  };
  const int group = lane_number() / 4, pair = lane_number() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + (i < 2 ? 0 : 8), column = 2 * pair + i % 2;
    for (int k = 0; k < 8; ++k)
      d[i] += element(row % 8 * 4 + k % 4, (row >= 8) + 2 * (k >= 4)) * element(column * 4 + k % 4, 4 + (k >= 4));
  }
}
#endif

}  // namespace
