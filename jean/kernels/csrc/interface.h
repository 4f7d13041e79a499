// What Python hands over, as plain C structures; jean/kernels/library.py has the same fields.
#pragma once
#include <stdint.h>

#define JEAN_MAX_PLANES 16
#define JEAN_CHANNELS 16    // features in a plane's cell
#define JEAN_MAX_HIDDEN 128
#define JEAN_TILE 32        // samples that are worked on together

// A plane of features over two axes; its coordinate along an axis is (position - low) / size.
typedef struct {
  const void* table;  // [height * width, channels]
  void* gradient;     // the same shape; null where none is wanted
  int32_t height, width, first_axis, second_axis;
  double low[2], size[2];
} JeanPlane;

// The fast field: planes, the last `gated` of which are multiplied by values of the frame, and an MLP.
// Matrices are as torch.nn.Linear holds them, [outputs, inputs].
typedef struct {
  int32_t planes, gated, hidden, half, frames, light_height, light_width, bend_cells, relief_cells;
  JeanPlane plane[JEAN_MAX_PLANES];
  double light_low[2], light_size[2];       // of the shading plane, the bend and the relief, over axes 0 and 1
  double prior_centre[3], prior_radii[3];   // of the mean head
  const void *bend, *relief;                // [frames, bend_cells², 2] and [relief_cells²], cm; null: none
  const void *gates;                        // [frames, gated * channels]
  const void *bias;                         // [frames, hidden], the first layer's
  const void *light;                        // [frames, light_height * light_width, 3]
  const void *first, *second, *second_bias, *density, *density_bias, *colour, *colour_bias, *rgb, *rgb_bias;
} JeanField;

// Gradients of the same, each of the shape of what it is the gradient of.
typedef struct {
  void *gates, *bias, *light, *first, *second, *second_bias, *density, *density_bias, *colour, *colour_bias, *rgb,
      *rgb_bias;
  void* positions;  // [samples, 3]; null where not wanted
} JeanFieldGradients;

// Samples: `saved` holds, for each of them, what the backward pass needs (jean_field_saved scalars).
typedef struct {
  int64_t count;
  const void* positions;  // [count, 3]
  const int32_t* frame;   // [count]
  void* density;          // [count]
  void* rgb;              // [count, 3]
  void* saved;            // [count rounded up to a tile, saved]; null: nothing is kept
} JeanSamples;

// Rays through the sampling grid [cells[2], cells[1], cells[0]] over a box.
typedef struct {
  int64_t rays;
  int32_t cells[3], coarse, samples;
  float low[3], high[3];
  float spread;  // weight of all that is not empty alike, beside the grid's own weights, whose sum is 1
  float thick;   // opacity told by the grid below which a ray has fewer samples; 0: none has
  const float *grid, *origins, *directions;  // directions are unit vectors, [rays, 3]
} JeanMarch;

// What rays see of a field whose planes are already multiplied by its first layer: tables are
// [height * width, hidden], gates and `first` are not read, there is one frame.
typedef struct {
  float *colour, *opacity, *depth;  // [rays, 3], [rays], [rays]
  float enough;                     // of the light, below which a ray ends
} JeanPicture;

// The torso layer under one pose (jean/models/head/torso.py): planes already multiplied by the layer that reads them,
// [height * width, hidden]; the pose's share stands in the biases. Widths are multiples of 16, 64 at most.
typedef struct {
  JeanPlane plane[2];
  int32_t bend_hidden, hidden;
  const float *bend_first, *bend_bias;          // [2, bend_hidden], [bend_hidden]
  const float *bend_second, *bend_second_bias;  // [2, bend_hidden], [2]
  const float *bias, *last, *last_bias;         // [hidden], [4, hidden], [4]
  float reach;
} JeanTorso;

// Pixels of one camera, and what is behind and comes out.
typedef struct {
  int64_t count;
  float focal_px, size_px, center_px[2], camera_to_world[12];  // [3, 4], OpenCV axes
  const float *pixels, *background;                            // [count, 2], [count, 3]
  float *rgb, *depth;                                          // [count, 3], [count]
  float enough;                                                // of the light, below which a ray ends
} JeanView;

// Rays of samples that are to be laid over one another.
typedef struct {
  int64_t rays;
  int32_t samples, channels;
  const void *density, *values, *depths, *intervals;  // [rays, samples], values [rays, samples, channels]
  void *colour, *opacity, *depth, *weights;           // [rays, channels], [rays], [rays], [rays, samples]
} JeanComposite;

// Gradients into the composite and out of it; a null pointer in front stands for zeros.
typedef struct {
  const void *colour, *opacity, *depth, *weights;
  void *density, *values, *depths, *intervals;
} JeanCompositeGradients;

// The torso layer as it is trained (jean/models/head/torso.py). The pose's shares stand in the biases, one row a frame.
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
  void *rgb, *opacity;      // [count, 3], [count]; null where not wanted
} JeanTorsoPixels;

// One tensor under Adam, float32. With bias corrections c1 and c2 of the two moments: step = rate / c1,
// root = 1 / sqrt(c2).
typedef struct {
  int64_t count;
  float *value, *mean, *square, *average;  // average: null where none is kept
  const float* gradient;                   // null: only the average follows the value
  float beta1, beta2, eps, step, root;
} JeanAdamTensor;

// A step of Adam; the averages move by `share` of their distance to the new values.
typedef struct {
  const JeanAdamTensor* tensors;
  int64_t count;
  float share;
} JeanAdam;

// A grid of cells [height, width, channels] whose neighbours shall be alike.
typedef struct {
  const void* grid;
  int64_t height, width, channels;
} JeanGrid;

#define JEAN_MAX_RAY_SAMPLES 64

// Rays that meet something, `count` of them, with `samples` intervals each.
typedef struct {
  int64_t count;
  int32_t samples;
  const int64_t* ray;                         // [count], their numbers
  const int32_t* frame;                       // of all rays
  const void *origins, *directions, *edges;   // [all, 3], [all, 3], [count, samples + 1]
  void *colour, *opacity, *depth;             // [all, 3], [all], [all]
} JeanRays;

// Gradients of what all rays show, and of the rays; edges null: those are not wanted.
typedef struct {
  const void *to_colour, *to_opacity, *to_depth;
  void *edges, *origins, *directions;
} JeanRayGradients;

#define JEAN_MAX_LAYERS 16

// One layer with a ReLU behind it, as torch.nn.Linear holds it; `per_frame`: one row of biases a frame.
typedef struct {
  const void *weight, *bias;  // [outputs, inputs]; [outputs] or [frames, outputs]
  int32_t inputs, outputs, per_frame;
} JeanLayer;

// The paper's field: the trunk's layers, then the colour's branch. The first layer reads an encoding (63 numbers), the
// layer `join` reads one and the layer before it. Condition and direction are folded into the biases.
typedef struct {
  int32_t layers, trunk, join, frames;
  JeanLayer layer[JEAN_MAX_LAYERS];
  const void *density, *density_bias, *rgb, *rgb_bias;  // of the trunk's last layer, of the branch's
  double middle[3], reach[3];                           // of the box: positions are scaled to [-1, 1]
} JeanMlp;

// Gradients of the same; `positions` [samples, 3], all zero when handed over, is null where not wanted.
typedef struct {
  void *weight[JEAN_MAX_LAYERS], *bias[JEAN_MAX_LAYERS];
  void *density, *density_bias, *rgb, *rgb_bias, *positions;
} JeanMlpGradients;
