// Sums over windows that move by one or two elements along rows, each column by itself: what the
// windows of neighbouring rows share is read once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "contract.h"
#include "multiply.h"

namespace neuron::kernels {

// The widths of windows along the rows that there are kernels for: 3, 5 and 7.
constexpr int64_t kMostSlid = 7;
// And what they may move by.
constexpr int64_t kMostStep = 2;

// Elements that the taps along the last dimension read, of the first column: row r reads the ones
// from r steps on.
struct Line {
  const float* data;
  int64_t stride;
};

// Rows that follow each other along the last dimension.
struct Strip {
  int64_t row;
  int height;
  int64_t low, high;  // of the elements of its lines, those that are no padding
  size_t lines;       // where they begin
};

// The strips of a range of rows, and their lines.
class Strips {
 public:
  // Whether there is a kernel for how windows move along the last dimension.
  static bool fit(const Contraction& c);

  // Find them, of an operand whose first element is at `data`; `zeros` is read in the padding.
  void locate(const Contraction& c, const float* data, const float* zeros, int64_t first,
              int64_t last);

  const std::vector<Strip>& all() const { return strips_; }
  const Line* lines(const Strip& strip) const { return lines_.data() + strip.lines; }

 private:
  // Lists the lines of the taps from dimension t on.
  void list(const Contraction& c, const int64_t* index, size_t t, const float* at,
            const float* zeros, bool inside);

  std::vector<Strip> strips_;
  std::vector<Line> lines_;
};

// What a kernel makes of a strip and a panel of columns.
struct Slide {
  const Strip& strip;
  const Line* lines;
  int64_t count;  // of lines
  const float* zeros;
  const float* panel;
  int64_t column, columns;
  float* out;
  int64_t ld;
};

template <int Size, int Step, int Rows>
void slide(const Slide& s) {
  for (int64_t v = 0; v * W < s.columns; ++v) {
    const int rest = static_cast<int>(std::min<int64_t>(W, s.columns - v * W));
    const float* weights = s.panel + v * W;
    vec sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = vec{};
    for (int64_t n = 0; n < s.count; ++n, weights += Size * kPanel) {
      vec weight[Size];
      for (int k = 0; k < Size; ++k) weight[k] = load(weights + k * kPanel);
      const float* at = s.lines[n].data + s.column + v * W;
      const float* const outside = s.zeros + s.column + v * W;
#pragma GCC unroll 29
      for (int i = 0; i < (Rows - 1) * Step + Size; ++i, at += s.lines[n].stride) {
        const float* from = i >= s.strip.low && i < s.strip.high ? at : outside;
        const vec x = rest == W ? load(from) : load(from, rest);
#pragma GCC unroll 7
        for (int k = 0; k < Size; ++k) {
          if (i < k || (i - k) % Step != 0 || (i - k) / Step >= Rows) continue;
          sum[(i - k) / Step] = fma(x, weight[k], sum[(i - k) / Step]);
        }
      }
    }
    for (int r = 0; r < Rows; ++r) store(s.out + r * s.ld + v * W, sum[r]);
  }
}

// The kernels for windows of one width and step, for every height of a strip from one row on.
struct SlideKernels {
  void (*of[kRows])(const Slide&);
};

template <int Size, int Step, int... Rows>
constexpr SlideKernels slides(std::integer_sequence<int, Rows...>) {
  return {{slide<Size, Step, Rows + 1>...}};
}

template <int Step>
SlideKernels slides(int64_t size) {
  const auto rows = std::make_integer_sequence<int, kRows>();
  return size == 3   ? slides<3, Step>(rows)
         : size == 5 ? slides<5, Step>(rows)
                     : slides<7, Step>(rows);
}

inline SlideKernels slides(const TapDimension& tap) {
  return tap.step == 1 ? slides<1>(tap.size) : slides<2>(tap.size);
}

}  // namespace neuron::kernels
