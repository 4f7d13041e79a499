// Double precision on every processor, for gradient checks.
#include <stdint.h>
#define JEAN_SCALAR double
#define JEAN_LANES 2
#define JEAN_TABLE jean_kernels_double
#include "target.h"
