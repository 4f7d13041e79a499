// What the processor and its system let this process use. Asked of the processor itself: compilers learn the names of
// new instruction sets years later than users get them.
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
bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// Products of bf16 pairs: leaf 7.1, bit 5 of EAX.
bool has_avx512bf16() {
  unsigned a, b, c, d;
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1u);
}

// AMX with bf16: leaf 7, bits 22 and 24 of EDX, and Linux's leave to keep the tiles' 8 kB when threads change
// (ARCH_REQ_XCOMP_PERM of state 18). It is asked for the whole process.
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
