// How the operands of a contraction lie in memory where the products are made.
#pragma once

#include <cstdint>

#include "amx.h"
#include "contract.h"
#include "scratch.h"
#include "vector.h"

namespace neuron::kernels {

// A panel is this many columns wide: two vectors, so that one broadcast feeds two products.
constexpr int64_t kPanel = 2 * W;
#if defined(__AVX512BF16__)
constexpr bool kPairs = true;  // bf16 is multiplied in pairs along the depth
#else
constexpr bool kPairs = false;  // bf16 is multiplied as f32, to which it converts exactly
#endif

// Rows of a tile: as many accumulators as the registers hold beside a panel's row and a broadcast.
constexpr int kRows = W == 16 ? 12 : 6;

struct Packing {
  bool pairs;
  bool amx;           // the products are the matrix unit's
  int64_t tile_rows;  // at most
  int64_t element;    // bytes
  int64_t depth;      // of a tap, in elements; with pairs, zeros may be the last
  int64_t panels;
  int64_t panel_bytes;  // of all taps
  int64_t group_bytes;

  explicit Packing(const Contraction& c)
      : pairs(c.narrow && kPairs && !c.each),
        amx(pairs && has_amx()),
        tile_rows(amx ? kAmxRows : kRows),
        element(pairs ? 2 : 4),
        depth(pairs ? (amx ? padded_pairs((c.depth + 1) / 2) : (c.depth + 1) / 2) * 2 : c.depth),
        panels((c.columns + kPanel - 1) / kPanel),
        panel_bytes(c.tap_count() * depth * kPanel * element),
        group_bytes(panels * panel_bytes) {}
};

// A panel that tiles are multiplied with one after another.
struct Panel {
  const char* data;
  int64_t column, width;
  const char* next;     // the one after it, to be fetched from memory meanwhile; or null
  int64_t part, parts;  // the how many-th tile this is
};

// Where the elements of a group begin in the operand that steps by `stride` from group to group.
int64_t start_of(const Contraction& c, int64_t group, int64_t start,
                 int64_t GroupDimension::*stride);

// Writes a panel of the second operand.
void pack_panel(const Contraction& c, const Packing& p, const void* right, int64_t group,
                int64_t panel, char* to);

}  // namespace neuron::kernels
