// Vectors of floats of the processor's width, and the functions of a float on them.
//
// The functions hold to 2 ulp of the exact value (as tests/runtime/test_tile.py checks), with the
// results of IEEE 754 for infinities, NaN, -0 and denormals. Their polynomials were fitted with the
// Remez algorithm to the expressions that stand beside them.
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

inline vec load(const float* from, int count) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
#else
  vec made{};
  std::memcpy(&made, from, 4 * static_cast<size_t>(count));
  return made;
#endif
}
inline void store(float* to, vec value, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), (__m512)value);
#else
  std::memcpy(to, &value, 4 * static_cast<size_t>(count));
#endif
}

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
inline hvec f32_to_bf16(vec x) { return __builtin_convertvector(bf16_bits(x) >> 16, hvec); }
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

inline vec maximum(vec a, vec b) {
  const vec larger = a > b ? a : b;  // b if either is NaN
  return is_nan(a) || (a == b && bits(a) >= 0) ? a : larger;
}
inline vec minimum(vec a, vec b) {
  const vec smaller = a < b ? a : b;
  return is_nan(a) || (a == b && bits(a) < 0) ? a : smaller;
}

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

// --- Functions. Either NaN goes in and comes out, or the comment says what happens.

namespace fitted {

// Sum of c[i] * x^i.
template <int N>
inline vec polynomial(vec x, const float (&c)[N]) {
  vec made = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) made = fma(made, x, splat(c[i]));
  return made;
}

constexpr float kLog2E = 1.44269504f;
// ln 2 in two parts; products of the first with whole numbers up to 2^9 are exact.
constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;

struct Reduced {
  vec n, r;  // x = n ln 2 + r, |r| <= ln 2 / 2
};
inline Reduced reduce(vec x) {
  const vec n = rint(x * kLog2E);
  return {n, fma(n, splat(-kLn2Low), fma(n, splat(-kLn2High), x))};
}

// (e^r - 1 - r) / r^2
constexpr float kExp[] = {0.49999993411792265f, 0.16666520106671224f, 0.041668394359928544f,
                          0.0083687805282028147f, 0.0013814459780853296f};
constexpr float kExpm1[] = {0.50000000680339131f,   0.16666665864830415f, 0.041666293646305539f,
                            0.0083334976188814569f, 0.0013944757868607509f,
                            0.00019790273620505734f};
// (log(1 + f) - f + f^2 / 2) / f^3 between sqrt(1/2) - 1 and sqrt(2) - 1
constexpr float kLog[] = {0.33333314560069764f,  -0.24999985998370202f, 0.20002006457876967f,
                          -0.16669166517094683f, 0.14222342186867672f,  -0.12387369572128561f,
                          0.11851902010992446f,  -0.11767120524522851f, 0.069324205352700497f};
// (tanh(x) / x - 1) / t in t = x^2 up to 0.55^2
constexpr float kTanh[] = {-0.33333321853595621f, 0.13332701461603668f, -0.053862514412995691f,
                           0.021108392013870909f, -0.006320636599016728f};
// erf(x) / x - 1 in t = x^2 up to 1.1^2
constexpr float kErf[] = {0.12837916214750902f,   -0.37612600085165239f, 0.11283287133697968f,
                          -0.026841263430065925f, 0.0051645532742507618f, -0.00078033278098333138f,
                          7.1806900460119816e-5f};
// 1 - erf(2.515625 + u) from 1.1 to 3.93, from where on 1 is as near
constexpr float kErfc[] = {0.00037421507709513541f,  -0.00201404644589343f,
                           0.0050666663134870987f,   -0.0078267780718456791f,
                           0.0081549598012815038f,   -0.0058530514032444963f,
                           0.0027361950911778629f,   -0.00058450022022869229f,
                           -0.00022384556315873189f, 0.00025268393645717085f,
                           -8.2276575408108034e-5f,  -1.27594969104189e-5f,
                           1.5026676666319279e-5f,   -1.0168266865229745e-6f,
                           -8.1162944447766393e-7f};

}  // namespace fitted

inline vec exp(vec x) {
  vec in = x > 89.0f ? splat(89.0f) : x;  // infinity, as is all above
  in = in < -104.5f ? splat(-104.5f) : in;
  const auto [n, r] = fitted::reduce(in);
  const vec q = fma(r * r, fitted::polynomial(r, fitted::kExp), r);
  return scale(q + 1.0f, n);
}

