#include "contract.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "vector.h"

namespace neuron::kernels {
namespace {

// A panel is this many columns wide: two vectors, so that one broadcast feeds two products.
constexpr int64_t kPanel = 2 * W;
// Rows of a tile: as many accumulators as the registers hold beside a panel's row and a broadcast.
constexpr int kRows = W == 16 ? 12 : 6;
// What a core's second-level cache keeps beside the stream that is read only once.
constexpr int64_t kCache = 512 * 1024;
#if defined(__AVX512BF16__)
constexpr bool kPairs = true;  // bf16 is multiplied in pairs along the depth
#else
constexpr bool kPairs = false;  // bf16 is multiplied as f32, to which it converts exactly
#endif

// The elements of some dimensions.
template <typename Dimension>
int64_t count_of(const std::vector<Dimension>& dimensions) {
  int64_t total = 1;
  for (const auto& d : dimensions) total *= d.size;
  return total;
}

// How the operands lie in memory once packed.
struct Packing {
  bool pairs;
  int64_t element;  // bytes
  int64_t depth;    // of a tap, in elements, even for pairs
  int64_t read;     // bytes of an element of the first operand where it is read as it lies
  int64_t panels;
  int64_t group_bytes;

  explicit Packing(const Contraction& c)
      : pairs(c.narrow && kPairs && !c.each),
        element(pairs ? 2 : 4),
        depth(pairs ? (c.depth + 1) / 2 * 2 : c.depth),
        read(c.left_type == Type::bf16 && (pairs || c.each) ? 2 : 4),
        panels((c.columns + kPanel - 1) / kPanel),
        group_bytes(panels * c.tap_count() * depth * kPanel * element) {}
  int64_t panel_bytes(const Contraction& c) const {
    return c.tap_count() * depth * kPanel * element;
  }
};

uint16_t to_bf16(float value) { return f32_to_bf16(splat(value))[0]; }

float from_bf16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float made;
  std::memcpy(&made, &bits, 4);
  return made;
}

float element(Type type, const void* data, int64_t index) {
  return type == Type::bf16 ? from_bf16(static_cast<const uint16_t*>(data)[index])
                            : static_cast<const float*>(data)[index];
}

// One element of an operand as the products take it.
float rounded(bool narrow, float value) { return narrow ? from_bf16(to_bf16(value)) : value; }

// Memory that a thread keeps between its calls.
class Arena {
 public:
  char* get(int64_t bytes) {
    if (bytes > size_) {
      data_.reset(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
      size_ = bytes;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  int64_t size_ = 0;
};

// f32 to bf16, to nearest even.
void narrow(const float* from, int64_t count, uint16_t* to) {
  int64_t k = 0;
  for (; k + W <= count; k += W) store_as(to + k, f32_to_bf16(load(from + k)));
  for (; k < count; ++k) to[k] = to_bf16(from[k]);
}

// Pairs of bf16 of two rows; without a second, of the first and zeros.
void pack_pairs(const float* first, const float* second, int64_t count, uint32_t* to) {
  int64_t n = 0;
  for (; n + W <= count; n += W) {
    const uvec low = bf16_bits(load(first + n)) >> 16;
    const uvec high = second != nullptr ? bf16_bits(load(second + n)) & 0xffff0000u : uvec{};
    store_as(to + n, low | high);
  }
  for (; n < count; ++n) {
    const uint32_t high = second != nullptr ? to_bf16(second[n]) : 0;
    to[n] = to_bf16(first[n]) | high << 16;
  }
}

// A column of the second operand at one tap, from `from` on, as the products take it.
template <typename To>
void read_depth(const Contraction& c, const void* right, int64_t from, To* to) {
  for (int64_t k = 0; k < c.depth; ++k) {
    const float value = element(c.right_type, right, from + k * c.right_depth_stride);
    if constexpr (sizeof(To) == 2) {
      to[k] = to_bf16(value);
    } else {
      to[k] = rounded(c.narrow, value);
    }
  }
}

// A panel of the second operand at one tap: [depth][columns], or [depth / 2][columns][2]. In
// units of four bytes it is [depth][columns] either way, an element or a pair.
void pack_tap(const Contraction& c, const Packing& p, const void* right, int64_t start,
              int64_t columns, char* to) {
  const int64_t units = p.depth * p.element / 4;
  if (columns < kPanel) std::memset(to, 0, units * kPanel * 4);
  if (c.right_column_stride == 1 && c.right_type == Type::f32 && (p.pairs || !c.narrow)) {
    const float* from = static_cast<const float*>(right) + start;
    const int64_t step = c.right_depth_stride;
    for (int64_t u = 0; u < units; ++u, to += kPanel * 4) {
      if (p.pairs) {
        const float* second = 2 * u + 1 < c.depth ? from + step : nullptr;
        pack_pairs(from, second, columns, reinterpret_cast<uint32_t*>(to));
        from += 2 * step;
      } else {
        std::memcpy(to, from, columns * 4);
        from += step;
      }
    }
    return;
  }
  static thread_local Arena arena;
  char* column = arena.get(p.depth * p.element);
  std::memset(column, 0, p.depth * p.element);
  auto* out = reinterpret_cast<uint32_t*>(to);
  for (int64_t n = 0; n < columns; ++n) {
    const int64_t from = start + n * c.right_column_stride;
    if (!p.pairs) {
      read_depth(c, right, from, reinterpret_cast<float*>(column));
    } else if (c.right_type == Type::f32 && c.right_depth_stride == 1) {
      narrow(static_cast<const float*>(right) + from, c.depth, reinterpret_cast<uint16_t*>(column));
    } else {
      read_depth(c, right, from, reinterpret_cast<uint16_t*>(column));
    }
    const auto* in = reinterpret_cast<const uint32_t*>(column);
    for (int64_t u = 0; u < units; ++u) out[u * kPanel + n] = in[u];
  }
}

// Where the elements of a group begin in the operand that steps by `stride` from group to group.
int64_t start_of(const Contraction& c, int64_t group, int64_t start,
                 int64_t GroupDimension::*stride) {
  for (auto d = c.groups.rbegin(); d != c.groups.rend(); ++d) {
    start += group % d->size * ((*d).*stride);
    group /= d->size;
  }
  return start;
}

int64_t left_of_group(const Contraction& c, int64_t group) {
  return start_of(c, group, c.left_start, &GroupDimension::left_stride);
}

int64_t right_of_group(const Contraction& c, int64_t group) {
  return start_of(c, group, c.right_start, &GroupDimension::right_stride);
}

void pack_panel(const Contraction& c, const Packing& p, const void* right, int64_t group,
                int64_t panel, char* to) {
  const int64_t column = panel * kPanel;
  int64_t start = right_of_group(c, group) + column * c.right_column_stride;
  for (int64_t tap = 0; tap < c.tap_count(); ++tap, start += c.right_tap_stride) {
    pack_tap(c, p, right, start, std::min(kPanel, c.columns - column), to);
    to += p.depth * kPanel * p.element;
  }
}

// For each tap, the rows of a tile: where their elements along the depth lie.
using Sources = const char*;

#if defined(__AVX512BF16__)
inline __m512 products(__m512 sum, __m512i pair, __m512i panel) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pair), reinterpret_cast<__m512bh>(panel));
}
#endif

// A tile: the sources of its rows for each tap, and the panel of columns.
struct Block {
  const Packing& p;
  int64_t taps;
  const Sources* rows;
  const char* panel;
  int64_t column, columns;
  float* out;
  // What is read after this panel: so much of it is fetched for each step along the depth.
  const char* ahead;
  int64_t ahead_step;
};

// The sums of `Rows` rows and `Vectors` vectors of columns, over all taps and the depth.
template <int Rows, int Vectors, bool Pairs>
void multiply(const Block& t) {
  const Packing& p = t.p;
  const Sources* rows = t.rows;
  const char* panel = t.panel;
  const char* ahead = t.ahead;
  vec sum[Rows][Vectors];
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) sum[r][v] = vec{};
  }
  for (int64_t tap = 0; tap < t.taps; ++tap, rows += kRows) {
    const char* row[Rows];
    for (int r = 0; r < Rows; ++r) row[r] = rows[r];
    const int64_t bytes = p.depth * p.element;
    for (int64_t k = 0; k < bytes; k += 4, panel += kPanel * 4, ahead += t.ahead_step) {
      __builtin_prefetch(ahead, 0, 2);
#if defined(__AVX512BF16__)
      if constexpr (Pairs) {
        __m512i columns[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) columns[v] = _mm512_loadu_si512(panel + v * 64);
#pragma GCC unroll 12
        for (int r = 0; r < Rows; ++r) {
          const __m512i pair = _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(row[r] + k));
#pragma GCC unroll 2
          for (int v = 0; v < Vectors; ++v) {
            sum[r][v] = (vec)products((__m512)sum[r][v], pair, columns[v]);
          }
        }
        continue;
      }
#endif
      vec columns[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        columns[v] = load(reinterpret_cast<const float*>(panel) + v * W);
      }
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const float value = *reinterpret_cast<const float*>(row[r] + k);
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) sum[r][v] = fma(splat(value), columns[v], sum[r][v]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) store(t.out + r * kPanel + v * W, sum[r][v]);
  }
}

