// Vectors of floats of the processor's width: memory, arithmetic, bits and short floats.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace neuron::kernels {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float vec __attribute__((vector_size(4 * W)));
typedef int32_t ivec __attribute__((vector_size(4 * W)));
typedef uint32_t uvec __attribute__((vector_size(4 * W)));
typedef uint16_t hvec __attribute__((vector_size(2 * W)));
typedef uint8_t bvec __attribute__((vector_size(W)));

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline ivec splat_int(int32_t x) { return ivec{} + x; }
// Of the same bits: a sum with 0 would be +0 for -0, and for what denormals are flushed to.
inline vec splat(float x) {
  int32_t raw;
  std::memcpy(&raw, &x, 4);
  return (vec)splat_int(raw);
}

// --- Memory. A partial vector's other lanes are zero, and are not touched in memory.

template <class V, class T>
inline V load_as(const T* from) {
  V made;
  std::memcpy(&made, from, sizeof(V));
  return made;
}
template <class V, class T>
inline void store_as(T* to, V value) {
  std::memcpy(to, &value, sizeof(V));
}

inline vec load(const float* from) { return load_as<vec>(from); }
inline void store(float* to, vec value) { store_as(to, value); }

// The first elements of a vector; the others are 0, or not written.
template <class V>
V partial(const void* from, int count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const auto mask = static_cast<uint16_t>((1u << count) - 1);
  if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_epi32(mask, from);
  if constexpr (sizeof(V) == 32) return (V)_mm256_maskz_loadu_epi16(mask, from);
  if constexpr (sizeof(V) == 16) return (V)_mm_maskz_loadu_epi8(mask, from);
#else
  V made{};
  std::memcpy(&made, from, sizeof(V) / W * count);
  return made;
#endif
}
template <class V>
void store_partial(void* to, V value, int count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const auto mask = static_cast<uint16_t>((1u << count) - 1);
  if constexpr (sizeof(V) == 64) _mm512_mask_storeu_epi32(to, mask, (__m512i)value);
  if constexpr (sizeof(V) == 32) _mm256_mask_storeu_epi16(to, mask, (__m256i)value);
  if constexpr (sizeof(V) == 16) _mm_mask_storeu_epi8(to, mask, (__m128i)value);
#else
  std::memcpy(to, &value, sizeof(V) / W * count);
#endif
}

inline vec load(const float* from, int count) { return partial<vec>(from, count); }
inline void store(float* to, vec value, int count) { store_partial(to, value, count); }

// --- Arithmetic the language has no operator for. `fma` rounds once where the processor can.

inline vec fma(vec a, vec b, vec c) {
#if defined(__AVX512F__)
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// 1 / x, for x from 1 to 2^127; not always the nearest.
inline vec reciprocal(vec x) {
#if defined(__AVX512F__)
  const vec near = (vec)_mm512_rcp14_ps((__m512)x);
  return fma(near, fma(-x, near, splat(1.0f)), near);
#else
  return 1.0f / x;
#endif
}

template <class F>
inline vec each(vec x, F&& f) {
  vec made;
  for (int i = 0; i < W; ++i) made[i] = f(x[i]);
  return made;
}

#if defined(__AVX512F__)
inline vec sqrt(vec x) { return (vec)_mm512_sqrt_ps((__m512)x); }
inline vec floor(vec x) { return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEG_INF | 8); }
inline vec ceil(vec x) { return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_POS_INF | 8); }
inline vec rint(vec x) { return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | 8); }
#elif defined(__AVX2__) && defined(__FMA__)
inline vec sqrt(vec x) { return (vec)_mm256_sqrt_ps((__m256)x); }
inline vec floor(vec x) { return (vec)_mm256_floor_ps((__m256)x); }
inline vec ceil(vec x) { return (vec)_mm256_ceil_ps((__m256)x); }
inline vec rint(vec x) { return (vec)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | 8); }
#else
inline vec sqrt(vec x) { return each(x, [](float v) { return std::sqrt(v); }); }
inline vec floor(vec x) { return each(x, [](float v) { return std::floor(v); }); }
inline vec ceil(vec x) { return each(x, [](float v) { return std::ceil(v); }); }
inline vec rint(vec x) { return each(x, [](float v) { return std::nearbyint(v); }); }
#endif

// --- Bits.

inline ivec bits(vec x) { return (ivec)x; }
inline vec from_bits(ivec x) { return (vec)x; }
inline vec abs(vec x) { return from_bits(bits(x) & 0x7fffffff); }
inline vec with_sign(vec magnitude, vec sign) {
  return from_bits((bits(magnitude) & 0x7fffffff) | (bits(sign) & INT32_MIN));
}
inline ivec is_nan(vec x) { return x != x; }
inline ivec to_int(vec x) { return __builtin_convertvector(x, ivec); }  // of small whole numbers
inline vec to_float(ivec x) { return __builtin_convertvector(x, vec); }

// For each lane the entry of a table that the last four bits of an index name.
inline vec lookup(const float (&table)[16], ivec index) {
#if defined(__AVX512F__)
  return (vec)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
#elif defined(__AVX2__)
  const __m256i at = (__m256i)index;
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), at);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), at);
  return (vec)_mm256_blendv_ps(low, high, (__m256)(index << 28));
#else
  vec made;
  for (int i = 0; i < W; ++i) made[i] = table[index[i] & 15];
  return made;
