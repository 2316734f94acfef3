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
  const char* data;
  int64_t stride;  // bytes
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

  // Find them, of an operand of elements of so many bytes of which the first is at `data`; `zeros`
  // is read in the padding.
  void locate(const Contraction& c, const char* data, int64_t element, const char* zeros,
              int64_t first, int64_t last);

  const std::vector<Strip>& all() const { return strips_; }
  const Line* lines(const Strip& strip) const { return lines_.data() + strip.lines; }

 private:
  // Lists the lines of the taps from dimension t on.
  void list(const Contraction& c, const int64_t* index, size_t t, const char* at, bool inside);

  int64_t element_ = 0;
  const char* zeros_ = nullptr;
  std::vector<Strip> strips_;
  std::vector<Line> lines_;
};

// What a kernel makes of a strip and a panel of columns.
struct Slide {
  const Strip& strip;
  const Line* lines;
  int64_t count;  // of lines
  const char* zeros;
  const float* panel;
  int64_t column, columns;
  float* out;
  int64_t ld;
};

// Of elements of type `From`, as f32.
template <typename From, int Size, int Step, int Rows>
void slide(const Slide& s) {
  for (int64_t v = 0; v * W < s.columns; ++v) {
    const int rest = static_cast<int>(std::min<int64_t>(W, s.columns - v * W));
    const float* weights = s.panel + v * W;
    vec sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = vec{};
    for (int64_t n = 0; n < s.count; ++n, weights += Size * kPanel) {
      vec weight[Size];
      for (int k = 0; k < Size; ++k) weight[k] = load(weights + k * kPanel);
      const int64_t column = (s.column + v * W) * static_cast<int64_t>(sizeof(From));
      const char* at = s.lines[n].data + column;
      const char* const outside = s.zeros + column;
#pragma GCC unroll 29
      for (int i = 0; i < (Rows - 1) * Step + Size; ++i, at += s.lines[n].stride) {
        const bool inside = i >= s.strip.low && i < s.strip.high;
        const auto* from = reinterpret_cast<const From*>(inside ? at : outside);
        const vec x = rest == W ? widened(from) : widened(from, rest);
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

template <typename From, int Size, int Step, int... Rows>
constexpr SlideKernels slides(std::integer_sequence<int, Rows...>) {
  return {{slide<From, Size, Step, Rows + 1>...}};
}

template <typename From, int Step>
SlideKernels slides(int64_t size) {
  const auto rows = std::make_integer_sequence<int, kRows>();
  return size == 3   ? slides<From, 3, Step>(rows)
         : size == 5 ? slides<From, 5, Step>(rows)
                     : slides<From, 7, Step>(rows);
}

template <typename From>
SlideKernels slides(const TapDimension& tap) {
  return tap.step == 1 ? slides<From, 1>(tap.size) : slides<From, 2>(tap.size);
}

inline SlideKernels slides(Type from, const TapDimension& tap) {
  return from == Type::bf16 ? slides<uint16_t>(tap) : slides<float>(tap);
}

}  // namespace neuron::kernels
