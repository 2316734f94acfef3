#include "windows.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "ffi.h"
#include "row_tiles.h"
#include "vector.h"
#include "walk.h"

namespace neuron::kernels {
namespace {

// Elements that are not worth another thread: about 10 us.
constexpr int64_t kSmall = 128 * 1024;
// Elements of a column are combined so many at a time, and what these make one after the other.
constexpr size_t kAtOnce = 8;

using Offsets = std::vector<int64_t>;

// Where the rows are that the windows combine.
class Places {
 public:
  explicit Places(const Windows& windows) : windows_(windows) {
    const int64_t zeros[kMaxRank] = {};
    list(zeros, false, &whole_);
  }

  // The offsets of a window's taps, in order; `own` is memory for those of a window at a border.
  // What is to be added to each is added to `*base`.
  const Offsets& of(int64_t row, int64_t* base, Offsets* own) const {
    int64_t index[kMaxRank], first[kMaxRank];
    for (size_t d = windows_.rows.size(); d-- > 0;) {
      index[d] = row % windows_.rows[d].size;
      row /= windows_.rows[d].size;
    }
    *base += windows_.start;
    for (size_t d = 0; d < windows_.rows.size(); ++d) *base += index[d] * windows_.rows[d].stride;
    bool inside = true;
    int64_t shift = 0;
    for (size_t t = 0; t < windows_.taps.size(); ++t) {
      const TapDimension& tap = windows_.taps[t];
      first[t] = index[tap.row] * tap.step - tap.low;
      inside &= first[t] >= 0 && first[t] + (tap.size - 1) * tap.dilation < tap.limit;
      shift += first[t] * tap.stride;
    }
    if (inside) {
      *base += shift;
      return whole_;
    }
    own->clear();
    list(first, true, own);
    return *own;
  }

 private:
  // The offsets of taps whose first are at `first`, without those outside where `checked`.
  void list(const int64_t* first, bool checked, Offsets* to, size_t t = 0, int64_t at = 0) const {
    if (t == windows_.taps.size()) return to->push_back(at);
    const TapDimension& tap = windows_.taps[t];
    for (int64_t n = 0; n < tap.size; ++n) {
      const int64_t position = first[t] + n * tap.dilation;
      if (checked && (position < 0 || position >= tap.limit)) continue;
      list(first, checked, to, t + 1, at + position * tap.stride);
    }
  }

