// Dot products and convolutions: sums over taps and a depth, then a tile program, then a store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "parallel.h"
#include "tile.h"

namespace neuron::kernels {

// A dimension of the first operand that the result has too; strides count elements.
struct RowDimension {
  int64_t size;
  int64_t stride;
};

// A dimension of the first operand that is summed over in steps: a window's. Tap t of row index r
// along dimension `row` is read at r * step + t * dilation - low, and is zero outside [0, limit).
struct TapDimension {
  int64_t size;
  int64_t stride;  // from one tap to the next
  int64_t row;
  int64_t step;
  int64_t dilation;
  int64_t low;
  int64_t limit;
};

// A dimension that both operands and the result have.
struct GroupDimension {
  int64_t size;
  int64_t left_stride;
  int64_t right_stride;
};

// The elements of some dimensions.
template <typename Dimension>
int64_t count_of(const std::vector<Dimension>& dimensions) {
  int64_t total = 1;
  for (const auto& d : dimensions) total *= d.size;
  return total;
}

// What a contraction computes, decoded from the numbers that `runtime.units.contract` writes.
struct Contraction {
  // Throws std::invalid_argument if the numbers are no contraction; `*used` of them describe it.
  static Contraction parse(const int64_t* words, size_t count, size_t* used);

  bool each;  // one sum for each column from the same column of the first operand: depthwise
  bool narrow;         // both operands rounded to bf16, summed in f32; otherwise f32
  Type left_type;      // f32 or bf16
  int64_t left_start;  // where the first element read lies; may be negative with padding
  int64_t left_depth_stride;
  bool packed;  // the second operand was packed when the model was loaded
  Type right_type;
  int64_t right_start, right_depth_stride, right_column_stride, right_tap_stride;
  int64_t depth, columns;
  std::vector<GroupDimension> groups;
  std::vector<RowDimension> rows;
  std::vector<TapDimension> taps;

  int64_t group_count() const;
  int64_t row_count() const;
  int64_t tap_count() const;
};

// The bytes of the second operand as `pack_right` writes it.
int64_t packed_bytes(const Contraction& c);

// Write the second operand in the order in which the kernel reads it.
void pack_right(const Contraction& c, const void* right, void* packed);

// Compute it. The rows of the task's space are the groups' and the rows' dimensions, in this order,
// and register 0 of its program is given the sums.
void contract(const Contraction& c, const Threads& threads, const void* left, const void* right,
              const TileProgram& program, const TileTask& task);

}  // namespace neuron::kernels
