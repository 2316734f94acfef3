// The inner loops of a contraction: sums of products of a tile of rows and a panel of columns.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "packing.h"

namespace neuron::kernels {

// For each tap, the rows of a tile: where their elements along the depth lie.
using Sources = const char*;

// A tile: the sources of its rows for each tap, and the panel of columns.
struct Block {
  int64_t taps;
  int64_t depth;  // of a tap, in units of four bytes: an element, or a pair
  const Sources* rows;
  const char* panel;
  int64_t column, columns;
  float* out;
  int64_t ld;  // floats from one row of `out` to the next
  const char* fetched;  // the end of kFetched bytes for each unit of the sum, asked for meanwhile
};

// A quarter of what is read of a panel.
constexpr int64_t kFetched = kPanel;

#if defined(__AVX512BF16__)
inline __m512 products(__m512 sum, __m512i pair, __m512i panel) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pair), reinterpret_cast<__m512bh>(panel));
}
#endif

// How far ahead of what a tile reads of its panel, and of the next, it is fetched: as long as memory
// takes.
constexpr int64_t kFetchTile = 4096;

// The sums of `Rows` rows and `Vectors` vectors of columns, over all taps and the depth.
template <int Rows, int Vectors, bool Pairs>
void multiply(const Block& t) {
  const Sources* rows = t.rows;
  const char *panel = t.panel, *fetched = t.fetched - (t.taps - 1) * t.depth * kFetched;
  const int64_t bytes = t.depth * 4;
  vec sum[Rows][Vectors];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) sum[r][v] = vec{};
  }
  for (int64_t tap = 0; tap < t.taps; ++tap, rows += kRows, fetched += t.depth * kFetched) {
    const char* row[Rows];
    for (int r = 0; r < Rows; ++r) row[r] = rows[r] + bytes;
    // The rows leave no register to spare: k counts up to zero, and what is fetched has no pointer.
    for (int64_t k = -bytes; k != 0; k += 4, panel += kPanel * 4) {
      for (int64_t line = 0; line < kPanel * 4; line += 64) {
        __builtin_prefetch(panel + kFetchTile + line, 0, 3);
      }
      __builtin_prefetch(fetched + k * (kFetched / 4), 0, 2);
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
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) store(t.out + r * t.ld + v * W, sum[r][v]);
  }
}

// The sums of `Rows` rows over the taps, each column by itself, of elements of type `From`, as f32.
template <typename From, int Rows>
void multiply_each(const Block& t) {
  const Sources* rows = t.rows;
  for (int64_t v = 0; v * W < t.columns; ++v) {
    const bool whole = t.columns - v * W >= W;
    const int rest = static_cast<int>(t.columns - v * W);
    vec sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = vec{};
    for (int64_t tap = 0; tap < t.taps; ++tap) {
      const vec weights = load(reinterpret_cast<const float*>(t.panel) + tap * kPanel + v * W);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const auto* from = reinterpret_cast<const From*>(rows[tap * kRows + r]) + t.column + v * W;
        sum[r] = fma(whole ? widened(from) : widened(from, rest), weights, sum[r]);
      }
    }
    for (int r = 0; r < Rows; ++r) store(t.out + r * t.ld + v * W, sum[r]);
  }
}

// How many panels a single row goes along at once: the sums of one alone wait for one another.
constexpr int kBeside = 4;
// How far ahead of what is read of each it is fetched: as long as the last cache takes.
constexpr int64_t kFetch = 2048;

inline void fetch_ahead(const char* panel_row) {
  for (int64_t line = 0; line < kPanel * 4; line += 64) {
    __builtin_prefetch(panel_row + kFetch + line, 0, 3);
  }
}

