// The C structures that Python passes; jean/kernels/structures.py declares the same fields.
#pragma once
#include <stdint.h>

#define JEAN_MAX_PLANES 16
#define JEAN_CHANNELS 16    // features per cell of a plane
#define JEAN_MAX_HIDDEN 128
#define JEAN_TILE 32        // samples that are computed together

// A plane of features over two axes; its coordinate along an axis is (position - low) / size.
typedef struct {
  const void* table;  // [height * width, channels]
  void* gradient;     // the same shape; null: not wanted
  int32_t height, width, first_axis, second_axis;
  double low[2], size[2];
} JeanPlane;

// The fast field: feature planes, the last `gated` of which are multiplied by per-frame gates, and an MLP.
// Matrices have the layout of torch.nn.Linear, [outputs, inputs].
typedef struct {
  int32_t planes, gated, hidden, colour_width, frames, light_height, light_width, bend_cells, relief_cells;
  JeanPlane plane[JEAN_MAX_PLANES];
  double light_low[2], light_size[2];       // box of the shading plane, the deformation and the relief, axes 0 and 1
  double prior_centre[3], prior_radii[3];   // ellipsoid of the mean head
  const void *bend, *relief;                // [frames, bend_cells², 2] and [relief_cells²], cm; null: none
  const void *gates;                        // [frames, gated * channels]
  const void *bias;                         // [frames, hidden], the first layer's
  const void *light;                        // [frames, light_height * light_width, 3]
  const void *first, *second, *second_bias, *density, *density_bias, *colour, *colour_bias, *rgb, *rgb_bias;
} JeanField;

// Gradients of the field's tensors, each of the shape of its tensor.
typedef struct {
  void *gates, *bias, *light, *first, *second, *second_bias, *density, *density_bias, *colour, *colour_bias, *rgb,
      *rgb_bias;
  void* positions;  // [samples, 3]; null: not wanted
} JeanFieldGradients;

// Samples; `saved` holds the numbers that the backward pass needs, jean_field_saved() per sample.
typedef struct {
  int64_t count;
  const void* positions;  // [count, 3]
  const int32_t* frame;   // [count]
  void* density;          // [count]
  void* rgb;              // [count, 3]
  void* saved;            // [count rounded up to whole tiles, saved]; null: not kept
} JeanSamples;

// Rays through the sampling grid [cells[2], cells[1], cells[0]] over a box.
typedef struct {
  int64_t rays;
  int32_t cells[3], coarse, samples;
  float low[3], high[3];
  float uniform_weight;  // of uniform sampling over occupied cells, beside the grid's weights, whose sum is 1
  float full_samples_opacity;   // rays of a lower opacity in the grid get fewer samples; 0: none do
  const float *grid, *origins, *directions;  // directions are unit vectors, [rays, 3]
} JeanMarch;

// Output of rays through a field of one frame whose planes are multiplied by its first layer: tables are
// [height * width, hidden]; gates and `first` are not read.
typedef struct {
  float *colour, *opacity, *depth;  // [rays, 3], [rays], [rays]
  float min_transmittance;                     // transmittance at which a ray ends
} JeanPicture;

// The torso layer under one pose (jean/models/head/torso.py): planes already multiplied by the layer that reads them,
// [height * width, hidden]; the biases include the pose. Widths are multiples of 16, 64 at most.
typedef struct {
  JeanPlane plane[2];
  int32_t bend_hidden, hidden;
  const float *bend_first, *bend_bias;          // [2, bend_hidden], [bend_hidden]
  const float *bend_second, *bend_second_bias;  // [2, bend_hidden], [2]
  const float *bias, *last, *last_bias;         // [hidden], [4, hidden], [4]
  float reach;
} JeanTorso;

// Pixels of one camera, their background, and the output.
typedef struct {
  int64_t count;
  float focal_px, size_px, center_px[2], camera_to_world[12];  // [3, 4], OpenCV axes
  const float *pixels, *background;                            // [count, 2], [count, 3]
  float *rgb, *depth;                                          // [count, 3], [count]
  float min_transmittance;                                                // transmittance at which a ray ends
} JeanView;

// Rays whose samples are composited.
typedef struct {
  int64_t rays;
  int32_t samples, channels;
  const void *density, *values, *depths, *intervals;  // [rays, samples], values [rays, samples, channels]
  void *colour, *opacity, *depth, *weights;           // [rays, channels], [rays], [rays], [rays, samples]
} JeanComposite;

// Gradients of the composite's outputs (null: zeros) and, to be computed, of its inputs.
typedef struct {
  const void *colour, *opacity, *depth, *weights;
  void *density, *values, *depths, *intervals;
} JeanCompositeGradients;

