// Every processor: vectors of 16 bytes, as SSE2 and NEON have.
#include <stdint.h>
#define JEAN_SCALAR float
#define JEAN_LANES 4
#define JEAN_TABLE jean_kernels_portable
#include "target.h"
