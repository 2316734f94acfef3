#include "tile.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "functions.h"
#include "walk.h"

namespace neuron::kernels {
namespace {

constexpr int kMaxRegisters = 256;  // and immediates

}  // namespace

// --- Running.

// Where a value is: row r, vector i begins at data + r * row + i * column.
struct View {
  float* data;
  int64_t row, column;
};

class TileRun {
 public:
  TileRun(const TileTask& task, const Tile& tile, float* scratch)
      : task_(task), program_(task.program_), tile_(tile), scratch_(scratch) {
    const int registers = program_.registers_;
    if (registers > 0) views_[0] = wide(home(0));
    for (size_t i = 0; i < program_.immediates_.size() / W; ++i) {
      views_[registers + i] = {const_cast<float*>(program_.immediates_.data()) + i * W, 0, 0};
    }
  }
  void run();

  void load(const Op& op);
  void store(const Op& op);
  void extremum(const Op& op, bool greatest);
  void divide(const Op& op);
  // Reduces what `term` makes of N sources by `f`.
  template <int N, class Term, class F>
  void reduce(const Op& op, vec neutral, Term&& term, F&& f);

  template <class F>
  void unary(const Op& op, F&& f) {
    apply(op, {views_[op.a]}, [&](const View* in, int64_t count, auto&& put) {
      const int64_t as = in[0].column;
      const float* const a = in[0].data;
      for (int64_t i = 0; i < count; ++i) put(i, f(kernels::load(a + i * as)));
    });
  }
  template <class F>
  void binary(const Op& op, F&& f) {
    apply(op, {views_[op.a], views_[op.b]}, [&](const View* in, int64_t count, auto&& put) {
      const int64_t as = in[0].column, bs = in[1].column;
      const float *const a = in[0].data, *const b = in[1].data;
      for (int64_t i = 0; i < count; ++i) {
        put(i, f(kernels::load(a + i * as), kernels::load(b + i * bs)));
      }
    });
  }
  template <class F>
  void ternary(const Op& op, F&& f) {
    apply(op, {views_[op.a], views_[op.b], views_[op.c]},
          [&](const View* in, int64_t count, auto&& put) {
            for (int64_t i = 0; i < count; ++i) {
              put(i, f(kernels::load(in[0].data + i * in[0].column),
                       kernels::load(in[1].data + i * in[1].column),
                       kernels::load(in[2].data + i * in[2].column)));
            }
          });
  }

 private:
  bool ends_plain();  // whether the result's rows are whole vectors where they end, told by `end_`
  float* home(int number) const {
    return scratch_ + int64_t{number} * tile_.rows * tile_.ld;
  }
  View wide(float* data) const { return {data, tile_.ld, W}; }
  View narrow(float* data) const { return {data, W, 0}; }

