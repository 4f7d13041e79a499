// Warp primitives for matrix products: 32 samples at a time go through layers whose values never leave the registers.
// tests/helpers/cuda_on_cpu implements the same primitives for the CPU, so that kernels are tested without a GPU.
#pragma once
#include "mathematics.h"

#if defined(__CUDACC_RTC__)

#define JEAN_KERNEL extern "C" __global__
#define JEAN_CALLED __device__ __noinline__

namespace {

constexpr unsigned EVERY_LANE = 0xffffffffu;

JEAN_FN int lane_number() { return (int)(threadIdx.x & 31u); }
// The value that another lane holds; all lanes take part.
template <class T>
JEAN_FN T from_lane(T value, int lane) { return __shfl_sync(EVERY_LANE, value, lane); }
template <class T>
JEAN_FN T from_opposite(T value, int mask) { return __shfl_xor_sync(EVERY_LANE, value, mask); }
// One bit per lane.
JEAN_FN unsigned lanes_with(bool yes) { return __ballot_sync(EVERY_LANE, yes); }
JEAN_FN int count_bits(unsigned bits) { return __popc(bits); }
JEAN_FN int lowest_bit(unsigned bits) { return __ffs((int)bits) - 1; }
JEAN_FN unsigned bits_of(float value) { return __float_as_uint(value); }
JEAN_FN float float_of(unsigned bits) { return __uint_as_float(bits); }

// Adds four numbers atomically to four neighbours in memory, aligned to 16 bytes.
JEAN_FN void add_four(float* at, const float* values) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};"
               :
               : "l"(at), "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3])
               : "memory");
#else
  for (int i = 0; i < 4; ++i) atomicAdd(at + i, values[i]);
#endif
}

// Two numbers in half precision, the first in the lower bits: bf16, or fp16 (limited to its
// range) on GPUs before sm_80.
JEAN_FN unsigned pack(float low, float high) {
  unsigned packed;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
#else
  unsigned short a, b;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(a) : "f"(clamp(low, -65504.0f, 65504.0f)));
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(b) : "f"(clamp(high, -65504.0f, 65504.0f)));
  packed = (unsigned)a | (unsigned)b << 16;
#endif
  return packed;
}
// The first of two such numbers.
JEAN_FN float first_of(unsigned packed) {
#if __CUDA_ARCH__ >= 800
  return float_of(packed << 16);
#else
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((unsigned short)packed));
  return value;
#endif
}

// d [16, 8] += a [16, 16] · b [16, 8] on the tensor cores, in the register layout of the PTX manual
// ("Matrix Fragments for mma.m16n8k16"): with g = lane / 4 and t = lane % 4, a holds rows g and g + 8 at
// columns 2t, 2t + 1, then both rows at 2t + 8, 2t + 9; b the same two pairs of rows of column g; d rows g
// and g + 8 at columns 2t, 2t + 1.
JEAN_FN void multiply_add(float* d, const unsigned* a, unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

#if __CUDA_ARCH__ >= 800
#define JEAN_TF32

// A number rounded to tf32, the tensor cores' format for single precision.
JEAN_FN float round_tf32(float value) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return float_of(rounded);
}

// d [16, 8] += a [16, 8] · b [8, 8] of such numbers ("Matrix Fragments for mma.m16n8k8"): a holds rows g and g + 8 at
// column t, then both at t + 4; b rows t and t + 4 of column g; d as above.
JEAN_FN void multiply_add_tf32(float* d, const float* a, float b0, float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(bits_of(a[0])), "r"(bits_of(a[1])), "r"(bits_of(a[2])), "r"(bits_of(a[3])), "r"(bits_of(b0)),
        "r"(bits_of(b1)));
}
#endif

}  // namespace

#else
#include "on_cpu.h"
#endif

namespace {

JEAN_FN long thread_number() { return (long)blockIdx.x * blockDim.x + threadIdx.x; }

}  // namespace