  const Windows& windows_;
  Offsets whole_;
};

// Combine kCount rows, from offsets on, with what `to` has, or, where `first`, put it there.
template <Type T, size_t kCount, class F>
void combine_some(const char* data, const int64_t* offsets, bool first, int64_t columns, float* to,
                  F&& f) {
  const char* from[kCount];
  for (size_t k = 0; k < kCount; ++k) from[k] = data + offsets[k] * bytes_of(T);
  const auto combined = [&](auto&& at) {
    vec x[kCount];
    for (size_t k = 0; k < kCount; ++k) x[k] = at(from[k]);
    for (size_t step = 1; step < kCount; step *= 2) {
      for (size_t k = 0; k + step < kCount; k += 2 * step) x[k] = f(x[k], x[k + step]);
    }
    return x[0];
  };
  in_vectors(
      columns,
      [&](int64_t c) {
        const vec x = combined([&](const char* at) { return get<T>(at + c * bytes_of(T)); });
        store(to + c, first ? x : f(load(to + c), x));
      },
      [&](int64_t c, int part) {
        const vec x = combined([&](const char* at) { return get<T>(at + c * bytes_of(T), part); });
        store(to + c, first ? x : f(load(to + c), x));
      });
}

// Combine the rows at some offsets. `to` has room for whole vectors.
template <Type T, class F>
void combine_rows(const Windows& w, const char* data, const Offsets& offsets, int64_t columns,
                  float* to, F&& f) {
  size_t done = 0;
  for (; done + kAtOnce <= offsets.size(); done += kAtOnce) {
    combine_some<T, kAtOnce>(data, offsets.data() + done, done == 0, columns, to, f);
  }
  for (; done < offsets.size(); ++done) {
    combine_some<T, 1>(data, offsets.data() + done, done == 0, columns, to, f);
  }
  if (offsets.empty()) {
    for (int64_t c = 0; c < columns; c += W) store(to + c, splat(w.neutral));
  }
}

template <Type T>
void combine_rows(const Windows& w, const char* data, const Offsets& offsets, int64_t columns,
                  float* to) {
  const auto run = [&](auto&& f) { combine_rows<T>(w, data, offsets, columns, to, f); };
  switch (w.combined) {
    case Combined::sum:
      return run([](vec x, vec y) { return x + y; });
    case Combined::maximum:
      return run([](vec x, vec y) { return maximum(x, y); });
    case Combined::minimum:
      return run([](vec x, vec y) { return minimum(x, y); });
    case Combined::product:
      return run([](vec x, vec y) { return x * y; });
  }
}

void combine_rows(const Windows& w, const char* data, const Offsets& offsets, int64_t columns,
                  float* to) {
  by_type(w.type, [&](auto t) { combine_rows<t.value>(w, data, offsets, columns, to); });
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw std::invalid_argument("windows: " + sentence);
}

void check(const Windows& w, const Buffer& from, const TileProgram& program) {
  if (from.type != w.type) refuse("the array must have the type that is read");
  if (program.space().rows() != w.row_count() || program.space().columns() != w.columns) {
    refuse("the program's space must have the rows and columns of the result");
  }
  int64_t low = w.start, high = w.start + w.columns - 1;
  const auto widen = [&](int64_t end) { (end < 0 ? low : high) += end; };
  for (const auto& d : w.rows) widen((d.size - 1) * d.stride);
  for (const auto& d : w.taps) widen((d.limit - 1) * d.stride);
  if (low < 0 || high >= from.count) {
    refuse("elements read must lie from 0 to " + std::to_string(from.count) + ", got " +
           std::to_string(low) + " to " + std::to_string(high));
  }
}

}  // namespace

int64_t Windows::row_count() const { return count_of(rows); }
int64_t Windows::tap_count() const { return count_of(taps); }

Windows Windows::parse(const int64_t* words, size_t count, size_t* used) {
  size_t at = 0;
  const auto next = [&](int64_t least, int64_t most) {
    if (at >= count || words[at] < least || words[at] > most) {
      refuse("word " + std::to_string(at) + " must be there and within bounds");
    }
    return words[at++];
  };
  constexpr int64_t kMost = int64_t{1} << 40;
  Windows w{};
  w.combined = static_cast<Combined>(next(0, 3));
  w.type = static_cast<Type>(next(0, 3));
  const auto bits = static_cast<uint32_t>(next(0, UINT32_MAX));
  std::memcpy(&w.neutral, &bits, 4);
  w.start = next(0, kMost);
  w.columns = next(1, kMost);
  w.rows.resize(next(0, kMaxRank));
  for (auto& d : w.rows) d = {next(1, kMost), next(-kMost, kMost)};
  w.taps.resize(next(0, kMaxRank));
  for (auto& d : w.taps) {
    // Braced lists are evaluated in order.
    d = {next(1, kMost), next(-kMost, kMost), next(0, int64_t(w.rows.size()) - 1), next(0, kMost),
         next(0, kMost), next(-kMost, kMost), next(1, kMost)};
  }
  *used = at;
  return w;
}

void combine(const Windows& w, const Threads& threads, const Buffer& from,
             const TileProgram& program, const TileTask& task) {
  check(w, from, program);
  const Places places(w);
  const char* const data = static_cast<const char*>(from.data);
  const int64_t rows = w.row_count();
  const int64_t parts = rows * w.columns * w.tap_count() < kSmall ? 1 : 4 * (threads.helpers + 1);
  const RowTiles cut(program, parts);
  each_tile(cut, rows, parts, threads, [&](const Tile& tile, float* scratch) {
    static thread_local Offsets own;
    for (int r = 0; r < tile.rows; ++r) {
      int64_t base = tile.column0;
      const Offsets& offsets = places.of(tile.row0 + r, &base, &own);
      combine_rows(w, data + base * bytes_of(w.type), offsets, tile.columns,
                   scratch + int64_t{r} * tile.ld);
    }
    task.run(tile, scratch);
  });
}

namespace {

class WindowsKernel : public Kernel {
 public:
  explicit WindowsKernel(Words words) : WindowsKernel(words, 0) {}

  void run(const std::vector<Buffer>& buffers, const Buffer& result,
           const Threads& threads) const override {
    if (buffers.size() != 1 + static_cast<size_t>(program_.operands())) {
      refuse("one buffer must be there for the array and for each operand");
    }
    const TileTask task(program_, buffers.data() + 1, result);
    combine(windows_, threads, buffers[0], program_, task);
  }

 private:
  WindowsKernel(Words words, size_t used)
      : windows_(Windows::parse(words.begin(), words.size(), &used)),
        program_(words.begin() + used, words.size() - used) {}

  const Windows windows_;
  const TileProgram program_;
};

}  // namespace
}  // namespace neuron::kernels

NEURON_KERNEL(neuron_windows, neuron::kernels::WindowsKernel)
