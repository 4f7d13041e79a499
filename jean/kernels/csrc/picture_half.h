// Rendering of the fast field with factors rounded to bf16 and sums in fp32. Tables hold pairs: each number beside that of
// the next cell, so that one product of pairs uses both. Heads, prior, light and torso stay in fp32. Included by targets
// with bf16 products, which define `pairs`, `narrow` and `multiply_panel`.
#pragma once
#include "mlp_half.h"
#include "torso.h"

namespace {

typedef Lanes<float, HALF_LANES>::type HalfSum;

// HALF_LANES sums, each with a pair of `table` times the pair of `weights` more.
HalfSum pairs(HalfSum sum, const Half* table, uint32_t weights);
// Rounded, below zero 0.
void narrow(HalfSum values, Half* to);
// y [TILE, VECTORS * HALF_LANES] and `exact`, the same in fp32 = max(0, start + x · panel)
template <int VECTORS>
void multiply_panel(const Half* x, int depth, const Half* panel, const float* start, Half* y, float* exact, int width);

JEAN_FN uint32_t pair_of(float first, float second) { return to_half(first) | (uint32_t)to_half(second) << 16; }

// Columns of the next panel; widths are multiples of 16.
JEAN_FN int panel_columns(int left) { return left >= 64 ? 64 : left >= 32 ? 32 : 16; }

// Packs a matrix in torch's layout, [outputs, inputs], into panels with two inputs of a column side by side.
JEAN_FN void pack_panels(const float* from, int outputs, int inputs, Half* to) {
  for (int c = 0; c < outputs;) {
    const int columns = panel_columns(outputs - c);
    for (int in = 0; in < inputs; ++in)
      for (int out = 0; out < columns; ++out)
        to[((long)(in / 2) * columns + out) * 2 + in % 2] = to_half(from[(long)(c + out) * inputs + in]);
    to += (long)columns * inputs;
    c += columns;
  }
}

JEAN_FN void multiply_all(const Half* x, int depth, const Half* panels, int width, const float* start, Half* y,
                          float* exact) {
  for (int c = 0; c < width;) {
    const int columns = panel_columns(width - c);
    if (columns == 64) multiply_panel<4>(x, depth, panels, start + c, y + c, exact + c, width);
    if (columns == 32) multiply_panel<2>(x, depth, panels, start + c, y + c, exact + c, width);
    if (columns == 16) multiply_panel<1>(x, depth, panels, start + c, y + c, exact + c, width);
    panels += (long)columns * depth;
    c += columns;
  }
}

template <int WIDTH>
JEAN_FN void sum_pairs(const Prepared<float>& p, const Places<float>* places, int s, int c, Half* one) {
  const JeanField& f = *p.field;
  HalfSum sum[WIDTH];
  for (int i = 0; i < WIDTH; ++i) sum[i] = load<float, HALF_LANES>((const float*)f.bias + c + i * HALF_LANES);
  for (int index = 0; index < f.planes; ++index) {
    const Places<float>& place = places[index];
    if (p.ends[index] && place.outside[s]) continue;
    const Half* at = (const Half*)f.plane[index].table + 2 * ((long)place.row[s] * f.hidden + c);
    const Half* next = at + 2l * f.plane[index].width * f.hidden;
    const float right = place.right[s], below = place.below[s], left = 1.0f - right, above = 1.0f - below;
    const uint32_t upper = pair_of(left * above, right * above), lower = pair_of(left * below, right * below);
    for (int i = 0; i < WIDTH; ++i) {
      sum[i] = pairs(sum[i], at + 2 * i * HALF_LANES, upper);
      sum[i] = pairs(sum[i], next + 2 * i * HALF_LANES, lower);
    }
  }
  for (int i = 0; i < WIDTH; ++i) narrow(sum[i], one + c + i * HALF_LANES);
}

struct Rounded {
  static constexpr int LANES = HALF_LANES;

  static JEAN_MEMBER void run(const Prepared<float>& p, const Tile<float>& tile, float* logarithm,
                              float (*colour)[TILE]) {
    alignas(64) Half one[TILE * JEAN_MAX_HIDDEN], two[TILE * JEAN_MAX_HIDDEN], unused[TILE * JEAN_MAX_HIDDEN];
    alignas(64) float exact_two[TILE * JEAN_MAX_HIDDEN], shade[TILE * JEAN_MAX_HIDDEN];
    const JeanField& f = *p.field;
    Places<float> places[JEAN_MAX_PLANES];
    for (int index = 0; index < f.planes; ++index) places[index].find(tile.position, f.plane[index]);
    for (int s = 0; s < TILE; ++s) {
      int c = 0;
      for (; c + 4 * HALF_LANES <= p.hidden; c += 4 * HALF_LANES) sum_pairs<4>(p, places, s, c, one + s * p.hidden);
      for (; c < p.hidden; c += HALF_LANES) sum_pairs<1>(p, places, s, c, one + s * p.hidden);
    }
    multiply_all(one, p.hidden, (const Half*)p.second, p.hidden, (const float*)f.second_bias, two, exact_two);
    multiply_all(two, p.hidden, (const Half*)p.colour, p.colour_width, (const float*)f.colour_bias, unused, shade);
    heads<float, HALF_LANES>(p, tile, exact_two, shade, p.hidden, p.colour_width, logarithm, colour);
  }
};

// Packs the matrices over those in fp32, which need twice the memory.
void half_field_prepare(const JeanField* field, void* memory) {
  Prepared<float>* made = (Prepared<float>*)memory;
  *made = Prepared<float>(*field, (float*)((char*)memory + 256), 2 * sizeof(Half), sizeof(Half));
  pack_panels((const float*)field->second, made->hidden, made->hidden, (Half*)made->second);
  pack_panels((const float*)field->colour, made->colour_width, made->hidden, (Half*)made->colour);
}

void half_picture(const JeanField*, const void* prepared, const JeanMarch* march, const JeanPicture* out, long begin,
                  long end) {
  for (long r = begin; r < end; r += BLOCK)
    picture_block<Rounded>(*(const Prepared<float>*)prepared, *march, *out, r, lesser(r + BLOCK, end));
}

void half_paint(const void* prepared, const JeanMarch* march, const JeanTorso* torso, const JeanView* view, long begin,
                long end) {
  for (long r = begin; r < end; r += BLOCK)
    paint_block<Rounded>(*(const Prepared<float>*)prepared, *march, *torso, *view, r, lesser(r + BLOCK, end));
}

}  // namespace