vec read(const float* from, int count) { return count == W ? load(from) : load(from, count); }

vec read(const uint16_t* from, int count) {
  if (count == W) return bf16_to_f32(load_as<hvec>(from));
  hvec part{};
  for (int n = 0; n < count; ++n) part[n] = from[n];
  return bf16_to_f32(part);
}

// The sums of `Rows` rows over the taps, each column by itself.
template <int Rows, bool Narrow>
void multiply_each(const Block& t) {
  using Element = std::conditional_t<Narrow, uint16_t, float>;
  const Sources* rows = t.rows;
  for (int64_t v = 0; v * W < t.columns; ++v) {
    const int here = static_cast<int>(std::min<int64_t>(W, t.columns - v * W));
    vec sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = vec{};
    for (int64_t tap = 0; tap < t.taps; ++tap) {
      const vec weights = load(reinterpret_cast<const float*>(t.panel) + tap * kPanel + v * W);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const auto* from = reinterpret_cast<const Element*>(rows[tap * kRows + r]) + t.column + v * W;
        sum[r] = fma(read(from, here), weights, sum[r]);
      }
    }
    for (int r = 0; r < Rows; ++r) store(t.out + r * kPanel + v * W, sum[r]);
  }
}

using Multiply = void (*)(const Block&);

// The kernels of every height of a tile.
template <int... Rows>
Multiply find(const Contraction& c, const Packing& p, int rows, bool wide,
              std::integer_sequence<int, Rows...>) {
  Multiply found = nullptr;
  auto choose = [&](Multiply narrow_each, Multiply each, Multiply pairs2, Multiply pairs1,
                    Multiply two, Multiply one) {
    if (c.each) return c.left_type == Type::bf16 ? narrow_each : each;
    if (p.pairs) return wide ? pairs2 : pairs1;
    return wide ? two : one;
  };
  ((rows == Rows + 1
        ? void(found = choose(multiply_each<Rows + 1, true>, multiply_each<Rows + 1, false>,
                              multiply<Rows + 1, 2, kPairs>, multiply<Rows + 1, 1, kPairs>,
                              multiply<Rows + 1, 2, false>, multiply<Rows + 1, 1, false>))
        : void()),
   ...);
  return found;
}