inline vec expm1(vec x) {
  vec in = x > 89.0f ? splat(89.0f) : x;
  in = in < -20.0f ? splat(-20.0f) : in;  // -1
  const auto [n, r] = fitted::reduce(in);
  const vec q = fma(r * r, fitted::polynomial(r, fitted::kExpm1), r);
  const vec half = scale(splat(0.5f), n);  // of 2^n, which may be too large
  const vec made = fma(half, q, half - 0.5f) * 2.0f;
  return abs(x) < 1e-7f ? x : made;
}

// -infinity for 0, NaN below.
inline vec log(vec x) {
  const ivec tiny = x < std::numeric_limits<float>::min();
  const vec in = tiny ? x * 0x1p25f : x;
  // in = 2^e (1 + f), with 1 + f between sqrt(1/2) and sqrt(2)
  const ivec e = (bits(in) - 0x3f3504f3) >> 23;
  const vec f = from_bits(bits(in) - (e << 23)) - 1.0f;
  const vec n = to_float(e) - (tiny ? splat(25.0f) : vec{});
  const vec square = f * f;
  vec made = square * f * fitted::polynomial(f, fitted::kLog);
  made = fma(n, splat(fitted::kLn2Low), made);
  made = fma(square, splat(-0.5f), made);
  made = fma(n, splat(fitted::kLn2High), f + made);
  made = x < kInfinity ? made : x;  // infinity and NaN
  return x > 0.0f ? made : (x == 0.0f ? splat(-kInfinity) : splat(kNan));
}

inline vec log1p(vec x) {
  const vec u = x + 1.0f;
  const vec lost = x < 1.0f ? x - (u - 1.0f) : 1.0f - (u - x);
  const vec made = log(u) + lost / u;
  const vec large = x < kInfinity && u > 0.0f ? made : log(u);
  return abs(x) < 1e-8f ? x : large;
}

inline vec tanh(vec x) {
  const vec magnitude = abs(x), t = x * x;
  const vec in = magnitude > 10.0f ? splat(10.0f) : magnitude;  // 1
  const vec large = 1.0f - 2.0f / (exp(in + in) + 1.0f);
  const vec small = fma(x * t, fitted::polynomial(t, fitted::kTanh), x);
  return with_sign(magnitude < 0.55f ? small : large, x);  // small is +0 for -0
}

inline vec erf(vec x) {
  const vec magnitude = abs(x), t = x * x;
  const vec small = fma(x, fitted::polynomial(t, fitted::kErf), x);
  const vec in = magnitude > 3.93f ? splat(3.93f) : magnitude;  // 1
  const vec large = 1.0f - fitted::polynomial(in - 2.515625f, fitted::kErfc);
  return magnitude < 1.1f ? small : with_sign(large, x);
}

// 1 / (1 + e^-x), with e^-x = 2^n (1 + q). Where it is below all but the largest denormals: 0.
inline vec logistic(vec x) {
  vec in = x < -88.0f ? splat(-88.0f) : x;
  in = in > 40.0f ? splat(40.0f) : in;  // 1
  const auto [n, r] = fitted::reduce(-in);
  vec q = fma(r * r, fitted::polynomial(r, fitted::kExp), r);
  const vec power = scale(splat(1.0f), n);
  q = n > 23.5f ? q + scale(splat(1.0f), -n) : q;  // the sum beside it leaves out the 1
  const vec made = 1.0f / fma(power, q, power + 1.0f);
  return x < -88.0f ? vec{} : made;
}

inline vec rsqrt(vec x) { return 1.0f / sqrt(x); }

// -1, 0 or 1; zeros keep their sign.
inline vec sign(vec x) {
  const vec one = with_sign(splat(1.0f), x);
  return x == 0.0f || is_nan(x) ? x : one;
}

// --- Functions that need more digits on the way: computed in double.

typedef double dvec __attribute__((vector_size(8 * W)));
typedef int64_t lvec __attribute__((vector_size(8 * W)));

