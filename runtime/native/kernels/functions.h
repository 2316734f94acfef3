// The functions of a float, on vectors.
//
// They hold to 2 ulp of the exact value (as tests/runtime/test_tile.py checks), with the results of
// IEEE 754 for infinities, NaN and -0. Their polynomials were fitted with the Remez algorithm, those
// of erf by least squares, to the expressions that stand beside them.
#pragma once

#include "vector.h"

namespace neuron::kernels {

namespace fitted {

// Sum of c[i] * x^i.
template <int N>
inline vec polynomial(vec x, const float (&c)[N]) {
  vec made = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) made = fma(made, x, splat(c[i]));
  return made;
}

// Its last place is 1: a small number that is added is rounded to a whole one, which stands in the
// last bits of the sum.
constexpr float kWhole = 0x1.8p23f;
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
// erf(n / 4 + d / 4) for n from 0 to 15 and d from -0.5 to 0.5: the coefficient of d^k is
// kErf[k][n]. For n = 0, erf(x) - x, so that nothing is lost; the last is 1 at 3.874, from where on
// 1 is less than an ulp away.
constexpr float kErfEnd = 3.874f;
alignas(64) constexpr float kErf[][16] = {
    {0.0f, 0.27632638812065125f, 0.5204998850822449f, 0.7111556529998779f, 0.8427007794380188f,
     0.9229001402854919f, 0.9661051630973816f, 0.9866716861724854f, 0.9953222870826721f,
     0.9985373020172119f, 0.9995930194854736f, 0.9998993873596191f, 0.9999778866767883f,
     0.9999957084655762f, 0.9999992847442627f, 0.9999998807907104f},
    {0.032094791531562805f, 0.2650035619735718f, 0.21969567239284515f, 0.16073277592658997f,
     0.10377687215805054f, 0.05913028120994568f, 0.02973257191479206f, 0.013193748891353607f,
     0.005166746210306883f, 0.00178557971958071f, 0.0005445710849016905f, 0.00014656937855761498f,
     3.4813303500413895e-05f, 7.29727435100358e-06f, 1.3498629414243624e-06f,
     2.2035976598999696e-07f},
    {1.5933384389654748e-08f, -0.01656242460012436f, -0.027461741119623184f,
     -0.030137524008750916f, -0.02594403363764286f, -0.018478546291589737f,
     -0.011150109581649303f, -0.005772564560174942f, -0.0025837295688688755f,
     -0.0010046670213341713f, -0.0003398823319002986f, -0.00010090383148053661f,
     -2.5739780539879575e-05f, -6.107169156166492e-06f, -1.6260823940683622e-06f,
     -1.1874273297962645e-07f},
    {-0.005877192132174969f, -0.004831201396882534f, -0.002288894262164831f,
     0.0004182920965831727f, 0.002162028569728136f, 0.002617727965116501f, 0.00216800719499588f,
     0.0014087228337302804f, 0.0007534914184361696f, 0.0003394472587388009f,
     0.00013046884851064533f, 4.31288754043635e-05f, 1.2328418051765766e-05f,
     3.0589542348025134e-06f, 6.606704801015439e-07f, 1.2447037534002448e-07f},
    {1.0344122074457118e-06f, 0.0004924898967146873f, 0.0007112703751772642f,
     0.0005873168120160699f, 0.00026994882500730455f, -2.1632868083543144e-05f,
     -0.0001717157574603334f, -0.00018636693130247295f, -0.00013337960990611464f,
     -7.383870251942426e-05f, -3.537890370353125e-05f, -1.2393535143928602e-05f,
     -5.311645963956835e-06f, -5.663067099703767e-07f, 1.1543253322088276e-06f,
     -3.3641106256254716e-07f},
    {0.0001084629402612336f, 7.922283839434385e-05f, 8.509837243764196e-06f,
     -5.079583206679672e-05f, -6.735361239407212e-05f, -4.595697464537807e-05f,
     -1.4616423868574202e-05f, 6.323301477095811e-06f, 1.270388747798279e-05f,
     1.039350354403723e-05f, 5.986752512399107e-06f, 2.708587317101774e-06f,
     1.0030748853750993e-06f, 3.1100466912903357e-07f, 8.17579177692096e-08f,
     1.8378287336417998e-08f}};

}  // namespace fitted