Multiply kernel(const Contraction& c, const Packing& p, int rows, bool wide) {
  return find(c, p, rows, wide, std::make_integer_sequence<int, kRows>());
}

// The first operand as the kernel reads it: the caller's own memory, or a packed copy of all rows.
class Left {
 public:
  Left(const Contraction& c, const Packing& p, const void* data)
      : c_(c), p_(p), data_(static_cast<const char*>(data)) {}

  // Whether the kernel can read the operand where it lies.
  bool direct() const {
    if (c_.each) return true;
    const bool same = p_.pairs ? c_.left_type == Type::bf16 && c_.depth % 2 == 0
                               : c_.left_type == Type::f32 && !c_.narrow;
    return same && c_.left_depth_stride == 1;
  }

  int64_t copied_bytes() const {
    return c_.group_count() * c_.row_count() * c_.tap_count() * p_.depth * p_.element;
  }

  // Calls use(tap, inside, offset) for each tap of a row: where its elements begin, if it is not
  // in the padding.
  template <typename Use>
  void each_tap(int64_t group_start, const int64_t* index, Use&& use) const {
    int64_t at = group_start;
    for (size_t d = 0; d < c_.rows.size(); ++d) at += index[d] * c_.rows[d].stride;
    int64_t tap = 0;
    step_taps(0, index, true, at, &tap, use);
  }

