// The loops of the paper's field for one target; included by target.h.
#pragma once
#include "mlp_backward.h"

namespace {

constexpr long MLP_LAYOUT = (sizeof(Mlp<JEAN_SCALAR>) + 63) / 64 * 64;

long mlp_prepared_bytes(const JeanMlp* mlp, int gradients) {
  return MLP_LAYOUT + mlp_matrices(*mlp, gradients) * (long)sizeof(JEAN_SCALAR);
}

void mlp_prepare(const JeanMlp* mlp, int gradients, void* memory) {
  Mlp<JEAN_SCALAR>& made = *(Mlp<JEAN_SCALAR>*)memory;
  lay_out(*mlp, made);
  pack<JEAN_SCALAR, JEAN_LANES>((JEAN_SCALAR*)((char*)memory + MLP_LAYOUT), gradients, made);
}

long mlp_tile_bytes(const void* prepared, int gradients) {
  const Mlp<JEAN_SCALAR>& m = *(const Mlp<JEAN_SCALAR>*)prepared;
  return (long)sizeof(JEAN_SCALAR) * (m.tile_size + (gradients ? mlp_gradient_size(m) : 0));
}

long mlp_sums_bytes(const void* prepared) {
  return (long)sizeof(JEAN_SCALAR) * ((const Mlp<JEAN_SCALAR>*)prepared)->sums;
}

// Samples [begin, end).
void mlp_forward(const void* prepared, const JeanSamples* samples, int skip_empty_tiles, void* memory, long begin,
                 long end) {
  const Mlp<JEAN_SCALAR>& m = *(const Mlp<JEAN_SCALAR>*)prepared;
  MlpTile<JEAN_SCALAR> tile;
  for (long at = begin; at < end; at += MLP_TILE) {
    tile.read(m, *samples, nullptr, at, end);
    mlp_tile_forward<JEAN_SCALAR, JEAN_LANES>(m, *samples, tile, skip_empty_tiles, (JEAN_SCALAR*)memory);
  }
}

// Indices of the samples with nonzero gradients; returns their number.
long mlp_choose(const JeanSamples* samples, const void* to_density, const void* to_rgb, int64_t* chosen) {
  long count = 0;
  for (int64_t i = 0; i < samples->count; ++i)
    if (flows_back(((const JEAN_SCALAR*)samples->density)[i], ((const JEAN_SCALAR*)to_density)[i],
                   (const JEAN_SCALAR*)to_rgb + 3 * i))
      chosen[count++] = i;
  return count;
}

// Samples chosen[begin .. end).
void mlp_backward(const void* prepared, const JeanSamples* samples, const int64_t* chosen, const void* to_density,
                  const void* to_rgb, void* sums, void* to_positions, void* memory, long begin, long end) {
  const Mlp<JEAN_SCALAR>& m = *(const Mlp<JEAN_SCALAR>*)prepared;
  MlpTile<JEAN_SCALAR> tile;
  for (long at = begin; at < end; at += MLP_TILE) {
    tile.read(m, *samples, chosen, at, end);
    mlp_tile_backward<JEAN_SCALAR, JEAN_LANES>(m, *samples, tile, (const JEAN_SCALAR*)to_density,
                                               (const JEAN_SCALAR*)to_rgb, (JEAN_SCALAR*)sums,
                                               (JEAN_SCALAR*)to_positions, (JEAN_SCALAR*)memory);
  }
}

void mlp_gather(const void* prepared, void* const* sums, int shares, int layer, const JeanMlpGradients* out) {
  mlp_gather_layer(*(const Mlp<JEAN_SCALAR>*)prepared, sums, shares, layer, *out);
}

}  // namespace
