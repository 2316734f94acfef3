#include "packing.h"

#include <algorithm>
#include <cstring>

namespace neuron::kernels {

void round_to_bf16(const float* from, int64_t count, uint16_t* to) {
  int64_t k = 0;
  for (; k + W <= count; k += W) store_as(to + k, f32_to_bf16(load(from + k)));
  for (; k < count; ++k) to[k] = float_to_bf16(from[k]);
}

namespace {

// Pairs of bf16 of two rows; without a second, of the first and zeros.
void pack_pairs(const float* first, const float* second, int64_t count, uint32_t* to) {
  int64_t n = 0;
  for (; n + W <= count; n += W) {
    const uvec low = bf16_bits(load(first + n)) >> 16;
    const uvec high = second != nullptr ? bf16_bits(load(second + n)) & 0xffff0000u : uvec{};
    store_as(to + n, low | high);
  }
  for (; n < count; ++n) {
    const uint32_t high = second != nullptr ? float_to_bf16(second[n]) : 0;
    to[n] = float_to_bf16(first[n]) | high << 16;
  }
}

// A column of the second operand at one tap, from `from` on, as the products take it.
template <typename To>
void read_depth(const Contraction& c, const void* right, int64_t from, To* to) {
  for (int64_t k = 0; k < c.depth; ++k) {
    const float value = element_of(c.right_type, right, from + k * c.right_depth_stride);
    if constexpr (sizeof(To) == 2) {
      to[k] = float_to_bf16(value);
    } else {
      to[k] = c.narrow ? bf16_to_float(float_to_bf16(value)) : value;
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
      const float* run = static_cast<const float*>(right) + from;
      round_to_bf16(run, c.depth, reinterpret_cast<uint16_t*>(column));
    } else {
      read_depth(c, right, from, reinterpret_cast<uint16_t*>(column));
    }
    const auto* in = reinterpret_cast<const uint32_t*>(column);
    for (int64_t u = 0; u < units; ++u) out[u * kPanel + n] = in[u];
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