namespace fitted {

constexpr double kRint = 0x1.8p52;  // x + kRint - kRint is x, rounded, for |x| < 2^51
inline dvec rint(dvec x) { return (x + kRint) - kRint; }
inline dvec splat_double(double x) { return dvec{} + x; }

// log2 of positive finite numbers that were floats.
inline dvec log2(dvec x) {
  const lvec e = ((lvec)x - 0x3fe6a09e667f3bcdLL) >> 52;
  const dvec m = (dvec)((lvec)x - (e << 52));
  const dvec s = (m - 1.0) / (m + 1.0), t = s * s;
  dvec made = splat_double(1.0 / 17);
  for (int k = 15; k >= 1; k -= 2) made = made * t + 1.0 / k;
  return __builtin_convertvector(e, dvec) + made * s * (2 * 1.4426950408889634);
}

// 2^x, with infinity and 0 for what no float holds.
inline dvec exp2(dvec x) {
  dvec in = x > 200.0 ? splat_double(200.0) : x;
  in = in < -200.0 ? splat_double(-200.0) : in;
  const dvec n = rint(in), r = (in - n) * 0.69314718055994531;
  dvec made = splat_double(1.0);
  for (int k = 12; k >= 1; --k) made = made * r / static_cast<double>(k) + 1.0;
  const lvec whole = (lvec)(n + kRint) - (lvec)splat_double(kRint);
  return made * (dvec)((whole + 1023) << 52);
}

constexpr float kLargeAngle = 1e5f;

struct Angle {
  dvec sine, cosine;
  ivec quarter;  // x = quarter * pi/2 + r; the sine and cosine are of r
};
inline Angle angle(vec x) {
  const dvec in = __builtin_convertvector(abs(x) < kLargeAngle ? x : vec{}, dvec);
  const dvec n = rint(in * 0.63661977236758134);
  // pi/2 in two parts, the first with 33 bits
  const dvec r = (in - n * 0x1.921fb544p0) - n * 0x1.0b4611a626331p-34;
  const dvec t = r * r;
  dvec sine = splat_double(-1.0 / 39916800), cosine = splat_double(-1.0 / 3628800);
  constexpr double kSine[] = {1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1.0};
  constexpr double kCosine[] = {1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2, 1.0};
  for (const double c : kSine) sine = sine * t + c;
  for (const double c : kCosine) cosine = cosine * t + c;
  return {sine * r, cosine, __builtin_convertvector(n, ivec)};
}

}  // namespace fitted

inline vec power(vec x, vec y) {
  const vec magnitude = abs(x);
  const dvec wide = __builtin_convertvector(magnitude, dvec);
  const dvec logarithm = fitted::log2(wide);
  const ivec plain = magnitude > 0.0f && magnitude < kInfinity;
  // What is too large or small for `exp2` ends as infinity or 0 there.
  const vec edge = magnitude == 0.0f ? splat(-kInfinity) : magnitude;
  const dvec l = __builtin_convertvector(plain, lvec) ? logarithm
                                                      : __builtin_convertvector(edge, dvec);
  vec made = __builtin_convertvector(
      fitted::exp2(l * __builtin_convertvector(y, dvec)), vec);
  const vec half = y * 0.5f;
  const ivec whole = floor(y) == y, odd = whole && floor(half) != half && abs(y) < kInfinity;
  made = odd ? with_sign(made, x) : made;
  made = x < 0.0f && x > -kInfinity && !whole ? splat(kNan) : made;
  made = is_nan(x) || is_nan(y) ? splat(kNan) : made;
  return y == 0.0f || x == 1.0f || (x == -1.0f && abs(y) == kInfinity) ? splat(1.0f) : made;
}

template <class F>
inline vec large_angles(vec made, vec x, F&& f) {
  for (int i = 0; i < W; ++i) {
    if (!(std::fabs(x[i]) < fitted::kLargeAngle)) made[i] = static_cast<float>(f(double{x[i]}));
  }
  return made;
}

inline vec sine(vec x) {
  const auto [s, c, quarter] = fitted::angle(x);
  const dvec made = __builtin_convertvector(quarter & 1, lvec) != 0 ? c : s;
  const vec narrow = __builtin_convertvector(made, vec);
  const vec turned = (quarter & 2) != 0 ? -narrow : narrow;
  const vec signed_zero = x == 0.0f ? x : turned;
  return large_angles(signed_zero, x, [](double v) { return std::sin(v); });
}

inline vec cosine(vec x) {
  const auto [s, c, quarter] = fitted::angle(x);
  const dvec made = __builtin_convertvector(quarter & 1, lvec) != 0 ? s : c;
  const vec narrow = __builtin_convertvector(made, vec);
  const vec turned = ((quarter + 1) & 2) != 0 ? -narrow : narrow;
  return large_angles(turned, x, [](double v) { return std::cos(v); });
}

inline vec cbrt(vec x) {
  return each(x, [](float v) { return std::cbrt(v); });
}

}  // namespace neuron::kernels