// The torso layer in training (jean/models/head/torso.py). The biases include the pose, one row per frame.
typedef struct {
  JeanPlane plane[2];  // over axes 0 and 1 of image positions
  int32_t bend_hidden, hidden, frames;
  double reach;
  const void *bend_first, *bend_bias;          // [2, bend_hidden], [frames, bend_hidden]
  const void *bend_second, *bend_second_bias;  // [2, bend_hidden], [2]
  const void *shade, *bias;                    // [hidden, 32], [frames, hidden]
  const void *last, *last_bias;                // [4, hidden], [4]
} JeanTorsoLayer;

typedef struct {
  int64_t count;
  const void* coordinates;  // [count, 2]
  const int32_t* frame;     // [count]
  void *rgb, *opacity;      // [count, 3], [count]; null: not wanted
} JeanTorsoPixels;

// One tensor under Adam, float32. With bias corrections c1 and c2 of the two moments: step = rate / c1,
// root = 1 / sqrt(c2).
typedef struct {
  int64_t count;
  float *value, *mean, *square, *average;  // average: EMA of the value; null: none
  const float* gradient;                   // null: only the EMA is updated
  float beta1, beta2, eps, step, root;
} JeanAdamTensor;

// A step of Adam; the EMA moves by the fraction `share` of its distance to the new value.
typedef struct {
  const JeanAdamTensor* tensors;
  int64_t count;
  float share;
} JeanAdam;

// A table [height, width, channels] under the smoothness prior.
typedef struct {
  const void* grid;
  int64_t height, width, channels;
} JeanGrid;

#define JEAN_MAX_RAY_SAMPLES 64

// The `count` rays that hit occupied cells, with `samples` intervals each.
typedef struct {
  int64_t count;
  int32_t samples;
  const int64_t* ray;                         // [count], indices among all rays
  const int32_t* frame;                       // [all]
  const void *origins, *directions, *edges;   // [all, 3], [all, 3], [count, samples + 1]
  void *colour, *opacity, *depth;             // [all, 3], [all], [all]
} JeanRays;

// Gradients of the outputs of all rays, and of the rays; edges null: the latter are not wanted.
typedef struct {
  const void *to_colour, *to_opacity, *to_depth;
  void *edges, *origins, *directions;
} JeanRayGradients;

#define JEAN_MAX_LAYERS 16

// A layer with a ReLU, in the layout of torch.nn.Linear; `per_frame`: one row of biases per frame.
typedef struct {
  const void *weight, *bias;  // [outputs, inputs]; [outputs] or [frames, outputs]
  int32_t inputs, outputs, per_frame;
} JeanLayer;

// The paper's field: layers of the trunk, then of the colour branch. The first layer reads an encoding (63 numbers), layer
// `join` an encoding and the layer before it. Condition and viewing direction are folded into the biases.
typedef struct {
  int32_t layers, trunk, join, frames;
  JeanLayer layer[JEAN_MAX_LAYERS];
  const void *density, *density_bias, *rgb, *rgb_bias;  // of the trunk's last layer, of the branch's
  double middle[3], reach[3];                           // of the box: positions are scaled to [-1, 1]
} JeanMlp;

// Gradients of these tensors; `positions` [samples, 3] is zero before the call; null: not wanted.
typedef struct {
  void *weight[JEAN_MAX_LAYERS], *bias[JEAN_MAX_LAYERS];
  void *density, *density_bias, *rgb, *rgb_bias, *positions;
} JeanMlpGradients;

// Gaussians that are rasterised into a window of a picture. Numbers of the records: see splat.h.
typedef struct {
  int64_t count;
  int32_t channels, compensate, window[4];                  // window: x0, y0, width, height, px
  double near_cm;
  const void *centres, *scales, *rotations, *opacities;     // [count, 3], [count, 3], [count, 4], [count]
  const void *colours, *world_to_camera, *intrinsics;       // [count, channels], [3, 4], [3]
  void *records, *radii;                                    // [count, 8 + 4 or 8]; [count]
  int32_t* order;                                           // [count], visible Gaussians by depth, then -1
  void *colour, *opacity, *depth;                           // [height, width, channels], [height, width] twice
} JeanSplats;

// Tiles [x0, x1] by [y0, y1] of a window; none if x0 > x1. So a window has at most 2^20 px along a side.
typedef struct {
  uint16_t x0, x1, y0, y1;
} JeanTileBox;

// Gradients of the three outputs (null: zeros), and, to be computed, of all inputs; screen [count, 2].
typedef struct {
  const void *to_colour, *to_opacity, *to_depth;
  void *centres, *scales, *rotations, *opacities, *colours, *world_to_camera, *intrinsics, *screen;
} JeanSplatGradients;