// The sums of one row and of panels that lie beside each other, each as `multiply` makes it.
template <int Panels, bool Pairs>
void multiply_row(const Block& t) {
  const Sources* rows = t.rows;
  const char* panel = t.panel;
  const int64_t apart = t.taps * t.depth * kPanel * 4;
  vec sum[Panels][2];
  for (int p = 0; p < Panels; ++p) sum[p][0] = sum[p][1] = vec{};
  for (int64_t tap = 0; tap < t.taps; ++tap, rows += kRows) {
    const char* const row = rows[0];
    for (int64_t k = 0; k < t.depth * 4; k += 4, panel += kPanel * 4) {
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) {
        const char* const from = panel + p * apart;
        fetch_ahead(from);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
#if defined(__AVX512BF16__)
          if constexpr (Pairs) {
            const __m512i pair = _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(row + k));
            const __m512i columns = _mm512_loadu_si512(from + v * 64);
            sum[p][v] = (vec)products((__m512)sum[p][v], pair, columns);
            continue;
          }
#endif
          const vec value = splat(*reinterpret_cast<const float*>(row + k));
          sum[p][v] = fma(value, load(reinterpret_cast<const float*>(from) + v * W), sum[p][v]);
        }
      }
    }
  }
  for (int p = 0; p < Panels; ++p) {
    for (int v = 0; v < 2; ++v) store(t.out + (2 * p + v) * W, sum[p][v]);
  }
}

#if NEURON_AMX
// The same as the matrix unit makes them, which takes as long for one row as for sixteen: of each of
// its parts of the depth the products of even and of odd elements are summed apart.
template <int Panels>
void multiply_row_as_unit(const Block& t) {
  const Sources* rows = t.rows;
  const char* panel = t.panel;
  const int64_t apart = t.taps * t.depth * kPanel * 4, at_once = pairs_at_once(t.depth);
  vec sum[Panels][2];
  for (int p = 0; p < Panels; ++p) sum[p][0] = sum[p][1] = vec{};
  for (int64_t tap = 0; tap < t.taps; ++tap, rows += kRows) {
    const auto* row = reinterpret_cast<const uint32_t*>(rows[0]);
    for (int64_t left = t.depth; left > 0; left -= at_once) {
      vec even[Panels][2] = {}, odd[Panels][2] = {};
      for (int64_t k = 0; k < at_once; ++k, ++row, panel += kPanel * 4) {
        const vec first = (vec)(uvec{} + (*row << 16)), second = (vec)(uvec{} + (*row & 0xffff0000u));
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p) {
          const char* const from = panel + p * apart;
          fetch_ahead(from);
#pragma GCC unroll 2
          for (int v = 0; v < 2; ++v) {
            const uvec pairs = load_as<uvec>(from + v * 64);
            even[p][v] = fma(first, (vec)(pairs << 16), even[p][v]);
            odd[p][v] = fma(second, (vec)(pairs & 0xffff0000u), odd[p][v]);
          }
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) {
        for (int v = 0; v < 2; ++v) sum[p][v] += even[p][v] + odd[p][v];
      }
    }
  }
  for (int p = 0; p < Panels; ++p) {
    for (int v = 0; v < 2; ++v) store(t.out + (2 * p + v) * W, sum[p][v]);
  }
}
#endif

using Multiply = void (*)(const Block&);

// The kernels of one form for every height of a tile, from one row on.
struct Multiplies {
  Multiply of[kRows];
};

template <int... Rows>
Multiplies multiplies(const Contraction& c, bool pairs, bool wide,
                      std::integer_sequence<int, Rows...>) {
  if (c.each && c.left_type == Type::bf16) return {{multiply_each<uint16_t, Rows + 1>...}};
  if (c.each) return {{multiply_each<float, Rows + 1>...}};
  if (pairs && wide) return {{multiply<Rows + 1, 2, kPairs>...}};
  if (pairs) return {{multiply<Rows + 1, 1, kPairs>...}};
  if (wide) return {{multiply<Rows + 1, 2, false>...}};
  return {{multiply<Rows + 1, 1, false>...}};
}

// The kernels for a single row, for so many panels beside each other, from one on.
struct RowMultiplies {
  Multiply of[kBeside];
};

template <int... Panels>
RowMultiplies row_multiplies(bool pairs, bool amx, std::integer_sequence<int, Panels...>) {
#if NEURON_AMX
  if (amx) return {{multiply_row_as_unit<Panels + 1>...}};
#endif
  if (pairs) return {{multiply_row<Panels + 1, kPairs>...}};
  return {{multiply_row<Panels + 1, false>...}};
}

inline RowMultiplies row_multiplies(bool pairs, bool amx) {
  return row_multiplies(pairs, amx, std::make_integer_sequence<int, kBeside>());
}

// Those for panels of more than one vector of columns, or of no more.
inline Multiplies multiplies(const Contraction& c, bool pairs, bool wide) {
  return multiplies(c, pairs, wide, std::make_integer_sequence<int, kRows>());
}

}  // namespace neuron::kernels