  void advance(int64_t* index) const {
    for (size_t d = c_.rows.size(); d-- > 0;) {
      if (++index[d] < c_.rows[d].size) return;
      index[d] = 0;
    }
  }

  void unflatten(int64_t row, int64_t* index) const {
    for (size_t d = c_.rows.size(); d-- > 0;) {
      index[d] = row % c_.rows[d].size;
      row /= c_.rows[d].size;
    }
  }

  // Copy one row of a group, rounded and padded, to `to`.
  void copy(int64_t group, int64_t row, char* to) const {
    int64_t index[kMaxRank];
    unflatten(row, index);
    const int64_t bytes = p_.depth * p_.element;
    each_tap(left_of_group(c_, group), index, [&](int64_t tap, bool inside, int64_t offset) {
      if (!inside) {
        std::memset(to + tap * bytes, 0, bytes);
      } else if (p_.pairs) {
        copy_narrow(offset, reinterpret_cast<uint16_t*>(to + tap * bytes));
      } else {
        auto* out = reinterpret_cast<float*>(to + tap * bytes);
        for (int64_t k = 0; k < c_.depth; ++k) {
          out[k] =
              rounded(c_.narrow, element(c_.left_type, data_, offset + k * c_.left_depth_stride));
        }
      }
    });
  }

  const char* at(int64_t offset) const { return data_ + offset * p_.read; }

 private:
  template <typename Use>
  void step_taps(size_t t, const int64_t* index, bool inside, int64_t at, int64_t* tap,
                 Use&& use) const {
    if (t == c_.taps.size()) return use((*tap)++, inside, at);
    const TapDimension& d = c_.taps[t];
    int64_t position = (d.row < 0 ? 0 : index[d.row] * d.step) - d.low;
    for (int64_t n = 0; n < d.size; ++n, at += d.stride, position += d.dilation) {
      step_taps(t + 1, index, inside && position >= 0 && position < d.limit, at, tap, use);
    }
  }

  void copy_narrow(int64_t offset, uint16_t* out) const {
    if (c_.left_type == Type::f32 && c_.left_depth_stride == 1) {
      narrow(reinterpret_cast<const float*>(data_) + offset, c_.depth, out);
    } else {
      for (int64_t k = 0; k < c_.depth; ++k) {
        out[k] = to_bf16(element(c_.left_type, data_, offset + k * c_.left_depth_stride));
      }
    }
    for (int64_t k = c_.depth; k < p_.depth; ++k) out[k] = 0;
  }

  const Contraction& c_;
  const Packing& p_;
  const char* data_;
};

// How the tiles are divided into chunks that threads take: blocks of rows, and of panels.
struct Division {
  int64_t row_blocks, panel_blocks;

  Division(const Contraction& c, const Packing& p, int64_t threads) {
    const int64_t rows = c.row_count(), groups = c.group_count();
    const int64_t right = p.group_bytes;
    const int64_t left = rows * c.tap_count() * p.depth * p.element;
    // Enough chunks that a thread that comes late still gets its share.
    const int64_t wanted = threads == 1 ? 1 : (4 * threads + groups - 1) / groups;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    row_blocks = panel_blocks = 1;
    if (right > kCache && left > kCache) row_blocks = (left + kCache - 1) / kCache;
    if (right > kCache || tiles < wanted) {
      // Each panel is read once, by one thread.
      panel_blocks = std::min(p.panels, (wanted + row_blocks - 1) / row_blocks);
      if (tiles >= wanted && row_blocks * panel_blocks < wanted) row_blocks = wanted;
    } else {
      row_blocks = wanted;
    }
    row_blocks = std::min(row_blocks, tiles);
  }
};