  // Calls body(in, count, put) for stretches of vectors: `column` of a view is the step, and
  // put(i, x) takes the i-th of what is made. `Across`: stretches are within a row.
  template <bool Across = false, int N, class Body>
  void apply(const Op& op, const View (&in)[N], Body&& body) {
    if (&op == last_ && end_.type == Type::bf16) {
      // Down the columns, each line would be written in halves.
      return apply_to<true>(op, in, body, static_cast<uint16_t*>(end_.data), end_.step);
    }
    if (&op == last_) {
      return apply_to<Across>(op, in, body, static_cast<float*>(end_.data), end_.step);
    }
    float* const to = home(op.to);
    if (!op.narrow) return apply_to<Across>(op, in, body, to, tile_.ld);
    View flat[N];
    for (int k = 0; k < N; ++k) flat[k] = {in[k].data, 0, in[k].row};
    body(flat, tile_.rows, [&](int64_t i, vec x) { kernels::store(to + i * W, x); });
    views_[op.to] = narrow(to);
  }
  // The same of values that are not one per row, to memory whose rows are `row` elements apart.
  template <bool Across, class To, int N, class Body>
  void apply_to(const Op& op, const View (&in)[N], Body&& body, To* to, int64_t row) {
    const auto made = [&](To* at, int64_t step) {
      return [=](int64_t i, vec x) {
        if constexpr (sizeof(To) == 2) {
          store_as(at + i * step, f32_to_bf16(x));
        } else {
          kernels::store(at + i * step, x);
        }
      };
    };
    bool even = !Across && row == tile_.ld;
    for (int k = 0; k < N; ++k) {
      even &= (in[k].row == tile_.ld && in[k].column == W) || (in[k].row | in[k].column) == 0;
    }
    if (even) {
      body(in, int64_t{tile_.rows} * tile_.ld / W, made(to, W));
    } else if (!Across && tile_.ld / W < tile_.rows) {  // the longer stretches, down the columns
      View down[N];
      for (int64_t i = 0; i < tile_.ld / W; ++i) {
        for (int k = 0; k < N; ++k) down[k] = {in[k].data + i * in[k].column, 0, in[k].row};
        body(down, tile_.rows, made(to + i * W, row));
      }
    } else {
      View across[N];
      for (int r = 0; r < tile_.rows; ++r) {
        for (int k = 0; k < N; ++k) across[k] = {in[k].data + r * in[k].row, 0, in[k].column};
        body(across, tile_.ld / W, made(to + r * row, W));
      }
    }
    if constexpr (sizeof(To) == 4) views_[op.to] = {to, row, W};
  }

  const TileTask& task_;
  const TileProgram& program_;
  const Tile& tile_;
  float* const scratch_;
  // The op whose result is stored next goes to the output itself where whole vectors lie there.
  struct End {
    Type type;
    void* data;
    int64_t step;  // elements from row to row
  };
  const Op* last_ = nullptr;
  End end_{};
  View views_[kMaxRegisters];
};

void TileRun::divide(const Op& op) {
  const View a = views_[op.a], b = views_[op.b];
  const bool by_rows = !op.narrow && b.column == 0 && b.row != 0;
  if (!by_rows) return binary(op, [](vec x, vec y) -> vec { return x / y; });
  apply<true>(op, {a, b}, [](const View* in, int64_t count, auto&& put) {
    const Divisor divisor(kernels::load(in[1].data));
    for (int64_t i = 0; i < count; ++i) {
      put(i, divisor.divide(kernels::load(in[0].data + i * in[0].column)));
    }
  });
}

void TileRun::load(const Op& op) {
  const Walk& walk = task_.walks_[op.a];
  float* const to = home(op.to);
  if (op.narrow) {
    each_row(walk, tile_, [&](int r, char* data) {
      kernels::store(to + r * W, splat(read_one(data, walk.type)));
    });
    views_[op.to] = narrow(to);
    return;
  }
  View made = wide(to);
  if (lies_plain(walk, tile_, &made.data, &made.row)) {
    views_[op.to] = made;
    return;
  }
  made = wide(to);
  int64_t step;
  if (char* row; lies_once(walk, tile_, &row)) {
    read_row(walk, tile_, row, to);
    made.row = 0;
  } else if (char* at; lies_even(walk, tile_, &at, &step)) {
    by_type(walk.type, [&](auto t) {
      for (int r = 0; r < tile_.rows; ++r) {
        read_as<t.value>(at + r * step, tile_.columns, to + int64_t{r} * tile_.ld);
      }
    });
  } else {
    each_row(walk, tile_, [&](int r, char* data) {
      read_row(walk, tile_, data, to + int64_t{r} * tile_.ld);
    });
  }
  views_[op.to] = made;
}

void TileRun::store(const Op& op) {
  if (last_ != nullptr) return;  // was computed there
  const Walk& walk = task_.walks_.back();
  const View from = views_[op.a];
  char* at;
  int64_t step;
  if (!op.narrow && from.column == W && lies_even(walk, tile_, &at, &step)) {
    by_type(walk.type, [&](auto t) {
      for (int r = 0; r < tile_.rows; ++r) {
        write_as<t.value>(at + r * step, tile_.columns, from.data + r * from.row);
      }
    });
    return;
  }
  each_row(walk, tile_, [&](int r, char* data) {
    const float* row = from.data + r * from.row;
    if (op.narrow) {
      write_run(data, walk.type, 1, row);
    } else if (from.column == W) {
      write_row(walk, tile_, data, row);
    } else {
      const int64_t size = bytes_of(walk.type);
      each_run(walk, tile_, data, [&](char* to, int64_t, int64_t count, int64_t step) {
        for (int64_t i = 0; i < count; ++i) write_run(to + i * step * size, walk.type, 1, row);
      });
    }
  });
}

namespace {

// One value of the lanes, in all of them.
template <class F>
vec across(vec x, F&& f) {
  ivec lane;
  for (int i = 0; i < W; ++i) lane[i] = i;
  for (int half = W / 2; half > 0; half /= 2) {
    x = f(x, (vec)__builtin_shuffle((ivec)x, (lane + half) & (W - 1)));
  }
  return x;
}

// Reduces a row of vectors at(0), at(1), …, of which the last may be partial: four lines side by
// side, then across the lanes, an order that depends on nothing but the number of columns.
template <class At, class F>
vec reduced(int columns, vec neutral, At&& at, F&& f) {
  const int whole = columns / W, rest = columns % W;
  vec lines[4] = {neutral, neutral, neutral, neutral};
  int i = 0;
  for (; i + 4 <= whole; i += 4) {
    for (int k = 0; k < 4; ++k) lines[k] = f(lines[k], at(i + k));
  }
  for (int k = 0; i < whole; ++i, ++k) lines[k] = f(lines[k], at(i));
  if (rest != 0) {
    ivec lane;
    for (int k = 0; k < W; ++k) lane[k] = k;
    lines[3] = f(lines[3], lane < rest ? at(whole) : neutral);
  }
  return across(f(f(lines[0], lines[1]), f(lines[2], lines[3])), f);
}

}  // namespace

template <int N, class Term, class F>
void TileRun::reduce(const Op& op, vec neutral, Term&& term, F&& f) {
  const View a = views_[op.a], b = views_[N > 1 ? op.b : op.a];
  float* const to = home(op.to);
  for (int r = 0; r < tile_.rows; ++r) {
    const float *left = a.data + r * a.row, *right = b.data + r * b.row;
    const auto at = [&](int64_t i) {
      return term(kernels::load(left + i * a.column), kernels::load(right + i * b.column));
    };
    kernels::store(to + r * W, reduced(tile_.columns, neutral, at, f));
  }
  views_[op.to] = narrow(to);
}

// The processor's own maximum is exact but for NaN and the sign of zero: where these may matter,
// the row is looked at again.
void TileRun::extremum(const Op& op, bool greatest) {
  const View a = views_[op.a];
  float* const to = home(op.to);
  const vec neutral = splat(greatest ? -kInfinity : kInfinity);
  for (int r = 0; r < tile_.rows; ++r) {
    const float* from = a.data + r * a.row;
    NanSeen nan;
    const auto at = [&](int64_t i) { return kernels::load(from + i * a.column); };
    const auto looked = [&](int64_t i) {
      const vec x = at(i);
      nan.look(x);
      return x;
    };
    vec made = greatest ? reduced(tile_.columns, neutral, looked,
                                  [](vec x, vec y) -> vec { return x > y ? x : y; })
                        : reduced(tile_.columns, neutral, looked,
                                  [](vec x, vec y) -> vec { return x < y ? x : y; });
    if (nan.any() || made[0] == 0.0f) {
      made = greatest ? reduced(tile_.columns, neutral, at, maximum)
                      : reduced(tile_.columns, neutral, at, minimum);
    }
    kernels::store(to + r * W, made);
  }
  views_[op.to] = narrow(to);
}

namespace {

using Run = void (*)(TileRun&, const Op&);
enum class Form { load, store, reduce, compute };

struct Line {
  Form form;
  int sources;
  Run run;
};

ivec ints(vec x) { return bits(x); }
vec truth_of(ivec mask) { return from_bits(mask & 0x3f800000); }

// f32 to s32, towards zero; out of range to the nearest, NaN to 0.
vec to_s32(vec x) {
  const vec in = x >= -0x1p31f && x < 0x1p31f ? x : vec{};
  const ivec made = __builtin_convertvector(in, ivec);
  const ivec high = x >= 0x1p31f ? splat_int(INT32_MAX) : made;
  return from_bits(x < -0x1p31f ? splat_int(INT32_MIN) : high);
}

#define UNARY(body) \
  {Form::compute, 1, [](TileRun& t, const Op& op) { t.unary(op, [](vec x) -> vec { return body; }); }}
#define BINARY(body)                                                     \
  {Form::compute, 2, [](TileRun& t, const Op& op) {                      \
     t.binary(op, [](vec x, vec y) -> vec { return body; });             \
   }}
#define TERNARY(body)                                                    \
  {Form::compute, 3, [](TileRun& t, const Op& op) {                      \
     t.ternary(op, [](vec x, vec y, vec z) -> vec { return body; });     \
   }}
#define REDUCE(neutral, body)                                            \
  {Form::reduce, 1, [](TileRun& t, const Op& op) {                       \
     t.reduce<1>(op, splat(neutral), [](vec x, vec) { return x; },       \
                 [](vec x, vec y) -> vec { return body; });              \
   }}
// A sum of what is made of two sources.
#define SUM_OF(term)                                                     \
  {Form::reduce, 2, [](TileRun& t, const Op& op) {                       \
     t.reduce<2>(op, vec{}, [](vec x, vec y) -> vec { return term; },    \
                 [](vec x, vec y) { return x + y; });                    \
   }}
// Two ops in one go. The ops of PAIRS: add, subtract, subtract-from, multiply, maximum, minimum,
// exponential, tanh, erf, logistic, to-bf16, reduce-add.
#define PAIRS(first)                                                                         \
  TERNARY((first) + z), TERNARY((first)-z), TERNARY(z - (first)), TERNARY((first)*z),        \
      TERNARY(maximum(first, z)), TERNARY(minimum(first, z)), BINARY(exp(first)),            \
      BINARY(tanh(first)), BINARY(erf(first)), BINARY(logistic(first)),                      \
      BINARY(round_bf16(first)), SUM_OF(first)

// The ops, by their codes: the names are those of OPS in runtime/units/tile.py, in this order.
const Line kLines[] = {
    {Form::load, 0, [](TileRun& t, const Op& op) { t.load(op); }},
    {Form::store, 1, [](TileRun& t, const Op& op) { t.store(op); }},
    // reduce: add, maximum, minimum, multiply
    REDUCE(0.0f, x + y),
    {Form::reduce, 1, [](TileRun& t, const Op& op) { t.extremum(op, true); }},
    {Form::reduce, 1, [](TileRun& t, const Op& op) { t.extremum(op, false); }},
    REDUCE(1.0f, x* y),
    // f32: add, subtract, multiply, divide, maximum, minimum, power
    BINARY(x + y),
    BINARY(x - y),
    BINARY(x* y),
    {Form::compute, 2, [](TileRun& t, const Op& op) { t.divide(op); }},
    BINARY(maximum(x, y)),
    BINARY(minimum(x, y)),
    BINARY(power(x, y)),
    // compare: EQ, NE, LT, LE, GT, GE
    BINARY(truth_of(x == y)),
    BINARY(truth_of(x != y)),
    BINARY(truth_of(x < y)),
    BINARY(truth_of(x <= y)),
    BINARY(truth_of(x > y)),
    BINARY(truth_of(x >= y)),
    // select, clamp
    TERNARY(x != 0.0f ? y : z),
    TERNARY(minimum(maximum(x, y), z)),
    // pred: and, or, xor, not
    BINARY(x* y),
    BINARY(from_bits(bits(x) | bits(y))),
    BINARY(from_bits(bits(x) ^ bits(y))),
    UNARY(1.0f - x),
    // f32: negate, abs, exponential, exponential-minus-one, log, log-plus-one, tanh, erf, logistic
    UNARY(-x),
    UNARY(abs(x)),
    UNARY(exp(x)),
    UNARY(expm1(x)),
    UNARY(log(x)),
    UNARY(log1p(x)),
    UNARY(tanh(x)),
    UNARY(erf(x)),
    UNARY(logistic(x)),
    // sqrt, rsqrt, cbrt, sign, floor, ceil, round-nearest-even, cosine, sine, is-finite
    UNARY(sqrt(x)),
    UNARY(rsqrt(x)),
    UNARY(cbrt(x)),
    UNARY(sign(x)),
    UNARY(floor(x)),
    UNARY(ceil(x)),
    UNARY(rint(x)),
    UNARY(cosine(x)),
    UNARY(sine(x)),
    UNARY(truth_of(abs(x) < kInfinity)),
    // convert: to bf16, f16, pred; s32 to f32, f32 to s32, s32 to pred, pred to s32
    UNARY(round_bf16(x)),
    UNARY(round_f16(x)),
    UNARY(truth_of(x != 0.0f)),
    UNARY(to_float(ints(x))),
    UNARY(to_s32(x)),
    UNARY(truth_of(ints(x) != 0)),
    UNARY(from_bits(to_int(x))),
    // s32: add, subtract, multiply, maximum, minimum, EQ, NE, LT, LE, GT, GE
    BINARY(from_bits((ivec)((uvec)x + (uvec)y))),
    BINARY(from_bits((ivec)((uvec)x - (uvec)y))),
    BINARY(from_bits((ivec)((uvec)x * (uvec)y))),
    BINARY(from_bits(ints(x) > ints(y) ? ints(x) : ints(y))),
    BINARY(from_bits(ints(x) < ints(y) ? ints(x) : ints(y))),
    BINARY(truth_of(ints(x) == ints(y))),
    BINARY(truth_of(ints(x) != ints(y))),
    BINARY(truth_of(ints(x) < ints(y))),
    BINARY(truth_of(ints(x) <= ints(y))),
    BINARY(truth_of(ints(x) > ints(y))),
    BINARY(truth_of(ints(x) >= ints(y))),
    // pairs after add, subtract, multiply, divide; then add and multiply after tanh, erf, logistic
    PAIRS(x + y),
    PAIRS(x - y),
    PAIRS(x* y),
    PAIRS(x / y),
    BINARY(tanh(x) + y),
    BINARY(tanh(x) * y),
    BINARY(erf(x) + y),
    BINARY(erf(x) * y),
    BINARY(logistic(x) + y),
    BINARY(logistic(x) * y),
    // several at once, of one value: silu, hard-swish, gelu; then these after add
    UNARY(silu(x)),
    UNARY(hard_swish(x)),
    UNARY(gelu(x)),
    BINARY(silu(x + y)),
    BINARY(hard_swish(x + y)),
    BINARY(gelu(x + y)),
};
constexpr int kCodes = sizeof(kLines) / sizeof(kLines[0]);

}  // namespace

bool TileRun::ends_plain() {
  const Walk& walk = task_.walks_.back();
  end_.type = walk.type;
  char* at;
  if (tile_.columns != tile_.ld || !lies_even(walk, tile_, &at, &end_.step)) return false;
  end_.data = at;
  end_.step /= bytes_of(walk.type);
  return walk.type == Type::f32 || walk.type == Type::s32 || walk.type == Type::bf16;
}

void TileRun::run() {
  const auto& ops = program_.ops_;
  if (ops.size() >= 2) {
    const Op& last = ops[ops.size() - 2];
    const Op& end = ops.back();
    const bool computed = kLines[last.code].form == Form::compute && !last.narrow;
    if (computed && last.to == end.a && !end.narrow && ends_plain()) last_ = &last;
  }
  for (const Op& op : ops) kLines[op.code].run(*this, op);
}

// --- Programs.

namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw std::invalid_argument("tile program: " + sentence);
}

// Takes numbers one by one, each within bounds.
class Reader {
 public:
  Reader(const int64_t* words, size_t count) : words_(words), count_(count) {}

  int64_t take(const char* what, int64_t low, int64_t high) {
    if (at_ == count_) refuse(std::string(what) + " must follow, got the end");
    const int64_t word = words_[at_++];
    if (word < low || word > high) {
      refuse(std::string(what) + " must be from " + std::to_string(low) + " to " +
             std::to_string(high) + ", got " + std::to_string(word));
    }
    return word;
  }
  int number(const char* what, int64_t low, int64_t high) {
    return static_cast<int>(take(what, low, high));
  }
  bool ended() const { return at_ == count_; }

 private:
  const int64_t* words_;
  size_t count_;
  size_t at_ = 0;
};

constexpr int64_t kFar = int64_t{1} << 44;  // elements: products of two stay within 64 bits

Use read_use(Reader& reader, int rank) {
  Use use;
  use.type = static_cast<Type>(reader.take("an element type", 0, 4));
  use.offset = reader.take("an offset", 0, kFar);
  for (int d = 0; d < rank; ++d) use.strides[d] = reader.take("a stride", -kFar, kFar);
  return use;
}

int64_t product(const int64_t* first, const int64_t* last) {
  int64_t made = 1;
  for (; first != last; ++first) made *= *first;
  return made;
}