inline vec exp(vec x) {
  const vec in = clamped(x, -104.5f, 89.0f);  // at 89, infinity
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
  const vec in = at_most(magnitude, 10.0f);  // 1
  const vec large = 1.0f - 2.0f / (exp(in + in) + 1.0f);
  const vec small = fma(x * t, fitted::polynomial(t, fitted::kTanh), x);
  return with_sign(magnitude < 0.55f ? small : large, x);  // small is +0 for -0
}

inline vec erf(vec x) {
  using fitted::kErf, fitted::kWhole;
  const vec magnitude = abs(x);
  const vec in = at_most(magnitude, fitted::kErfEnd);
  const vec shifted = fma(in, splat(4.0f), splat(kWhole));
  const vec d = fma(in, splat(4.0f), kWhole - shifted);
  const ivec n = bits(shifted);
  vec made = lookup(kErf[5], n);
  for (int k = 4; k > 0; --k) made = fma(made, d, lookup(kErf[k], n));
  made = fma(made, d, in <= 0.125f ? in : lookup(kErf[0], n));
  return with_sign(at_most(made, 1.0f), x);
}

// 1 / (1 + e^-x), with e^-x = 2^n (1 + q). Where it is below all but the largest denormals: 0.
inline vec logistic(vec x) {
  const vec in = clamped(x, -88.0f, 40.0f);  // at 40, 1
  using fitted::kWhole;
  const vec shifted = fma(in, splat(-fitted::kLog2E), splat(kWhole)), n = shifted - kWhole;
  const vec power = from_bits((bits(shifted) << 23) + bits(splat(1.0f)));
  const vec r = fma(n, splat(-fitted::kLn2Low), fma(n, splat(-fitted::kLn2High), -in));
  const vec q = fma(r * r, fitted::polynomial(r, fitted::kExp), r);
  const vec sum = power + 1.0f, lost = 1.0f - (sum - power);
  const vec made = reciprocal(sum + fma(power, q, lost));
  return x < -88.0f ? vec{} : made;
}

// Quotients by one number, rounded as a division rounds them: with the float nearest to 1 / y, a
// step of Newton's ends beside x / y, and another at the float nearest to it. What might be lost
// below the least normal number on the way is divided.
class Divisor {
 public:
#if defined(__AVX512F__)
  explicit Divisor(vec y)
      : y_(y), inverse_(1.0f / y), plain_(!(y[0] >= 0x1p-30f && y[0] <= 0x1p30f)) {}

  vec divide(vec x) const {
    const uvec size = (uvec)abs(x), least = (uvec)splat(0x1p-90f), most = (uvec)splat(0x1p90f);
    const ivec outside = (size - least > most - least) & (size != 0);
    if (plain_ || _mm512_test_epi32_mask((__m512i)outside, (__m512i)outside) != 0) return x / y_;
    const vec beside = x * inverse_;
    const vec nearer = fma(fma(-beside, y_, x), inverse_, beside);
    return fma(fma(-nearer, y_, x), inverse_, nearer);
  }

 private:
  const vec y_, inverse_;
  const bool plain_;
#else
  explicit Divisor(vec y) : y_(y) {}

  vec divide(vec x) const { return x / y_; }

 private:
  const vec y_;
#endif
};

inline vec silu(vec x) { return logistic(x) * x; }

// x / 2 * (1 + erf(x / sqrt(2))), each step rounded as it is by itself.
inline vec gelu(vec x) { return x * 0.5f * (erf(x * 0.70710677f) + 1.0f); }

// min(max(x + 3, 0), 6) / 6 * x, each step rounded as it is by itself. The quotient is that of a
// division: with 1/6 in two parts it is within 2^-46 before it is rounded, and no sixth of a float
// lies so near to the middle of two; the numerator is 0 or at least 2^-22, so neither part is lost.
inline vec hard_swish(vec x) {
  constexpr float kHigh = 0x1.555554p-3f, kLow = 0x1.555556p-27f;
  const vec within = clamped(x + 3.0f, 0.0f, 6.0f);  // the sum is never -0
  return fma(within, splat(kHigh), within * kLow) * x;
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
