// AMX's tile instructions in plain C++, for processors without them: test_amx_emulated.py compiles target_amx.cpp with
// this in their place. Sums are made pair by pair in single precision, as the instruction's description says; the
// hardware flushes denormal numbers, this does not. Tiles are empty until their shapes are loaded.
#pragma once
#include <stdint.h>
#include <string.h>

namespace {

struct EmulatedTile {
  bool ready;
  float words[16][16];
};
thread_local EmulatedTile emulated_tiles[8];

inline float emulated_half(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

inline void emulated_loadconfig(const void* shapes) {
  const uint8_t* at = (const uint8_t*)shapes;
  const bool aligned = (uintptr_t)shapes % 64 == 0;
  for (int i = 0; i < 8; ++i) {
    uint16_t row_bytes;
    memcpy(&row_bytes, at + 16 + 2 * i, 2);
    emulated_tiles[i].ready = aligned && at[0] == 1 && row_bytes == 64 && at[48 + i] == 16;
  }
}

inline void emulated_release() {
  for (auto& tile : emulated_tiles) tile.ready = false;
}

// A tile that is not ready gives a result that no test accepts, where the processor would stop the program.
inline void emulated_check(EmulatedTile& tile) {
  if (!tile.ready) memset(tile.words, 0x7F, sizeof(tile.words));
}

inline void emulated_zero(int tile) {
  memset(emulated_tiles[tile].words, 0, sizeof(emulated_tiles[tile].words));
  emulated_check(emulated_tiles[tile]);
}

inline void emulated_load(int tile, const void* from, long step) {
  for (int r = 0; r < 16; ++r) memcpy(emulated_tiles[tile].words[r], (const char*)from + r * step, 64);
  emulated_check(emulated_tiles[tile]);
}

inline void emulated_store(int tile, void* to, long step) {
  for (int r = 0; r < 16; ++r) memcpy((char*)to + r * step, emulated_tiles[tile].words[r], 64);
}

inline void emulated_product(int sums, int rows, int columns) {
  uint16_t a[16][32], b[16][32];
  memcpy(a, emulated_tiles[rows].words, sizeof(a));
  memcpy(b, emulated_tiles[columns].words, sizeof(b));
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 16; ++n) {
        emulated_tiles[sums].words[m][n] += emulated_half(a[m][2 * k]) * emulated_half(b[k][2 * n]);
        emulated_tiles[sums].words[m][n] += emulated_half(a[m][2 * k + 1]) * emulated_half(b[k][2 * n + 1]);
      }
}

}  // namespace

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_loadconfig
#define _tile_release emulated_release
#define _tile_zero emulated_zero
#define _tile_loadd emulated_load
#define _tile_stored emulated_store
#define _tile_dpbf16ps emulated_product
