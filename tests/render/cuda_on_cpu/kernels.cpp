// The CUDA kernels compiled for a processor, with launches of their own.
#include "picture.cu"

extern "C" void launch_march(unsigned blocks, unsigned threads, const JeanMarch* march, const JeanPicture* out,
                             float* edges, uint32_t* list, uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_march, *march, *out, edges, list, counters);
}

extern "C" void launch_picture(unsigned blocks, unsigned threads, const JeanField* field, const JeanMarch* march,
                               const JeanPicture* out, const float* edges, const uint32_t* list, uint32_t* counters) {
  on_cpu::launch(blocks, threads, jean_picture, *field, *march, *out, edges, list, counters);
}
