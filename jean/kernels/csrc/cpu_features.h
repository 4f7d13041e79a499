// Instruction sets that this process may use, by CPUID: compilers know new instruction sets years after users have them.
#pragma once
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace {

#if defined(__x86_64__)
// Whether the system saves the registers of these states when threads change (XGETBV): 2 and 4 are vectors of up to
// 32 bytes, 0xE0 those of 64 bytes. Compiler builtins are not used, since some do not check this.
bool system_keeps(unsigned states) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1u)) return false;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & states) == states;
}

// Bits of leaf 7, EBX.
bool has_bits(unsigned wanted) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & wanted) == wanted;
}

// AVX2 and BMI2, and in leaf 1 AVX and FMA.
bool has_avx2() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 28 & 1u) || !(c >> 12 & 1u)) return false;
  return system_keeps(0x6u) && has_bits(1u << 5 | 1u << 8);
}

// F, DQ, BW and VL.
bool has_avx512() { return has_avx2() && system_keeps(0xE6u) && has_bits(1u << 16 | 1u << 17 | 1u << 30 | 1u << 31); }

// Products of bf16 pairs: leaf 7.1, bit 5 of EAX.
bool has_avx512bf16() {
  unsigned a, b, c, d;
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1u);
}

// AMX with bf16: leaf 7, bits 22 and 24 of EDX, and the permission of Linux to use the tiles' 8 kB of state
// (ARCH_REQ_XCOMP_PERM of state 18), which is requested for the whole process.
bool has_amx() {
#if defined(JEAN_EMULATED_TILES)
  return has_avx512bf16();
#elif defined(__linux__)
  unsigned a, b, c, d;
  if (!has_avx512bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d >> 22 & 1u) && (d >> 24 & 1u) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace
