#include "slide.h"

namespace neuron::kernels {

bool Strips::fit(const Contraction& c) {
  if (!c.each || c.rows.empty() || c.taps.empty()) return false;
  const TapDimension& tap = c.taps.back();
  const bool along = tap.row + 1 == static_cast<int64_t>(c.rows.size()) && tap.step >= 1 &&
                     tap.step <= kMostStep && tap.dilation == 1 &&
                     tap.stride * tap.step == c.rows.back().stride;
  return along && (tap.size == 3 || tap.size == 5 || tap.size == kMostSlid);
}

void Strips::locate(const Contraction& c, const char* data, int64_t element, const char* zeros,
                    int64_t first, int64_t last) {
  element_ = element;
  zeros_ = zeros;
  strips_.clear();
  lines_.clear();
  const size_t end = c.rows.size() - 1;
  const TapDimension& tap = c.taps.back();
  for (int64_t row = first; row < last;) {
    int64_t index[kMaxRank], rest = row;
    const char* at = data;
    for (size_t d = c.rows.size(); d-- > 0;) {
      index[d] = rest % c.rows[d].size;
      rest /= c.rows[d].size;
      at += index[d] * c.rows[d].stride * element;
    }
    const int64_t run = std::min(c.rows[end].size - index[end], last - row);
    const int64_t parts = (run + kRows - 1) / kRows;  // of nearly the same height
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t from = run * part / parts, height = run * (part + 1) / parts - from;
      const int64_t before = tap.low - (index[end] + from) * tap.step;  // elements of padding
      const int64_t elements = (height - 1) * tap.step + tap.size;
      const int64_t high = tap.limit > elements - before ? elements : tap.limit + before;
      strips_.push_back({row + from, static_cast<int>(height), before, high, lines_.size()});
      list(c, index, 0, at + from * c.rows[end].stride * element, true);
    }
    row += run;
  }
}

void Strips::list(const Contraction& c, const int64_t* index, size_t t, const char* at,
                  bool inside) {
  if (t + 1 == c.taps.size()) {
    lines_.push_back(inside ? Line{at, c.taps.back().stride * element_} : Line{zeros_, 0});
    return;
  }
  const TapDimension& d = c.taps[t];
  int64_t position = (d.row < 0 ? 0 : index[d.row] * d.step) - d.low;
  for (int64_t n = 0; n < d.size; ++n, at += d.stride * element_, position += d.dilation) {
    list(c, index, t + 1, at, inside && position >= 0 && position < d.limit);
  }
}

}  // namespace neuron::kernels