#endif
}

// x * 2^n, rounded once, for whole n.
inline vec scale(vec x, vec n) {
#if defined(__AVX512F__)
  return (vec)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  const ivec whole = to_int(n), half = whole >> 1;  // either factor is a normal number
  return x * from_bits((half + 127) << 23) * from_bits((whole - half + 127) << 23);
#endif
}

// --- Short floats, to nearest even; NaN stays NaN.

inline vec bf16_to_f32(hvec x) { return (vec)(__builtin_convertvector(x, uvec) << 16); }

// The bits of x rounded to bf16, in the upper half of each lane; the lower half is not cleared.
inline uvec bf16_bits(vec x) {
  const uvec u = (uvec)x;
  const uvec rounded = u + (((u >> 16) & 1) + 0x7fff);
  return x == x ? rounded : u | 0x400000;
}
// So many elements as f32: floats, or bf16.
inline vec widened(const float* from, int count) { return load(from, count); }
inline vec widened(const uint16_t* from, int count) {
  return bf16_to_f32(partial<hvec>(from, count));
}
// A whole vector of them.
inline vec widened(const float* from) { return load(from); }
inline vec widened(const uint16_t* from) { return bf16_to_f32(load_as<hvec>(from)); }

inline hvec f32_to_bf16(vec x) {
#if defined(__AVX512BF16__) && defined(__AVX512DQ__)
  // The processor's own conversion takes a denormal for zero.
  constexpr int kDenormal = 0x20;
  if (_mm512_fpclass_ps_mask((__m512)x, kDenormal) == 0) {
    return (hvec)_mm512_cvtneps_pbh((__m512)x);
  }
#endif
  return __builtin_convertvector(bf16_bits(x) >> 16, hvec);
}
inline vec round_bf16(vec x) { return (vec)(bf16_bits(x) & 0xffff0000u); }

inline vec f16_to_f32(hvec x) {
#if defined(__AVX512F__)
  return (vec)_mm512_cvtph_ps((__m256i)x);
#elif defined(__AVX2__) && defined(__F16C__)
  return (vec)_mm256_cvtph_ps((__m128i)x);
#else
  vec made;
  for (int i = 0; i < W; ++i) {
    _Float16 half;
    const uint16_t raw = x[i];
    std::memcpy(&half, &raw, 2);
    made[i] = static_cast<float>(half);
  }
  return made;
#endif
}
inline hvec f32_to_f16(vec x) {
#if defined(__AVX512F__)
  return (hvec)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__) && defined(__F16C__)
  return (hvec)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  hvec made;
  for (int i = 0; i < W; ++i) {
    const _Float16 half = static_cast<_Float16>(x[i]);
    uint16_t raw;
    std::memcpy(&raw, &half, 2);
    made[i] = raw;
  }
  return made;
#endif
}
inline vec round_f16(vec x) { return f16_to_f32(f32_to_f16(x)); }

// --- IEEE 754-2019 maximum and minimum: NaN if either is, and +0 is above -0.

#if defined(__AVX512DQ__)
// The processor's own rule for ranges is this one but for NaN.
template <int Rule>
inline vec ranged(vec a, vec b) {
  const __m512 x = (__m512)a, y = (__m512)b;
  const __mmask16 nan = _mm512_cmp_ps_mask(x, y, _CMP_UNORD_Q);
  return (vec)_mm512_mask_add_ps(_mm512_range_ps(x, y, Rule), nan, x, y);
}
inline vec maximum(vec a, vec b) { return ranged<5>(a, b); }
inline vec minimum(vec a, vec b) { return ranged<4>(a, b); }
#else
inline vec maximum(vec a, vec b) {
  const vec larger = a > b ? a : b;  // b if either is NaN
  return is_nan(a) || (a == b && bits(a) >= 0) ? a : larger;
}
inline vec minimum(vec a, vec b) {
  const vec smaller = a < b ? a : b;
  return is_nan(a) || (a == b && bits(a) < 0) ? a : smaller;
}
#endif

// x within bounds; NaN stays NaN, and a zero its sign.
inline vec at_most(vec x, float high) {
#if defined(__AVX512F__)
  return (vec)_mm512_min_ps((__m512)splat(high), (__m512)x);
#elif defined(__AVX2__)
  return (vec)_mm256_min_ps((__m256)splat(high), (__m256)x);
#else
  return x > high ? splat(high) : x;
#endif
}
inline vec at_least(vec x, float low) {
#if defined(__AVX512F__)
  return (vec)_mm512_max_ps((__m512)splat(low), (__m512)x);
#elif defined(__AVX2__)
  return (vec)_mm256_max_ps((__m256)splat(low), (__m256)x);
#else
  return x < low ? splat(low) : x;
#endif
}
inline vec clamped(vec x, float low, float high) { return at_most(at_least(x, low), high); }

// Whether any lane of several vectors was NaN.
class NanSeen {
 public:
#if defined(__AVX512F__)
  void look(vec x) { seen_ |= _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q); }
  bool any() const { return seen_ != 0; }

 private:
  __mmask16 seen_ = 0;
#else
  void look(vec x) { seen_ |= is_nan(x); }
  bool any() const {
    int32_t all = 0;
    for (int i = 0; i < W; ++i) all |= seen_[i];
    return all != 0;
  }

 private:
  ivec seen_{};
#endif
};

}  // namespace neuron::kernels