struct Work {
  const Contraction& c;
  const Packing& p;
  const Left& left;
  const char* right;
  const char* copied;  // the first operand, packed; or null
  const char* zeros;
  const TileProgram& program;
  const TileTask& task;

  // The tiles of a block of rows and panels of one group.
  void run(int64_t group, int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) const {
    const int64_t taps = c.tap_count(), count = (row1 - row0 + kRows - 1) / kRows;
    static thread_local std::vector<Sources> sources;
    sources.resize(count * taps * kRows);
    static thread_local Arena arena;
    auto* tile = reinterpret_cast<float*>(arena.get(program.scratch(kRows, kPanel) * 4));
    for (int64_t t = 0; t < count; ++t) {
      locate(group, row_of(row0, row1, count, t), row_of(row0, row1, count, t + 1),
             sources.data() + t * taps * kRows);
    }
    const char* panels = right + group * p.group_bytes;
    const int64_t before = group * c.row_count();
    const int64_t bytes = p.panel_bytes(c);
    const int64_t steps = taps * p.depth * p.element / 4;
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      const char* here = panels + panel * bytes;
      const bool fetch = p.group_bytes > kCache && panel + 1 < panel1;
      const int64_t step = fetch ? std::max<int64_t>(1, kPanel * 4 / count) : 0;
      const int64_t column = panel * kPanel;
      const int64_t columns = std::min(kPanel, c.columns - column);
      for (int64_t t = 0; t < count; ++t) {
        const int64_t first = row_of(row0, row1, count, t);
        const int rows = static_cast<int>(row_of(row0, row1, count, t + 1) - first);
        kernel(c, p, rows, columns > W)(Block{
            p, taps, sources.data() + t * taps * kRows, here, column, columns, tile,
            fetch ? here + bytes + t * steps * step : here, step});
        task.run({before + first, rows, column, static_cast<int>(columns),
                  static_cast<int>(kPanel)},
                 tile);
      }
    }
  }

  // Tiles of nearly the same height, so that none is left with a single row.
  static int64_t row_of(int64_t row0, int64_t row1, int64_t count, int64_t tile) {
    return row0 + (row1 - row0) * tile / count;
  }

  void locate(int64_t group, int64_t row0, int64_t row1, Sources* to) const {
    const int64_t taps = c.tap_count();
    if (copied != nullptr) {
      const int64_t bytes = p.depth * p.element;
      const char* from = copied + (group * c.row_count() + row0) * taps * bytes;
      for (int64_t row = 0; row < row1 - row0; ++row) {
        for (int64_t tap = 0; tap < taps; ++tap, from += bytes) to[tap * kRows + row] = from;
      }
      return;
    }
    const int64_t start = left_of_group(c, group);
    int64_t index[kMaxRank];
    left.unflatten(row0, index);
    for (int64_t row = 0; row < row1 - row0; ++row) {
      left.each_tap(start, index, [&](int64_t tap, bool inside, int64_t offset) {
        to[tap * kRows + row] = inside ? left.at(offset) : zeros;
      });
      left.advance(index);
    }
  }
};

}  // namespace

int64_t Contraction::group_count() const { return count_of(groups); }
int64_t Contraction::row_count() const { return count_of(rows); }
int64_t Contraction::tap_count() const { return count_of(taps); }