bool uniform(const Use& use, const Space& space) {
  for (int d = space.row_rank; d < space.rank; ++d) {
    if (use.strides[d] != 0 && space.dims[d] != 1) return false;
  }
  return true;
}

Walk walk_of(const Space& space, const Use& use, const Buffer& buffer) {
  int64_t low = use.offset, high = use.offset;
  for (int d = 0; d < space.rank; ++d) {
    const int64_t end = (space.dims[d] - 1) * use.strides[d];
    (end < 0 ? low : high) += end;
  }
  if (buffer.type != use.type) refuse("a buffer must have the type of its use");
  const bool empty = product(space.dims, space.dims + space.rank) == 0;
  if (!empty && (low < 0 || high >= buffer.count)) {
    refuse("elements used must lie from 0 to " + std::to_string(buffer.count) + ", got " +
           std::to_string(low) + " to " + std::to_string(high));
  }
  Walk walk;
  walk.type = use.type;
  walk.data = static_cast<char*>(buffer.data) + use.offset * bytes_of(use.type);
  for (int d = 0; d < space.rank; ++d) {
    if (d < space.row_rank) {
      append(walk.rows, &walk.row_rank, space.dims[d], use.strides[d]);
    } else {
      append(walk.columns, &walk.column_rank, space.dims[d], use.strides[d]);
    }
  }
  return walk;
}

}  // namespace

