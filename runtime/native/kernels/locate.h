// Finds where the rows of a tile lie in the first operand of a contraction.
#pragma once

#include <algorithm>
#include <cstdint>

#include "contract.h"
#include "multiply.h"

namespace neuron::kernels {

class Rows {
 public:
  // Of rows that lie at `data`, in elements of so many bytes; `zeros` is read in the padding.
  Rows(const Contraction& c, const char* data, int64_t element, const char* zeros)
      : c_(c), data_(data), element_(element), zeros_(zeros) {}

  void locate(int64_t start, int64_t row0, int64_t row1, Sources* to) const {
    int64_t index[kMaxRank] = {}, rest = row0;
    for (size_t d = c_.rows.size(); d-- > 0;) {
      index[d] = rest % c_.rows[d].size;
      rest /= c_.rows[d].size;
    }
    for (int64_t row = row0; row < row1;) {
      // Rows that follow each other along the last dimension are found together.
      const size_t last = c_.rows.size() - 1;
      const int64_t count =
          c_.rows.empty() ? 1 : std::min(c_.rows[last].size - index[last], row1 - row);
      int64_t at = start;
      for (size_t d = 0; d < c_.rows.size(); ++d) at += index[d] * c_.rows[d].stride;
      Sources* out = to + (row - row0);
      place(0, index, at, 0, count, count, &out);
      row += count;
      for (size_t d = c_.rows.size(); d-- > 0;) {
        index[d] += d == last ? count : 1;
        if (index[d] < c_.rows[d].size) break;
        index[d] = 0;
      }
    }
  }

 private:
  // Places the sources of taps from dimension t on; of `count` rows, [low, high) are inside.
  void place(size_t t, const int64_t* index, int64_t at, int64_t low, int64_t high, int64_t count,
             Sources** to) const {
    if (t == c_.taps.size()) {
      const int64_t step = c_.rows.empty() ? 0 : c_.rows.back().stride * element_;
      const char* from = data_ + at * element_;
      for (int64_t r = 0; r < count; ++r) {
        (*to)[r] = r >= low && r < high ? from + r * step : zeros_;
      }
      *to += kRows;
      return;
    }
    const TapDimension& d = c_.taps[t];
    const bool along = d.row >= 0 && d.row + 1 == static_cast<int64_t>(c_.rows.size());
    int64_t position = (d.row < 0 ? 0 : index[d.row] * d.step) - d.low;
    for (int64_t n = 0; n < d.size; ++n, at += d.stride, position += d.dilation) {
      int64_t first = low, end = high;
      if (along && d.step > 0) {  // row r is at position + r * step
        if (position < 0) first = std::max(first, (-position + d.step - 1) / d.step);
        const int64_t room = d.limit - position;
        end = std::min(end, room <= 0 ? 0 : (room - 1) / d.step + 1);
      } else if (position < 0 || position >= d.limit) {
        end = first;
      }
      place(t + 1, index, at, first, end, count, to);
    }
  }

  const Contraction& c_;
  const char* const data_;
  const int64_t element_;
  const char* const zeros_;
};

}  // namespace neuron::kernels
