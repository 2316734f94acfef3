// Elements of an operand, f32 or bf16, as the products take them: f32, f32 rounded to bf16, or bf16.
#pragma once

#include <cstdint>
#include <cstring>

#include "tile.h"
#include "vector.h"

namespace neuron::kernels {

// As many of the operand's elements as a vector has, as f32.
inline vec read(Type type, const void* data, int64_t from, int count) {
  if (type == Type::f32) return load(static_cast<const float*>(data) + from, count);
  const auto* at = static_cast<const uint16_t*>(data) + from;
  return count == W ? widened(at) : widened(at, count);
}

// Its elements as they are copied; f32 is rounded to bf16 where the products take that.
inline void write(vec x, bool, int count, int64_t stride, uint16_t* to) {
  const hvec made = f32_to_bf16(x);
  if (stride == 1) return count == W ? store_as(to, made) : store_partial(to, made, count);
  for (int i = 0; i < count; ++i) to[i * stride] = made[i];
}

inline void write(vec x, bool narrow, int count, int64_t stride, float* to) {
  const vec made = narrow ? round_bf16(x) : x;
  if (stride == 1) return count == W ? store(to, made) : store(to, made, count);
  for (int i = 0; i < count; ++i) to[i * stride] = made[i];
}

// Elements that follow each other.
template <typename To>
void copy_run(Type type, bool narrow, const void* data, int64_t from, int64_t count, To* to) {
  const Type same = sizeof(To) == 2 ? Type::bf16 : Type::f32;
  if (type == same && (sizeof(To) == 2 || !narrow)) {
    std::memcpy(to, static_cast<const To*>(data) + from, count * sizeof(To));
    return;
  }
  int64_t k = 0;
  for (; k + W <= count; k += W) write(read(type, data, from + k, W), narrow, W, 1, to + k);
  if (k < count) {
    const int rest = static_cast<int>(count - k);
    write(read(type, data, from + k, rest), narrow, rest, 1, to + k);
  }
}

}  // namespace neuron::kernels
