// Copies what a box of rows reads of the first operand, as the products take it, side by side.
#pragma once

#include <cstdint>

#include "contract.h"
#include "packing.h"

namespace neuron::kernels {

// Rows by their indices: in each dimension so many from the first on.
struct Box {
  int64_t first[kMaxRank];
  int64_t count[kMaxRank];
};

Box all_rows(const Contraction& c);
// A box around the rows [row0, row1) of a group in row-major order.
Box box_of(const Contraction& c, int64_t row0, int64_t row1);

// A window's padding is copied as zeros, so no tap of what was copied lies outside. The copy has a
// position for each index along the dimensions of rows, and along those of taps that belong to no
// row; its elements, along the depth or the columns taken each, follow each other.
class Staging {
 public:
  Staging(const Contraction& c, const Packing& p, const Box& box);

  int64_t positions() const { return positions_; }
  int64_t bytes() const { return positions_ * depth_ * element_; }
  // Copies the positions [first, last) of a group to where they lie from `to` on.
  void fill(const void* left, int64_t group, int64_t first, int64_t last, char* to) const;
  // The contraction with the copy as its first operand, one group's. Taps that follow each other in
  // memory are one of a greater depth: that of `depth` elements.
  Contraction reading(int64_t* depth) const;

 private:
  struct Dimension {
    int64_t size;
    int64_t first;   // which position comes first: negative in the padding
    int64_t limit;   // of the positions that are there
    int64_t start;   // of position 0 in the operand
    int64_t stride;  // in the operand
  };
  template <typename To>
  void fill_as(const void* left, int64_t start, int64_t first, int64_t last, To* to) const;
  void interleave(const void* left, int64_t from, int64_t count, float* to) const;
  void interleave(const void* left, int64_t from, int64_t count, uint16_t* to) const;
  template <typename To>
  void copy(const void* left, int64_t from, int64_t count, To* to) const;
  int64_t step(int dimension) const;  // from position to position of the copy, in elements

  const Contraction& c_;
  Box box_;
  int64_t element_;  // bytes
  int64_t read_;     // elements of a position in the operand: the depth, or columns taken each
  int64_t depth_;    // elements of a position of the copy
  int64_t along_;    // from element to element of a position, in the operand
  int rank_ = 0;
  Dimension dims_[2 * kMaxRank];
  int tapped_[kMaxRank];  // which dimension a tap walks along
  int64_t positions_ = 1;
};

}  // namespace neuron::kernels