Contraction Contraction::parse(const int64_t* words, size_t count, size_t* used) {
  size_t at = 0;
  auto next = [&](int64_t least = INT64_MIN, int64_t most = INT64_MAX) {
    if (at >= count || words[at] < least || words[at] > most) {
      throw std::invalid_argument("contraction: word " + std::to_string(at) +
                                  " must be there and within bounds");
    }
    return words[at++];
  };
  constexpr int64_t kMost = int64_t{1} << 40;
  Contraction c{};
  c.each = next(0, 1);
  c.narrow = next(0, 1);
  c.left_type = next(0, 1) ? Type::bf16 : Type::f32;
  c.left_start = next(-kMost, kMost);
  c.left_depth_stride = next(-kMost, kMost);
  c.packed = next(0, 1);
  c.right_type = next(0, 1) ? Type::bf16 : Type::f32;
  c.right_start = next(-kMost, kMost);
  c.right_depth_stride = next(-kMost, kMost);
  c.right_column_stride = next(-kMost, kMost);
  c.right_tap_stride = next(-kMost, kMost);
  c.depth = next(1, kMost);
  c.columns = next(1, kMost);
  c.groups.resize(next(0, kMaxRank));
  for (auto& d : c.groups) d = {next(1, kMost), next(-kMost, kMost), next(-kMost, kMost)};
  c.rows.resize(next(0, kMaxRank));
  for (auto& d : c.rows) d = {next(1, kMost), next(-kMost, kMost)};
  c.taps.resize(next(0, kMaxRank));
  for (auto& d : c.taps) {
    // Braced lists are evaluated in order. A tap of no row is read at t * dilation.
    d = {next(1, kMost), next(-kMost, kMost), next(-1, int64_t(c.rows.size()) - 1), next(0, kMost),
         next(0, kMost), next(-kMost, kMost), next(1, kMost)};
  }
  *used = at;
  return c;
}

int64_t packed_bytes(const Contraction& c) { return Packing(c).group_bytes * c.group_count(); }

void pack_right(const Contraction& c, const void* right, void* packed) {
  const Packing p(c);
  auto* to = static_cast<char*>(packed);
  for (int64_t group = 0; group < c.group_count(); ++group) {
    for (int64_t panel = 0; panel < p.panels; ++panel, to += p.panel_bytes(c)) {
      pack_panel(c, p, right, group, panel, to);
    }
  }
}

void contract(const Contraction& c, const Threads& threads, const void* left, const void* right,
              const TileProgram& program, const TileTask& task) {
  static thread_local Arena arena;
  const Packing p(c);
  const Left reader(c, p, left);
  const int64_t groups = c.group_count(), rows = c.row_count(), taps = c.tap_count();
  const int64_t copied = reader.direct() ? 0 : (reader.copied_bytes() + 63) / 64 * 64;
  const int64_t packed = c.packed ? 0 : (packed_bytes(c) + 63) / 64 * 64;
  const int64_t zeros = c.each ? c.columns * 4 : p.depth * p.element;
  char* memory = arena.get(copied + packed + zeros);
  std::memset(memory + copied + packed, 0, zeros);
  const int64_t row_bytes = taps * p.depth * p.element;
  const int64_t parts = 2 * (threads.helpers + 1);
  if (copied > 0) {
    const int64_t all = groups * rows;
    parallel_for(threads, std::min(all, parts), [&](int64_t part) {
      const int64_t count = std::min(all, parts);
      for (int64_t row = all * part / count; row < all * (part + 1) / count; ++row) {
        reader.copy(row / rows, row % rows, memory + row * row_bytes);
      }
    });
  }
  if (packed > 0) {
    parallel_for(threads, groups * p.panels, [&](int64_t part) {
      pack_panel(c, p, right, part / p.panels, part % p.panels,
                 memory + copied + part * p.panel_bytes(c));
    });
  }
  const Division division(c, p, threads.helpers + 1);
  const Work work{c,
                  p,
                  reader,
                  c.packed ? static_cast<const char*>(right) : memory + copied,
                  copied > 0 ? memory : nullptr,
                  memory + copied + packed,
                  program,
                  task};
  const int64_t blocks = division.row_blocks * division.panel_blocks;
  const int64_t tiles = (rows + kRows - 1) / kRows;
  parallel_for(threads, groups * blocks, [&](int64_t chunk) {
    const int64_t block = chunk % blocks;
    const int64_t r = block % division.row_blocks, n = block / division.row_blocks;
    const int64_t tile0 = tiles * r / division.row_blocks;
    const int64_t tile1 = tiles * (r + 1) / division.row_blocks;
    work.run(chunk / blocks, std::min(rows, tile0 * kRows), std::min(rows, tile1 * kRows),
             p.panels * n / division.panel_blocks, p.panels * (n + 1) / division.panel_blocks);
  });
}

}  // namespace neuron::kernels
