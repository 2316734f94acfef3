// Finds where the rows of a tile lie in the first operand of a contraction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "contract.h"
#include "multiply.h"

namespace neuron::kernels {

// Lists how many bytes each tap is from the first, from dimension t on.
inline void list_taps(const Contraction& c, int64_t element, std::vector<int64_t>* to,
                      size_t t = 0, int64_t at = 0) {
  if (t == c.taps.size()) return to->push_back(at * element);
  for (int64_t n = 0; n < c.taps[t].size; ++n) {
    list_taps(c, element, to, t + 1, at + n * c.taps[t].stride);
  }
}

class Rows {
 public:
  // Of rows that lie at `data`, in elements of so many bytes, of which the first is at `start`;
  // `zeros` is read in the padding, unless there is none. They are found from `row` on.
  Rows(const Contraction& c, const char* data, int64_t element, const char* zeros, int64_t start,
       int64_t row)
      : c_(c), data_(data), element_(element), zeros_(zeros), start_(start) {
    for (size_t d = c_.rows.size(); d-- > 0;) {
      index_[d] = row % c_.rows[d].size;
      row /= c_.rows[d].size;
    }
    if (zeros_ == nullptr) list_taps(c_, element_, &ahead_);
  }

  // The next rows, of each tap.
  void locate(int64_t rows, Sources* to) {
    const size_t last = c_.rows.size() - 1;
    Sources* const first = to;
    while (rows > 0) {
      // Rows that follow each other along the last dimension are found together.
      const int64_t count = c_.rows.empty() ? 1 : std::min(c_.rows[last].size - index_[last], rows);
      int64_t at = start_;
      for (size_t d = 0; d < c_.rows.size(); ++d) at += index_[d] * c_.rows[d].stride;
      Sources* out = to;
      if (zeros_ == nullptr) {
        put(at, 0, count, count, to);
      } else {
        place(0, at, 0, count, count, &out);
      }
      to += count;
      rows -= count;
      for (size_t d = c_.rows.size(); d-- > 0;) {
        index_[d] += d == last ? count : 1;
        if (index_[d] < c_.rows[d].size) break;
        index_[d] = 0;
      }
    }
    for (size_t t = 1; t < ahead_.size(); ++t) {  // what lies beyond the last row is not read
      for (int r = 0; r < kRows; ++r) first[t * kRows + r] = first[r] + ahead_[t];
    }
  }

 private:
  // The sources of rows that follow each other, the first at `at`; [low, high) are inside.
  void put(int64_t at, int64_t low, int64_t high, int64_t count, Sources* to) const {
    const int64_t step = c_.rows.empty() ? 0 : c_.rows.back().stride * element_;
    const char* from = data_ + at * element_;
    for (int64_t r = 0; r < std::min(low, count); ++r) to[r] = zeros_;
    for (int64_t r = low; r < high; ++r) to[r] = from + r * step;
    for (int64_t r = std::max(low, high); r < count; ++r) to[r] = zeros_;
  }

  // Places the sources of taps from dimension t on; of `count` rows, [low, high) are inside.
  void place(size_t t, int64_t at, int64_t low, int64_t high, int64_t count, Sources** to) const {
    if (t == c_.taps.size()) {
      put(at, low, high, count, *to);
      *to += kRows;
      return;
    }
    const TapDimension& d = c_.taps[t];
    const bool along = d.row >= 0 && d.row + 1 == static_cast<int64_t>(c_.rows.size());
    int64_t position = (d.row < 0 ? 0 : index_[d.row] * d.step) - d.low;
    for (int64_t n = 0; n < d.size; ++n, at += d.stride, position += d.dilation) {
      int64_t first = low, end = high;
      if (along && d.step > 0) {  // row r is at position + r * step
        if (position < 0) first = std::max(first, (-position + d.step - 1) / d.step);
        const int64_t room = d.limit - position;
        end = std::min(end, room <= 0 ? 0 : (room - 1) / d.step + 1);
      } else if (position < 0 || position >= d.limit) {
        end = first;
      }
      place(t + 1, at, first, end, count, to);
    }
  }

  const Contraction& c_;
  const char* const data_;
  const int64_t element_;
  const char* const zeros_;
  const int64_t start_;
  int64_t index_[kMaxRank] = {};
  std::vector<int64_t> ahead_;  // bytes from the first tap to each, where there is no padding
};

}  // namespace neuron::kernels