int64_t Space::rows() const { return product(dims, dims + row_rank); }
int64_t Space::columns() const { return product(dims + row_rank, dims + rank); }

TileProgram::TileProgram(const int64_t* words, size_t count) {
  Reader reader(words, count);
  space_.rank = reader.number("the rank", 0, kMaxRank);
  space_.row_rank = reader.number("the rank of rows", 0, space_.rank);
  int64_t total = 1;
  for (int d = 0; d < space_.rank; ++d) {
    space_.dims[d] = reader.take("a dimension", 0, kFar / std::max<int64_t>(total, 1));
    total *= space_.dims[d];
  }
  const int operands = reader.number("the operands' number", 0, kMaxRegisters);
  for (int n = 0; n <= operands; ++n) uses_.push_back(read_use(reader, space_.rank));
  registers_ = reader.number("the number of registers", 1, kMaxRegisters);
  const bool preset = reader.take("whether register 0 is preset", 0, 1) != 0;
  const int immediates =
      reader.number("the number of immediates", 0, kMaxRegisters - registers_);
  for (int n = 0; n < immediates; ++n) {
    const auto raw = static_cast<uint32_t>(reader.take("an immediate", 0, UINT32_MAX));
    float value;
    std::memcpy(&value, &raw, 4);
    immediates_.insert(immediates_.end(), W, value);
  }
  enum { none, narrow, loaded, wide };
  std::vector<int> state(registers_ + immediates, none);
  std::fill(state.begin() + registers_, state.end(), narrow);
  if (preset) state[0] = wide;
  const int ops = reader.number("the number of instructions", 1, 1 << 16);
  for (int n = 0; n < ops; ++n) {
    Op op{};
    op.code = reader.number("a code", 0, kCodes - 1);
    op.narrow = reader.number("whether a value is narrow", 0, 1);
    const Line& line = kLines[op.code];
    if ((line.form == Form::store) != (n == ops - 1)) {
      refuse("the last instruction and no other must store");
    }
    op.to = reader.number("a register", 0, registers_ - 1);
    const int last = registers_ + immediates - 1;
    int* const sources[] = {&op.a, &op.b, &op.c};
    for (int s = 0; s < 3; ++s) {
      if (s >= line.sources) {
        const int64_t high = line.form == Form::load && s == 0 ? operands - 1 : 0;
        *sources[s] = reader.number("an operand", 0, high);
        continue;
      }
      *sources[s] = reader.number("a source", 0, last);
      const int found = state[*sources[s]];
      const bool reads_wide = !op.narrow || line.form == Form::reduce;
      if (found == none) refuse("a register must be written before it is read");
      if (found > narrow && !reads_wide) refuse("a value per row must be made of such values");
      // What was loaded may lie in one row for all, what is narrow in one vector for a row.
      const bool shared = found == loaded || (found == narrow && !op.narrow);
      if (shared && *sources[s] == op.to && line.form != Form::store) {
        refuse("what lies once for several elements must not be written over as it is read");
      }
    }
    if (line.form == Form::load && op.narrow && !uniform(uses_[op.a], space_)) {
      refuse("a value per row must not vary along the columns");
    }
    if (line.form == Form::reduce) {
      if (!op.narrow) refuse("a reduction must make a value per row");
      reduces_ = true;
    }
    if (line.form != Form::store) {
      state[op.to] = op.narrow ? narrow : line.form == Form::load ? loaded : wide;
    }
    ops_.push_back(op);
  }
  if (!reader.ended()) refuse("nothing must follow the last instruction");
}

