#include "staging.h"

#include <algorithm>
#include <cstring>

#include "convert.h"

namespace neuron::kernels {
namespace {

// Vectors of which one element each follow each other: what the Nth vector of these takes of a
// vector for whose element it is `turn` of so many.
template <int Count>
struct Turns {
  ivec from[Count][Count];

  Turns() {
    for (int n = 0; n < Count; ++n) {
      for (int turn = 0; turn < Count; ++turn) {
        for (int i = 0; i < W; ++i) {
          const int at = n * W + i;
          from[n][turn][i] = at % Count == turn ? W + at / Count : i;
        }
      }
    }
  }
};

template <int Count>
void store_in_turn(const vec (&given)[Count], float* to) {
  static const Turns<Count> turns;
  for (int n = 0; n < Count; ++n) {
    vec made{};
    for (int k = 0; k < Count; ++k) made = __builtin_shuffle(made, given[k], turns.from[n][k]);
    store(to + n * W, made);
  }
}

}  // namespace

Box all_rows(const Contraction& c) {
  Box box{};
  for (size_t d = 0; d < c.rows.size(); ++d) box.count[d] = c.rows[d].size;
  return box;
}

Box box_of(const Contraction& c, int64_t row0, int64_t row1) {
  Box box = all_rows(c);
  int64_t inner = c.row_count(), low = row0, high = row1 - 1;
  for (size_t d = 0; d < c.rows.size() && inner > 0; ++d) {
    inner /= c.rows[d].size;
    box.first[d] = low / inner;
    box.count[d] = high / inner - low / inner + 1;
    if (box.count[d] > 1) break;  // of the others, all
    low %= inner;
    high %= inner;
  }
  return box;
}

Staging::Staging(const Contraction& c, const Packing& p, const Box& box)
    : c_(c),
      box_(box),
      element_(p.element),
      read_(c.each ? c.columns : c.depth),
      depth_(c.each ? c.columns : p.depth),
      along_(c.each ? 1 : c.left_depth_stride) {
  for (size_t d = 0; d < c.rows.size(); ++d) {
    dims_[rank_++] = {box.count[d], box.first[d], c.rows[d].size, 0, c.rows[d].stride};
  }
  for (size_t t = 0; t < c.taps.size(); ++t) {
    const TapDimension& tap = c.taps[t];
    if (tap.row < 0) {
      tapped_[t] = rank_;
      dims_[rank_++] = {tap.size, 0, tap.size, 0, tap.stride};
      continue;
    }
    tapped_[t] = static_cast<int>(tap.row);
    Dimension& d = dims_[tap.row];
    d.stride = tap.stride / tap.dilation;
    d.size = (box.count[tap.row] - 1) * tap.step + (tap.size - 1) * tap.dilation + 1;
    d.first = box.first[tap.row] * tap.step - tap.low;
    d.limit = tap.limit;
    d.start = tap.low * d.stride;  // where the operand starts is told for the padding's first
  }
  for (int d = 0; d < rank_; ++d) positions_ *= dims_[d].size;
}

int64_t Staging::step(int dimension) const {
  int64_t made = depth_;
  for (int d = rank_ - 1; d > dimension; --d) made *= dims_[d].size;
  return made;
}

Contraction Staging::reading(int64_t* depth) const {
  Contraction made = c_;
  made.left_type = element_ == 2 ? Type::bf16 : Type::f32;
  made.left_start = 0;
  made.left_depth_stride = 1;
  for (auto& d : made.groups) d.left_stride = 0;
  for (size_t d = 0; d < made.rows.size(); ++d) {
    made.rows[d].stride = step(static_cast<int>(d));
  }
  for (size_t t = 0; t < made.taps.size(); ++t) {
    TapDimension& tap = made.taps[t];
    tap.stride = step(tapped_[t]);
    if (tap.row < 0) continue;
    made.rows[tap.row].stride *= tap.step;
    tap.stride *= tap.dilation;
    tap.low = 0;
    tap.limit = INT64_MAX;
  }
  for (size_t d = 0; d < made.rows.size(); ++d) {
    made.left_start -= box_.first[d] * made.rows[d].stride;
  }
  *depth = depth_;
  // What the taps of a second window step by depends on the box, and so would the order of sums.
  bool window = c_.each;
  while (!window && !made.taps.empty() && made.taps.back().stride == *depth) {
    window = made.taps.back().row >= 0;
    *depth *= made.taps.back().size;
    made.taps.pop_back();
  }
  return made;
}

// The same of a transposed operand: a vector of positions at a time.
void Staging::interleave(const void* left, int64_t from, int64_t count, float* to) const {
  for (int64_t x = 0; x < count; x += W) {
    const int here = static_cast<int>(std::min<int64_t>(W, count - x));
    const auto at = [&](int64_t k) { return read(c_.left_type, left, from + x + k * along_, here); };
    if (here == W && depth_ == 3 && !c_.narrow) {  // the colours of an image
      store_in_turn<3>({at(0), at(1), at(2)}, to + x * 3);
      continue;
    }
    for (int64_t k = 0; k < read_; ++k) {
      write(at(k), c_.narrow, here, depth_, to + x * depth_ + k);
    }
  }
}

void Staging::interleave(const void* left, int64_t from, int64_t count, uint16_t* to) const {
  for (int64_t x = 0; x < count; x += W) {
    const int here = static_cast<int>(std::min<int64_t>(W, count - x));
    const auto pairs = [&](int64_t k) {
      const auto at = [&](int64_t k) {
        return k < read_ ? read(c_.left_type, left, from + x + k * along_, here) : vec{};
      };
      return from_bits((ivec)(bf16_bits(at(k)) >> 16 | (bf16_bits(at(k + 1)) & 0xffff0000u)));
    };
    if (here == W && depth_ == 4) {
      store_in_turn<2>({pairs(0), pairs(2)}, reinterpret_cast<float*>(to + x * 4));
      continue;
    }
    for (int64_t k = 0; k < depth_; k += 2) {
      const vec made = pairs(k);
      for (int n = 0; n < here; ++n) {
        const float pair = made[n];
        std::memcpy(to + (x + n) * depth_ + k, &pair, 4);
      }
    }
  }
}

// Positions that follow each other along the last dimension, of which the first lies at `from`.
template <typename To>
void Staging::copy(const void* left, int64_t from, int64_t count, To* to) const {
  const int64_t stride = rank_ > 0 ? dims_[rank_ - 1].stride : 0;
  if (along_ != 1 && stride == 1) return interleave(left, from, count, to);
  if (along_ == 1 && stride == read_ && depth_ == read_) {
    return copy_run(c_.left_type, c_.narrow, left, from, count * read_, to);
  }
  for (int64_t x = 0; x < count; ++x, from += stride, to += depth_) {
    if (along_ == 1) {
      copy_run(c_.left_type, c_.narrow, left, from, read_, to);
    } else {
      for (int64_t k = 0; k < read_; ++k) {
        write(read(c_.left_type, left, from + k * along_, 1), c_.narrow, 1, 1, to + k);
      }
    }
    for (int64_t k = read_; k < depth_; ++k) to[k] = 0;
  }
}

template <typename To>
void Staging::fill_as(const void* left, int64_t start, int64_t first, int64_t last, To* to) const {
  if (rank_ == 0) return copy(left, start, 1, to);
  const Dimension& inner = dims_[rank_ - 1];
  for (int64_t position = first; position < last;) {
    int64_t rest = position / inner.size, at = start + inner.start;
    bool inside = true;
    for (int d = rank_ - 2; d >= 0; --d) {
      const int64_t index = dims_[d].first + rest % dims_[d].size;
      rest /= dims_[d].size;
      inside &= index >= 0 && index < dims_[d].limit;
      at += dims_[d].start + index * dims_[d].stride;
    }
    const int64_t x = position % inner.size, index = inner.first + x;
    const int64_t count = std::min(inner.size - x, last - position);
    const int64_t low = inside ? std::clamp<int64_t>(-index, 0, count) : count;
    const int64_t high = inside ? std::clamp<int64_t>(inner.limit - index, low, count) : count;
    To* const out = to + position * depth_;
    std::memset(out, 0, low * depth_ * sizeof(To));
    if (low < high) copy(left, at + (index + low) * inner.stride, high - low, out + low * depth_);
    std::memset(out + high * depth_, 0, (count - high) * depth_ * sizeof(To));
    position += count;
  }
}

void Staging::fill(const void* left, int64_t group, int64_t first, int64_t last, char* to) const {
  const int64_t start = start_of(c_, group, c_.left_start, &GroupDimension::left_stride);
  if (element_ == 2) {
    fill_as(left, start, first, last, reinterpret_cast<uint16_t*>(to));
  } else {
    fill_as(left, start, first, last, reinterpret_cast<float*>(to));
  }
}

}  // namespace neuron::kernels
