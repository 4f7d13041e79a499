// The functions of one target, from the shared headers. Included by target_*.cpp, after the pragma for its
// instruction set, with JEAN_SCALAR, JEAN_LANES and JEAN_TABLE defined.
#include "kernels.h"
#include "mlp_target.h"
#include "rays.h"
#include "splat_target.h"
#include "torso.h"
#include "torso_training.h"
#include "trace.h"
#include "training.h"
#include "triplane.h"

namespace {

typedef JEAN_SCALAR Scalar;
constexpr int LANES = JEAN_LANES;

void prepare(const JeanField* field, void* memory) {
  Prepared<Scalar>* made = (Prepared<Scalar>*)memory;
  static_assert(sizeof(Prepared<Scalar>) <= 256, "api.cpp leaves so much room in front of the matrices");
  *made = Prepared<Scalar>(*field, (Scalar*)((char*)memory + 256));
}

void forward(const JeanField* field, const void* prepared, const JeanSamples* samples, long begin, long end,
             void* memory) {
  const Prepared<Scalar>& p = *(const Prepared<Scalar>*)prepared;
  Tile<Scalar> tile;
  for (long t = begin; t < end; ++t) {
    tile.read(*samples, t * TILE, field->frames);
    unbend(*field, tile);
    Scalar* saved = samples->saved ? (Scalar*)samples->saved + t * TILE * p.saved : (Scalar*)memory;
    field_forward<Scalar, LANES>(p, *samples, tile, saved);
  }
}

void backward(const JeanField* field, const void* prepared, const JeanSamples* samples, const void* to_density,
              const void* to_rgb, const JeanFieldGradients* out, void* sums, void* features, long begin, long end) {
  const Prepared<Scalar>& p = *(const Prepared<Scalar>*)prepared;
  const Sums<Scalar> to(*field, (Scalar*)sums);
  Tile<Scalar> tile;
  for (long t = begin; t < end; ++t) {
    tile.read(*samples, t * TILE, field->frames);
    unbend(*field, tile);
    field_backward<Scalar, LANES>(p, *samples, tile, (const Scalar*)to_density, (const Scalar*)to_rgb, *out, to,
                                  (Scalar*)features + t * TILE * p.features);
  }
}

void scatter_plane(const JeanField* field, const void* prepared, const JeanSamples* samples, int plane,
                   const void* features) {
  const Prepared<Scalar>& p = *(const Prepared<Scalar>*)prepared;
  Tile<Scalar> tile;
  for (long t = 0; t * TILE < samples->count; ++t) {
    tile.read(*samples, t * TILE, field->frames);
    unbend(*field, tile);
    scatter<Scalar, LANES>(p, tile, plane, (const Scalar*)features + t * TILE * p.features);
  }
}

void add_up(const void* const* sums, int shares, long offset, long count, void* to) {
  Scalar* out = (Scalar*)to;
  for (long i = 0; i < count; ++i) out[i] = ((const Scalar*)sums[0])[offset + i];
  for (int share = 1; share < shares; ++share)
    for (long i = 0; i < count; ++i) out[i] += ((const Scalar*)sums[share])[offset + i];
}

// Adds partial sums in a fixed order, so that the result does not depend on threads.
void gather(const JeanField* field, const void* const* sums, int shares, const JeanFieldGradients* out) {
  const JeanField& f = *field;
  Scalar* const base = (Scalar*)sums[0];
  const Sums<Scalar> at(f, base);
  const long hidden = f.hidden, colour_width = f.colour_width, features = (long)f.planes * CHANNELS;
  const long cells = 3l * f.light_height * f.light_width;
  add_up(sums, shares, at.first - base, features * hidden, out->first);
  add_up(sums, shares, at.second - base, hidden * hidden, out->second);
  add_up(sums, shares, at.colour - base, colour_width * hidden, out->colour);
  add_up(sums, shares, at.rgb - base, 3 * colour_width, out->rgb);
  add_up(sums, shares, at.density - base, hidden, out->density);
  add_up(sums, shares, at.second_bias - base, hidden, out->second_bias);
  add_up(sums, shares, at.colour_bias - base, colour_width, out->colour_bias);
  add_up(sums, shares, at.last - base, 3, out->rgb_bias);
  add_up(sums, shares, at.last - base + 3, 1, out->density_bias);
  add_up(sums, shares, at.gates - base, (long)f.frames * f.gated * CHANNELS, out->gates);
  add_up(sums, shares, at.bias - base, f.frames * hidden, out->bias);
  add_up(sums, shares, at.light - base, f.frames * cells, out->light);
}

void samples_of_rays(const JeanRays* rays, const JeanSamples* samples, long begin, long end) {
  place_samples<Scalar>(*rays, (Scalar*)samples->positions, (int32_t*)samples->frame, begin, end);
}

void colours_of_rays(const JeanRays* rays, const JeanSamples* samples, long begin, long end) {
  compose_rays<Scalar>(*rays, *samples, begin, end);
}

void slopes_of_samples(const JeanRays* rays, const JeanSamples* samples, const JeanRayGradients* through,
                       void* to_density, void* to_rgb, long begin, long end) {
  compose_rays_backward<Scalar>(*rays, *samples, *through, (Scalar*)to_density, (Scalar*)to_rgb, begin, end);
}

void slopes_of_rays(const JeanRays* rays, const JeanRayGradients* through, const void* to_positions, long begin,
                    long end) {
  move_rays<Scalar>(*rays, *through, (const Scalar*)to_positions, begin, end);
}

void hits(const JeanMarch* march, unsigned char* hit, long begin, long end) {
  float density[MAX_COARSE], near, far;
  for (long r = begin; r < end; ++r) hit[r] = look_along(*march, r, density, &near, &far);
}

void edges(const JeanMarch* march, const int64_t* rays, const float* quantiles, float* out, long begin, long end) {
  float density[MAX_COARSE], near, far;
  const int count = march->samples + 1;
  for (long i = begin; i < end; ++i) {
    look_along(*march, rays[i], density, &near, &far);
    place_edges<1>(*march, density, &near, &far, quantiles ? quantiles + i * count : nullptr, out + i * count, 0);
  }
}

void composite(const JeanComposite* c, long begin, long end) {
  for (long r = begin; r < end; ++r) composite_ray<Scalar>(*c, r);
}

void composite_backward(const JeanComposite* c, const JeanCompositeGradients* g, long begin, long end) {
  for (long r = begin; r < end; ++r) composite_ray_backward<Scalar>(*c, *g, r);
}

// In single precision only: fused rendering has no gradients to check.
void picture(const JeanField* field, const void* prepared, const JeanMarch* march, const JeanPicture* out, long begin,
             long end) {
  (void)field;
  if constexpr (sizeof(Scalar) == sizeof(float))
    for (long r = begin; r < end; r += BLOCK)
      picture_block<Exact<LANES>>(*(const Prepared<float>*)prepared, *march, *out, r, lesser(r + BLOCK, end));
}

void paint(const void* prepared, const JeanMarch* march, const JeanTorso* torso, const JeanView* view, long begin,
           long end) {
  if constexpr (sizeof(Scalar) == sizeof(float))
    for (long r = begin; r < end; r += BLOCK)
      paint_block<Exact<LANES>>(*(const Prepared<float>*)prepared, *march, *torso, *view, r,
                                lesser(r + BLOCK, end));
}

int adam(const JeanAdam* a, int tensor, long begin, long end) {
  return adam_range(*a, a->tensors[tensor], begin, end) ? 1 : 0;
}

void roughness(const JeanGrid* g, long begin, long end, void* sums) {
  Scalar* to = (Scalar*)sums;
  roughness_rows((const Scalar*)g->grid, g->width, g->channels, begin, end, to, to + 1);
}

void slopes_of_roughness(const JeanGrid* g, const void* factors, long begin, long end, void* out) {
  const Scalar* factor = (const Scalar*)factors;
  roughness_slopes((const Scalar*)g->grid, g->height, g->width, g->channels, factor[0], factor[1], begin, end,
                   (Scalar*)out);
}

void torso_prepare(const JeanTorsoLayer* layer, void* memory) {
  static_assert(sizeof(TorsoPrepared<Scalar>) <= 64, "api_training.h leaves so much room in front of the matrix");
  *(TorsoPrepared<Scalar>*)memory = TorsoPrepared<Scalar>(*layer, (Scalar*)((char*)memory + 64));
}

void torso_forward(const void* prepared, const JeanTorsoPixels* pixels, long begin, long end) {
  TorsoTile<Scalar> tile;
  for (long t = begin; t < end; ++t) {
    torso_values<Scalar, LANES>(*(const TorsoPrepared<Scalar>*)prepared, *pixels, t * TILE, tile);
    for (int s = 0; s < tile.count; ++s) {
      for (int c = 0; c < 3; ++c) ((Scalar*)pixels->rgb)[3 * (t * TILE + s) + c] = tile.out[c][s];
      ((Scalar*)pixels->opacity)[t * TILE + s] = tile.out[3][s];
    }
  }
}

void torso_backward(const void* prepared, const JeanTorsoPixels* pixels, const void* to_rgb, const void* to_opacity,
                    void* sums, void* at, void* features, long begin, long end) {
  const TorsoPrepared<Scalar>& p = *(const TorsoPrepared<Scalar>*)prepared;
  const TorsoSums<Scalar> to(*p.layer, (Scalar*)sums);
  TorsoTile<Scalar> tile;
  for (long t = begin; t < end; ++t) {
    torso_values<Scalar, LANES>(p, *pixels, t * TILE, tile);
    torso_slopes<Scalar, LANES>(p, tile, (const Scalar*)to_rgb, (const Scalar*)to_opacity, to,
                                (Scalar*)features + t * TILE * TORSO_FEATURES);
    __builtin_memcpy((Scalar*)at + t * TILE * 2, tile.at, sizeof(Scalar) * TILE * 2);
  }
}

void scatter_torso(const JeanTorsoLayer* layer, long count, int plane, const void* at, const void* features) {
  for (long begin = 0; begin < count; begin += TILE)
    torso_scatter<Scalar, LANES>(*layer, (const Scalar(*)[TILE])((const Scalar*)at + begin * 2),
                                 (int)lesser((long)TILE, count - begin), plane,
                                 (const Scalar*)features + begin * TORSO_FEATURES);
}

}  // namespace

const JeanKernels* JEAN_TABLE(void) {
  static const JeanKernels table = {prepare,
                                    forward,
                                    backward,
                                    scatter_plane,
                                    gather,
                                    samples_of_rays,
                                    colours_of_rays,
                                    slopes_of_samples,
                                    slopes_of_rays,
                                    hits,
                                    edges,
                                    composite,
                                    composite_backward,
                                    picture,
                                    paint,
                                    adam,
                                    roughness,
                                    slopes_of_roughness,
                                    torso_prepare,
                                    torso_forward,
                                    torso_backward,
                                    scatter_torso,
                                    add_up,
                                    sizeof(Scalar),
                                    mlp_prepared_bytes,
                                    mlp_prepare,
                                    mlp_tile_bytes,
                                    mlp_sums_bytes,
                                    mlp_forward,
                                    mlp_choose,
                                    mlp_backward,
                                    mlp_gather,
                                    splat_project,
                                    splat_boxes,
                                    splat_draw,
                                    splat_slopes,
                                    splat_project_backward};
  return &table;
}