bool TileProgram::lies_alike(int buffer) const {
  const Use& use = uses_[buffer];
  int64_t step = 1;
  bool alike = use.offset == 0;
  for (int d = space_.rank; d-- > 0;) {
    alike &= space_.dims[d] == 1 || use.strides[d] == step;
    step *= space_.dims[d];
  }
  return alike;
}

namespace {

constexpr int64_t kCacheLine = 64;     // bytes
constexpr int64_t kNear = 512 * 1024;  // bytes of a buffer that a second-level cache may still hold

}  // namespace

TileTask::TileTask(const TileProgram& program, const Buffer* operands, const Buffer& output)
    : program_(program) {
  const int count = program.operands();
  walks_.reserve(count + 1);
  for (int n = 0; n < count; ++n) {
    walks_.push_back(walk_of(program.space_, program.uses_[n], operands[n]));
  }
  walks_.push_back(walk_of(program.space_, program.uses_[count], output));
  for (int n = 0; n <= count; ++n) {
    const Walk& walk = walks_[n];
    const int64_t elements = (n < count ? operands[n] : output).count;
    const bool plain = walk.row_rank == 1 && walk.column_rank == 1 && walk.columns[0].step == 1;
    if (plain && elements * bytes_of(walk.type) > kNear) far_.push_back(n);
  }
}

void TileTask::fetch(const Tile& tile, bool made) const {
  for (const int n : far_) {
    if (!made && n == program_.operands()) continue;
    const Walk& walk = walks_[n];
    const int64_t size = bytes_of(walk.type), step = walk.rows[0].step * size;
    const char* row = walk.data + tile.row0 * step + tile.column0 * size;
    for (int r = 0; r < tile.rows; ++r, row += step) {
      for (int64_t at = 0; at < tile.columns * size; at += kCacheLine) {
        __builtin_prefetch(row + at, 0, 2);
      }
    }
  }
}

void TileTask::run(const Tile& tile, float* scratch) const {
  TileRun(*this, tile, scratch).run();
}

}  // namespace neuron::kernels
