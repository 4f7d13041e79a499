// The loops over Gaussians and tiles for one target, in both widths of records; included by target.h.
#pragma once
#include "splat_tiles.h"

namespace {

void splat_project(const JeanSplats* s, JeanTileBox* boxes, long begin, long end) {
  if (splat_channels(s->channels) == 4) {
    project_range<JEAN_SCALAR, 4>(*s, boxes, begin, end);
  } else {
    project_range<JEAN_SCALAR, 8>(*s, boxes, begin, end);
  }
}

void splat_boxes(const JeanSplats* s, JeanTileBox* boxes, long begin, long end) {
  const int record = splat_record(s->channels);
  for (long i = begin; i < end; ++i) {
    const JEAN_SCALAR* at = (const JEAN_SCALAR*)s->records + i * record;
    boxes[i] = at[EXTENT_X] > 0 ? tiles_of(at, s->window[2], s->window[3]) : NO_TILES;
  }
}

void splat_draw(const JeanSplats* s, const JeanTileLists* lists, long begin, long end) {
  if (splat_channels(s->channels) == 4) {
    draw_tiles<JEAN_SCALAR, JEAN_LANES, 4>(*s, *lists, begin, end);
  } else {
    draw_tiles<JEAN_SCALAR, JEAN_LANES, 8>(*s, *lists, begin, end);
  }
}

void splat_slopes(const JeanSplats* s, const JeanTileLists* lists, const JeanSplatGradients* g, void* pairs, long begin,
                  long end) {
  if (splat_channels(s->channels) == 4) {
    slopes_in_tiles<JEAN_SCALAR, JEAN_LANES, 4>(*s, *lists, *g, (JEAN_SCALAR*)pairs, begin, end);
  } else {
    slopes_in_tiles<JEAN_SCALAR, JEAN_LANES, 8>(*s, *lists, *g, (JEAN_SCALAR*)pairs, begin, end);
  }
}

void splat_project_backward(const JeanSplats* s, const JeanSplatGradients* g, const int64_t* first, const void* pairs,
                            long begin, long end, void* camera_sums) {
  const JEAN_SCALAR* from = (const JEAN_SCALAR*)pairs;
  if (splat_channels(s->channels) == 4) {
    project_range_backward<JEAN_SCALAR, 4>(*s, *g, first, from, begin, end, (JEAN_SCALAR*)camera_sums);
  } else {
    project_range_backward<JEAN_SCALAR, 8>(*s, *g, first, from, begin, end, (JEAN_SCALAR*)camera_sums);
  }
}

}  // namespace
