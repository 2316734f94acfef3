#include "packing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "convert.h"

namespace neuron::kernels {

namespace {

// Pairs of bf16 of two rows; without a second, of the first and zeros.
template <typename From>
void pack_pairs(const From* first, const From* second, int64_t count, uint32_t* to) {
  for (int64_t n = 0; n < count; n += W) {
    const int here = static_cast<int>(std::min<int64_t>(W, count - n));
    const auto bits_of = [&](const From* row) {
      const vec x = here == W ? widened(row + n) : widened(row + n, here);
      return sizeof(From) == 2 ? (uvec)x : bf16_bits(x);
    };
    const uvec low = bits_of(first) >> 16;
    const uvec high = second != nullptr ? bits_of(second) & 0xffff0000u : uvec{};
    store_partial(to + n, low | high, here);
  }
}

// A panel at one tap of an operand whose columns follow each other.
template <typename From>
void pack_rows(const Contraction& c, const Packing& p, const From* from, int64_t columns,
               char* to) {
  const int64_t step = c.right_depth_stride;
  for (int64_t k = 0; k < c.depth; k += p.pairs ? 2 : 1, to += kPanel * 4) {
    const From* const row = from + k * step;
    if (p.pairs) {
      const From* const second = k + 1 < c.depth ? row + step : nullptr;
      pack_pairs(row, second, columns, reinterpret_cast<uint32_t*>(to));
      continue;
    }
    for (int64_t n = 0; n < columns; n += W) {
      const int here = static_cast<int>(std::min<int64_t>(W, columns - n));
      const vec x = here == W ? widened(row + n) : widened(row + n, here);
      store(reinterpret_cast<float*>(to) + n, c.narrow ? round_bf16(x) : x, here);
    }
  }
}

// A column of the second operand at one tap, from `from` on, as the products take it.
template <typename To>
void read_depth(const Contraction& c, const void* right, int64_t from, To* to) {
  if (c.right_depth_stride == 1) {
    return copy_run(c.right_type, c.narrow, right, from, c.depth, to);
  }
  for (int64_t k = 0; k < c.depth; ++k) {
    write(read(c.right_type, right, from + k * c.right_depth_stride, 1), c.narrow, 1, 1, to + k);
  }
}

// As many vectors as one has elements, which become its columns.
void transpose(uvec (&rows)[W]) {
  struct Halves {
    ivec first, second;
  };
  static const auto halves = [] {  // of two vectors, by how far what they swap is apart
    std::array<Halves, W> made{};
    for (int apart = 1; apart < W; apart *= 2) {
      for (int i = 0; i < W; ++i) {
        made[apart].first[i] = i & apart ? W + i - apart : i;
        made[apart].second[i] = i & apart ? W + i : i + apart;
      }
    }
    return made;
  }();
  for (int apart = W / 2; apart > 0; apart /= 2) {
    for (int i = 0; i < W; ++i) {
      if (i & apart) continue;
      const uvec a = rows[i], b = rows[i + apart];
      rows[i] = __builtin_shuffle(a, b, halves[apart].first);
      rows[i + apart] = __builtin_shuffle(a, b, halves[apart].second);
    }
  }
}

// Some columns, each of so many units, beside each other.
void write_columns(const uint32_t* from, int64_t units, int columns, uint32_t* to) {
  int64_t u = 0;
  for (; u + W <= units; u += W) {
    uvec block[W];
    for (int n = 0; n < W; ++n) {
      block[n] = n < columns ? load_as<uvec>(from + n * units + u) : uvec{};
    }
    transpose(block);
    for (int i = 0; i < W; ++i) store_partial(to + (u + i) * kPanel, block[i], columns);
  }
  for (; u < units; ++u) {
    for (int n = 0; n < columns; ++n) to[u * kPanel + n] = from[n * units + u];
  }
}

// A panel of the second operand at one tap: [depth][columns], or [depth / 2][columns][2]. In
// units of four bytes it is [depth][columns] either way, an element or a pair.
void pack_tap(const Contraction& c, const Packing& p, const void* right, int64_t start,
              int64_t columns, char* to) {
  const int64_t units = p.depth * p.element / 4, used = p.pairs ? (c.depth + 1) / 2 : units;
  const int64_t written = columns < kPanel ? 0 : used;  // what is not, is zero
  std::memset(to + written * kPanel * 4, 0, (units - written) * kPanel * 4);
  if (c.right_column_stride == 1) {
    if (c.right_type == Type::f32) {
      return pack_rows(c, p, static_cast<const float*>(right) + start, columns, to);
    }
    return pack_rows(c, p, static_cast<const uint16_t*>(right) + start, columns, to);
  }
  static thread_local Arena arena;
  auto* const held = reinterpret_cast<uint32_t*>(arena.get(W * units * 4));
  for (int64_t n = 0; n < columns; n += W) {
    const int here = static_cast<int>(std::min<int64_t>(W, columns - n));
    for (int i = 0; i < here; ++i) {
      const int64_t from = start + (n + i) * c.right_column_stride;
      uint32_t* const column = held + i * units;
      if (p.pairs) {
        std::fill(column + used - 1, column + units, 0);  // an odd depth's last has no second
        read_depth(c, right, from, reinterpret_cast<uint16_t*>(column));
      } else {
        read_depth(c, right, from, reinterpret_cast<float*>(column));
      }
    }
    write_columns(held, units, here, reinterpret_cast<uint32_t*>(to) + n);
  }
}

}  // namespace

int64_t start_of(const Contraction& c, int64_t group, int64_t start,
                 int64_t GroupDimension::*stride) {
  for (auto d = c.groups.rbegin(); d != c.groups.rend(); ++d) {
    start += group % d->size * ((*d).*stride);
    group /= d->size;
  }
  return start;
}

void pack_panel(const Contraction& c, const Packing& p, const void* right, int64_t group,
                int64_t panel, char* to) {
  const int64_t column = panel * kPanel;
  int64_t start = start_of(c, group, c.right_start, &GroupDimension::right_stride) +
                  column * c.right_column_stride;
  for (int64_t tap = 0; tap < c.tap_count(); ++tap, start += c.right_tap_stride) {
    pack_tap(c, p, right, start, std::min(kPanel, c.columns - column), to);
    to += p.depth * kPanel * p.element;
  }
}

int64_t packed_bytes(const Contraction& c) { return Packing(c).group_bytes * c.group_count(); }

void pack_right(const Contraction& c, const void* right, void* packed) {
  const Packing p(c);
  auto* to = static_cast<char*>(packed);
  for (int64_t group = 0; group < c.group_count(); ++group) {
    for (int64_t panel = 0; panel < p.panels; ++panel, to += p.panel_bytes) {
      pack_panel(c, p, right, group, panel, to);
    }
  }
}

}  // namespace neuron::kernels
