// Reading and writing the rows of tiles: elements of any type, dimensions of any stride.
#pragma once

#include <algorithm>
#include <type_traits>

#include "tile.h"
#include "vector.h"

namespace neuron::kernels {

inline int64_t bytes_of(Type type) {
  switch (type) {
    case Type::f32:
    case Type::s32:
      return 4;
    case Type::bf16:
    case Type::f16:
      return 2;
    case Type::pred:
      return 1;
  }
  return 0;
}

// --- Elements of any type, from and to floats; those of s32 keep their bits.

template <Type T>
using Raw = std::conditional_t<T == Type::f32, vec, std::conditional_t<T == Type::pred, bvec, hvec>>;

template <Type T>
vec widen(Raw<T> raw) {
  if constexpr (T == Type::f32) {
    return raw;
  } else if constexpr (T == Type::pred) {
    return to_float(__builtin_convertvector(raw, ivec));
  } else {
    return T == Type::bf16 ? bf16_to_f32(raw) : f16_to_f32(raw);
  }
}

template <Type T>
Raw<T> shorten(vec x) {
  if constexpr (T == Type::f32) {
    return x;
  } else if constexpr (T == Type::pred) {
    return __builtin_convertvector(-(x != 0.0f), bvec);
  } else {
    return T == Type::bf16 ? f32_to_bf16(x) : f32_to_f16(x);
  }
}

// Calls f(type) with what tells the type of elements to a template.
template <class F>
void by_type(Type type, F&& f) {
  switch (type) {
    case Type::f32:
    case Type::s32:
      return f(std::integral_constant<Type, Type::f32>());
    case Type::bf16:
      return f(std::integral_constant<Type, Type::bf16>());
    case Type::f16:
      return f(std::integral_constant<Type, Type::f16>());
    case Type::pred:
      return f(std::integral_constant<Type, Type::pred>());
  }
}

// Calls whole(i) for each whole vector of `count` elements, then part(i, rest) for what is left. A
// row of a panel's tile is two vectors long: a call for each would cost as much as they do.
template <class Whole, class Part>
[[gnu::always_inline]] inline void in_vectors(int64_t count, Whole&& whole, Part&& part) {
  int64_t i = 0;
  for (; i + W <= count; i += W) whole(i);
  if (i < count) part(i, static_cast<int>(count - i));
}

template <Type T>
vec get(const char* from) {
  return widen<T>(load_as<Raw<T>>(from));
}
template <Type T>
vec get(const char* from, int count) {
  return widen<T>(partial<Raw<T>>(from, count));
}

// A row of elements, as floats.
template <Type T>
void read_as(const char* from, int64_t count, float* to) {
  constexpr int64_t size = sizeof(Raw<T>) / W;
  in_vectors(count, [&](int64_t i) { store(to + i, get<T>(from + i * size)); },
             [&](int64_t i, int n) { store(to + i, get<T>(from + i * size, n), n); });
}

template <Type T>
void write_as(char* to, int64_t count, const float* from) {
  constexpr int64_t size = sizeof(Raw<T>) / W;
  in_vectors(count, [&](int64_t i) { store_as(to + i * size, shorten<T>(load(from + i))); },
             [&](int64_t i, int n) {
               store_partial(to + i * size, shorten<T>(load(from + i, n)), n);
             });
}

inline void read_run(const char* from, Type type, int64_t count, float* to) {
  by_type(type, [&](auto t) { read_as<t.value>(from, count, to); });
}

inline void write_run(char* to, Type type, int64_t count, const float* from) {
  by_type(type, [&](auto t) { write_as<t.value>(to, count, from); });
}

inline float read_one(const char* from, Type type) {
  float made[W];
  read_run(from, type, 1, made);
  return made[0];
}

// --- Indices.

// Appends a dimension to a walk's, or widens the one before where the two make one.
inline void append(Walk::Dimension* dims, int* rank, int64_t size, int64_t step) {
  if (size == 1) return;
  if (*rank > 0 && dims[*rank - 1].step == step * size) {
    dims[*rank - 1] = {dims[*rank - 1].size * size, step};
  } else {
    dims[(*rank)++] = {size, step};
  }
}

// Calls run(pointer, first, count) for stretches of [first, first + count) along which the address
// grows evenly, by the step of the innermost dimension.
template <class Byte, class Run>
void stretches(const Walk::Dimension* dims, int rank, Byte* data, int64_t size, int64_t first,
               int64_t count, Run&& run) {
  if (rank <= 1) {
    run(rank == 0 ? data : data + first * dims[0].step * size, int64_t{0}, count);
    return;
  }
  const auto& inner = dims[rank - 1];
  for (int64_t done = 0; done < count;) {
    int64_t rest = first + done, offset = 0;
    const int64_t within = rest % inner.size;
    for (int d = rank - 1; d >= 0; --d) {
      offset += rest % dims[d].size * dims[d].step;
      rest /= dims[d].size;
    }
    const int64_t length = std::min(inner.size - within, count - done);
    run(data + offset * size, done, length);
    done += length;
  }
}

inline int64_t inner_step(const Walk::Dimension* dims, int rank) {
  return rank == 0 ? 0 : dims[rank - 1].step;
}

// Calls row(r, pointer) for the rows of a tile.
template <class Row>
void each_row(const Walk& walk, const Tile& tile, Row&& row) {
  const int64_t size = bytes_of(walk.type), step = inner_step(walk.rows, walk.row_rank);
  stretches(walk.rows, walk.row_rank, walk.data, size, tile.row0, tile.rows,
            [&](char* data, int64_t first, int64_t count) {
              for (int64_t r = 0; r < count; ++r) {
                row(static_cast<int>(first + r), data + r * step * size);
              }
            });
}

// Calls run(pointer, column, count, step) for the stretches of a tile's row that starts at `data`.
template <class Run>
void each_run(const Walk& walk, const Tile& tile, char* data, Run&& run) {
  const int64_t step = inner_step(walk.columns, walk.column_rank);
  stretches(walk.columns, walk.column_rank, data, bytes_of(walk.type), tile.column0, tile.columns,
            [&](char* at, int64_t first, int64_t count) { run(at, first, count, step); });
}

// Whether the rows of any tile lie evenly in memory, and their columns one after the other; then
// `at` is the first element, and `step` bytes lead from row to row.
inline bool lies_even(const Walk& walk, const Tile& tile, char** at, int64_t* step) {
  if (walk.column_rank > 1 || walk.row_rank > 1) return false;
  if (walk.column_rank == 1 ? walk.columns[0].step != 1 : tile.columns != 1) return false;
  const int64_t size = bytes_of(walk.type);
  *step = inner_step(walk.rows, walk.row_rank) * size;
  *at = walk.data + tile.row0 * *step + tile.column0 * size;
  return true;
}

// Whether all rows of a tile are one, and where that lies.
inline bool lies_once(const Walk& walk, const Tile& tile, char** row) {
  *row = walk.data;
  if (walk.row_rank == 0) return true;
  const auto& inner = walk.rows[walk.row_rank - 1];
  if (inner.step != 0 || tile.row0 % inner.size + tile.rows > inner.size) return false;
  Tile first = tile;
  first.rows = 1;
  each_row(walk, first, [&](int, char* data) { *row = data; });
  return true;
}

inline void read_row(const Walk& walk, const Tile& tile, char* data, float* to) {
  const int64_t size = bytes_of(walk.type);
  each_run(walk, tile, data, [&](char* from, int64_t first, int64_t count, int64_t step) {
    if (step == 1) return read_run(from, walk.type, count, to + first);
    for (int64_t i = 0; i < count; ++i) {
      to[first + i] = read_one(from + i * step * size, walk.type);
    }
  });
}

inline void write_row(const Walk& walk, const Tile& tile, char* data, const float* from) {
  const int64_t size = bytes_of(walk.type);
  each_run(walk, tile, data, [&](char* to, int64_t first, int64_t count, int64_t step) {
    if (step == 1) return write_run(to, walk.type, count, from + first);
    for (int64_t i = 0; i < count; ++i) {
      write_run(to + i * step * size, walk.type, 1, from + first + i);
    }
  });
}

// Whether a tile lies so and can be used where it lies, with `step` floats from row to row.
inline bool lies_plain(const Walk& walk, const Tile& tile, float** at, int64_t* step) {
  if (walk.type != Type::f32 && walk.type != Type::s32) return false;
  char* first;
  if (tile.columns != tile.ld || !lies_even(walk, tile, &first, step)) return false;
  *at = reinterpret_cast<float*>(first);
  *step /= 4;
  return true;
}

}  // namespace neuron::kernels
