// Sums and extremes over windows, of columns that lie side by side: pooling with channels last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "contract.h"
#include "parallel.h"
#include "tile.h"

namespace neuron::kernels {

// What combines two elements. The values are those of COMBINED in runtime/units/windows.py.
enum class Combined : uint8_t { sum, maximum, minimum, product };

// Windows over an array: each row of the result combines some rows of `columns` elements, a window
// with nothing in it being the neutral element. Strides count elements.
struct Windows {
  // Throws std::invalid_argument if the numbers, laid out as runtime/units/windows.py says, are no
  // windows; `*used` of them describe some.
  static Windows parse(const int64_t* words, size_t count, size_t* used);

  Combined combined;
  Type type;  // of the array
  float neutral;
  int64_t start;  // where its first element is
  int64_t columns;
  std::vector<RowDimension> rows;  // of the result; without a stride where windows move
  std::vector<TapDimension> taps;  // what is outside of the array is left out

  int64_t row_count() const;
  int64_t tap_count() const;
};

// Compute them and run the program on them, whose register 0 is given what is combined. The rows of
// its space are those of the windows. Throws std::invalid_argument if an element lies outside of
// the array or the space is another.
void combine(const Windows& windows, const Threads& threads, const Buffer& from,
             const TileProgram& program, const TileTask& task);

}  // namespace neuron::kernels
