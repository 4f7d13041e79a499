// Values of the paper's field with factors rounded to bf16 and sums in fp32. Both heads are fp32 and read the layer
// before them unrounded. Included by targets with bf16 products, which define three functions:
//   multiply: y [rows of a tile, width], bf16, and `exact`, the same in fp32 (null: not wanted),
//     = max(0, start + x · packed)
//   begin_multiplying, end_multiplying: called by each thread before and after them
#pragma once
#include "kernels.h"
#include "mlp.h"

namespace {

typedef uint16_t Half;
constexpr int HALF_LANES = 16, HALF_COLUMNS = 64;

// Rounds to nearest, ties to even; NaN stays NaN.
JEAN_FN Half to_half(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  if (value != value) return (Half)(bits >> 16 | 0x40u);
  return (Half)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

void multiply(const Half* x, int x_step, int depth, const Half* packed, int width, const float* const* start, Half* y,
              int y_step, float* exact);
void begin_multiplying();
void end_multiplying();

// Panels of 64 columns; two inputs of a column lie side by side, as these products take them.
JEAN_FN void pack_half(Half* memory, Mlp<float>& to) {
  for (int i = 0; i < to.layers; ++i) {
    Layer<float>& l = to.layer[i];
    const float* weight = (const float*)to.mlp->layer[i].weight;
    const long row = to.mlp->layer[i].inputs;
    l.ahead = (float*)memory;
    l.back = nullptr;
    for (int in = 0; in < l.inputs; ++in) {
      const int column = input_place(l, in);
      for (int out = 0; out < l.outputs; ++out)
        memory[((long)(out / HALF_COLUMNS) * l.inputs + in / 2 * 2) * HALF_COLUMNS + out % HALF_COLUMNS * 2 + in % 2] =
            column < 0 ? Half(0) : to_half(weight[out * row + column]);
    }
    memory += (long)l.inputs * l.outputs;
  }
}

JEAN_FN void run_half(const Mlp<float>& m, const MlpTile<float>& tile, Half* memory, float* exact, int from, int to) {
  const float* start[MLP_TILE];
  for (int i = from; i < to; ++i) {
    const Layer<float>& l = m.layer[i];
    starts(l, tile, start);
    multiply(memory + l.read, l.read_step, l.inputs, (const Half*)l.ahead, l.outputs, start, memory + l.write,
             l.write_step, i == to - 1 ? exact : nullptr);
  }
}

JEAN_FN void half_tile_forward(const Mlp<float>& m, const JeanSamples& samples, const MlpTile<float>& tile,
                               bool skip_empty_tiles, Half* memory) {
  float* exact = (float*)(memory + m.tile_size);
  alignas(64) float row[ENCODED];
  for (int s = 0; s < MLP_TILE; ++s) {
    encode_position(tile.position[s], row);
    Half* to = memory + (long)s * m.layer[0].read_step;
    for (int i = 0; i < ENCODED; ++i) to[i] = to_half(row[i]);
  }
  run_half(m, tile, memory, exact, 0, m.trunk);
  if (!write_densities<float, HALF_LANES>(m, samples, tile, skip_empty_tiles, exact, m.width)) return;
  run_half(m, tile, memory, exact, m.trunk, m.layers);
  write_colours<float, HALF_LANES>(m, samples, tile, exact, m.colour_width);
}

constexpr long HALF_LAYOUT = (sizeof(Mlp<float>) + 63) / 64 * 64;

long half_prepared_bytes(const JeanMlp* mlp, int) {
  return HALF_LAYOUT + mlp_matrices(*mlp, false) * (long)sizeof(Half);
}

void half_prepare(const JeanMlp* mlp, int, void* memory) {
  lay_out(*mlp, *(Mlp<float>*)memory);
  pack_half((Half*)((char*)memory + HALF_LAYOUT), *(Mlp<float>*)memory);
}

long half_tile_bytes(const void* prepared, int) {
  const Mlp<float>& m = *(const Mlp<float>*)prepared;
  return m.tile_size * (long)sizeof(Half) + (long)MLP_TILE * m.width * (long)sizeof(float);
}

void half_forward(const void* prepared, const JeanSamples* samples, int skip_empty_tiles, void* memory, long begin,
                  long end) {
  const Mlp<float>& m = *(const Mlp<float>*)prepared;
  MlpTile<float> tile;
  begin_multiplying();
  for (long at = begin; at < end; at += MLP_TILE) {
    tile.read(m, *samples, nullptr, at, end);
    half_tile_forward(m, *samples, tile, skip_empty_tiles, (Half*)memory);
  }
  end_multiplying();
}

// A target's table: forward passes of this field, and the ray functions of AVX-512.
JeanKernels half_table() {
  JeanKernels made = {};
  made.scalar_bytes = sizeof(float);
  made.hits = jean_kernels_avx512()->hits;
  made.edges = jean_kernels_avx512()->edges;
  made.mlp_prepared_bytes = half_prepared_bytes;
  made.mlp_prepare = half_prepare;
  made.mlp_tile_bytes = half_tile_bytes;
  made.mlp_forward = half_forward;
  return made;
}

}  // namespace
