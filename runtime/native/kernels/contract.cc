#include "contract.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "multiply.h"
#include "packing.h"
#include "staging.h"

namespace neuron::kernels {
namespace {

// What a core's second-level cache keeps beside the stream that is read only once.
constexpr int64_t kCache = 512 * 1024;
// A depth of so few elements is better read together with that of the next taps.
constexpr int64_t kShallow = 8;

// The elements of some dimensions.
template <typename Dimension>
int64_t count_of(const std::vector<Dimension>& dimensions) {
  int64_t total = 1;
  for (const auto& d : dimensions) total *= d.size;
  return total;
}

// Whether the products can take the first operand from where it lies.
bool lies_ready(const Contraction& c, const Packing& p) {
  if (c.each) return c.left_type == Type::f32 && !c.narrow;
  const bool same = p.pairs ? c.left_type == Type::bf16 && c.depth % 2 == 0
                            : c.left_type == Type::f32 && !c.narrow;
  return same && c.left_depth_stride == 1 && (c.taps.empty() || c.depth >= kShallow);
}

// How the tiles are divided into chunks that threads take: blocks of rows, and of panels.
struct Division {
  int64_t row_blocks, panel_blocks;

  Division(const Contraction& c, const Packing& p, int64_t threads) {
    const int64_t rows = c.row_count(), groups = c.group_count();
    const int64_t right = p.group_bytes;
    const int64_t left = rows * c.tap_count() * p.depth * p.element;
    // Enough chunks that a thread that comes late still gets its share.
    const int64_t wanted = threads == 1 ? 1 : (4 * threads + groups - 1) / groups;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    row_blocks = panel_blocks = 1;
    if (right > kCache && left > kCache) row_blocks = (left + kCache - 1) / kCache;
    if (right > kCache || tiles < wanted) {
      // Each panel is read once, by one thread.
      panel_blocks = std::min(p.panels, (wanted + row_blocks - 1) / row_blocks);
      if (tiles >= wanted && row_blocks * panel_blocks < wanted) row_blocks = wanted;
    } else {
      row_blocks = wanted;
    }
    row_blocks = std::min(row_blocks, tiles);
  }
};

// Finds where the rows of a tile lie, for each tap.
class Rows {
 public:
  // Of rows that lie at `data`, in elements of so many bytes; `zeros` is read in the padding.
  Rows(const Contraction& c, const char* data, int64_t element, const char* zeros)
      : c_(c), data_(data), element_(element), zeros_(zeros) {}

  void locate(int64_t start, int64_t row0, int64_t row1, Sources* to) const {
    int64_t index[kMaxRank] = {}, rest = row0;
    for (size_t d = c_.rows.size(); d-- > 0;) {
      index[d] = rest % c_.rows[d].size;
      rest /= c_.rows[d].size;
    }
    for (int64_t row = row0; row < row1;) {
      // Rows that follow each other along the last dimension are found together.
      const size_t last = c_.rows.size() - 1;
      const int64_t count =
          c_.rows.empty() ? 1 : std::min(c_.rows[last].size - index[last], row1 - row);
      int64_t at = start;
      for (size_t d = 0; d < c_.rows.size(); ++d) at += index[d] * c_.rows[d].stride;
      Sources* out = to + (row - row0);
      place(0, index, at, 0, count, count, &out);
      row += count;
      for (size_t d = c_.rows.size(); d-- > 0;) {
        index[d] += d == last ? count : 1;
        if (index[d] < c_.rows[d].size) break;
        index[d] = 0;
      }
    }
  }

 private:
  // Places the sources of taps from dimension t on; of `count` rows, [low, high) are inside.
  void place(size_t t, const int64_t* index, int64_t at, int64_t low, int64_t high, int64_t count,
             Sources** to) const {
    if (t == c_.taps.size()) {
      const int64_t step = c_.rows.empty() ? 0 : c_.rows.back().stride * element_;
      const char* from = data_ + at * element_;
      for (int64_t r = 0; r < count; ++r) {
        (*to)[r] = r >= low && r < high ? from + r * step : zeros_;
      }
      *to += kRows;
      return;
    }
    const TapDimension& d = c_.taps[t];
    const bool along = d.row >= 0 && d.row + 1 == static_cast<int64_t>(c_.rows.size());
    int64_t position = (d.row < 0 ? 0 : index[d.row] * d.step) - d.low;
    for (int64_t n = 0; n < d.size; ++n, at += d.stride, position += d.dilation) {
      int64_t first = low, end = high;
      if (along && d.step > 0) {  // row r is at position + r * step
        if (position < 0) first = std::max(first, (-position + d.step - 1) / d.step);
        const int64_t room = d.limit - position;
        end = std::min(end, room <= 0 ? 0 : (room - 1) / d.step + 1);
      } else if (position < 0 || position >= d.limit) {
        end = first;
      }
      place(t + 1, index, at, first, end, count, to);
    }
  }

  const Contraction& c_;
  const char* const data_;
  const int64_t element_;
  const char* const zeros_;
};

// What is computed in one call.
struct Work {
  const Contraction& c;
  const Packing p;
  const void* left;
  const void* right;
  const TileProgram& program;
  const TileTask& task;
  const Division division;
  const Multiplies wide, thin;
  const Staging* staged = nullptr;  // where the first operand was copied before, whole
  const char* copied = nullptr;
  const char* packed = nullptr;  // where the second operand was packed before
  const char* zeros = nullptr;

  Work(const Contraction& contraction, const void* left_, const void* right_,
       const TileProgram& program_, const TileTask& task_, int64_t threads)
      : c(contraction),
        p(contraction),
        left(left_),
        right(right_),
        program(program_),
        task(task_),
        division(c, p, threads),
        wide(multiplies(c, p.pairs, true)),
        thin(multiplies(c, p.pairs, false)) {}

  // The tiles of a block of rows and panels of one group.
  void run(int64_t group, int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) const {
    static thread_local Arena sources_arena, stage_arena, pack_arena;
    const int64_t count = (row1 - row0 + kRows - 1) / kRows, taps = c.tap_count();
    auto* sources =
        reinterpret_cast<Sources*>(sources_arena.get(count * taps * kRows * sizeof(Sources)));
    const auto locate = [&](const Contraction& from, const Rows& rows, int64_t start) {
      const int64_t step = from.tap_count() * kRows;
      for (int64_t t = 0; t < count; ++t) {
        rows.locate(start, row_of(row0, row1, count, t), row_of(row0, row1, count, t + 1),
                    sources + t * step);
      }
      return step / kRows;
    };
    int64_t depth = p.depth, read_taps;
    if (lies_ready(c, p)) {
      const int64_t bytes = c.left_type == Type::bf16 ? 2 : 4;
      const int64_t start = start_of(c, group, c.left_start, &GroupDimension::left_stride);
      read_taps = locate(c, Rows(c, static_cast<const char*>(left), bytes, zeros), start);
    } else {
      const Staging local(c, p, staged ? all_rows(c) : box_of(c, row0, row1));
      const Contraction from = local.reading(&depth);
      const char* data = copied + group * local.bytes();
      if (staged == nullptr) {
        char* to = stage_arena.get(local.bytes());
        local.fill(left, group, 0, local.positions(), to);
        data = to;
      }
      read_taps = locate(from, Rows(from, data, p.element, nullptr), from.left_start);
    }
    const char* panels = packed + group * p.group_bytes;
    if (packed == nullptr) {
      char* to = pack_arena.get((panel1 - panel0) * p.panel_bytes);
      for (int64_t n = panel0; n < panel1; ++n) {
        pack_panel(c, p, right, group, n, to + (n - panel0) * p.panel_bytes);
      }
      panels = to - panel0 * p.panel_bytes;
    }
    multiply(group, row0, row1, panel0, panel1, panels, sources, read_taps, depth * p.element / 4);
  }

  void multiply(int64_t group, int64_t row0, int64_t row1, int64_t panel0, int64_t panel1,
                const char* panels, const Sources* sources, int64_t taps, int64_t depth) const {
    static thread_local Arena arena;
    auto* tile = reinterpret_cast<float*>(arena.get(program.scratch(kRows, kPanel) * 4));
    const int64_t count = (row1 - row0 + kRows - 1) / kRows;
    const int64_t before = group * c.row_count();
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      const char* here = panels + panel * p.panel_bytes;
      const bool fetch = p.group_bytes > kCache && panel + 1 < panel1;
      const int64_t step = fetch ? std::max<int64_t>(1, kPanel * 4 / count) : 0;
      const int64_t column = panel * kPanel;
      const int64_t columns = std::min(kPanel, c.columns - column);
      const Multiplies& kernels = columns > W ? wide : thin;
      for (int64_t t = 0; t < count; ++t) {
        const int64_t first = row_of(row0, row1, count, t);
        const int rows = static_cast<int>(row_of(row0, row1, count, t + 1) - first);
        kernels.of[rows - 1](Block{taps, depth, sources + t * taps * kRows, here, column, columns,
                                   tile, fetch ? here + p.panel_bytes + t * taps * depth * step
                                               : here,
                                   step});
        task.run({before + first, rows, column, static_cast<int>(columns),
                  static_cast<int>(kPanel)},
                 tile);
      }
    }
  }

  // Tiles of nearly the same height, so that none is left with a single row.
  static int64_t row_of(int64_t row0, int64_t row1, int64_t count, int64_t tile) {
    return row0 + (row1 - row0) * tile / count;
  }
};

int64_t rounded_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t Contraction::group_count() const { return count_of(groups); }
int64_t Contraction::row_count() const { return count_of(rows); }
int64_t Contraction::tap_count() const { return count_of(taps); }

Contraction Contraction::parse(const int64_t* words, size_t count, size_t* used) {
  size_t at = 0;
  auto next = [&](int64_t least = INT64_MIN, int64_t most = INT64_MAX) {
    if (at >= count || words[at] < least || words[at] > most) {
      throw std::invalid_argument("contraction: word " + std::to_string(at) +
                                  " must be there and within bounds");
    }
    return words[at++];
  };
  constexpr int64_t kMost = int64_t{1} << 40;
  Contraction c{};
  c.each = next(0, 1);
  c.narrow = next(0, 1);
  c.left_type = next(0, 1) ? Type::bf16 : Type::f32;
  c.left_start = next(-kMost, kMost);
  c.left_depth_stride = next(-kMost, kMost);
  c.packed = next(0, 1);
  c.right_type = next(0, 1) ? Type::bf16 : Type::f32;
  c.right_start = next(-kMost, kMost);
  c.right_depth_stride = next(-kMost, kMost);
  c.right_column_stride = next(-kMost, kMost);
  c.right_tap_stride = next(-kMost, kMost);
  c.depth = next(1, kMost);
  c.columns = next(1, kMost);
  c.groups.resize(next(0, kMaxRank));
  for (auto& d : c.groups) d = {next(1, kMost), next(-kMost, kMost), next(-kMost, kMost)};
  c.rows.resize(next(0, kMaxRank));
  for (auto& d : c.rows) d = {next(1, kMost), next(-kMost, kMost)};
  c.taps.resize(next(0, kMaxRank));
  int tapped[kMaxRank] = {};
  for (auto& d : c.taps) {
    // Braced lists are evaluated in order. A tap of no row is read at t * dilation.
    d = {next(1, kMost), next(-kMost, kMost), next(-1, int64_t(c.rows.size()) - 1), next(0, kMost),
         next(0, kMost), next(-kMost, kMost), next(1, kMost)};
    if (d.row >= 0 && (d.dilation == 0 || ++tapped[d.row] > 1)) {
      throw std::invalid_argument("contraction: a row must have one dilated tap");
    }
  }
  *used = at;
  return c;
}

void contract(const Contraction& c, const Threads& threads, const void* left, const void* right,
              const TileProgram& program, const TileTask& task) {
  static thread_local Arena arena;
  Work work(c, left, right, program, task, threads.helpers + 1);
  const Packing& p = work.p;
  const Division& division = work.division;
  const int64_t groups = c.group_count(), rows = c.row_count();
  // What one chunk alone reads is copied or packed by its thread; what several read, before.
  const bool shared_left = !lies_ready(c, p) && division.panel_blocks > 1;
  const bool shared_right = !c.packed && division.row_blocks > 1;
  const Staging staging(c, p, all_rows(c));
  const int64_t copied = shared_left ? rounded_up(groups * staging.bytes()) : 0;
  const int64_t packed = shared_right ? rounded_up(groups * p.group_bytes) : 0;
  const int64_t zeros = c.each ? c.columns * 4 : p.depth * p.element;
  char* memory = arena.get(copied + packed + zeros);
  work.zeros = memory + copied + packed;
  std::memset(memory + copied + packed, 0, zeros);
  if (shared_left) {
    work.staged = &staging;
    work.copied = memory;
    const int64_t all = groups * staging.positions();
    const int64_t parts = std::min(all, 2 * (threads.helpers + 1));
    parallel_for(threads, parts, [&](int64_t part) {
      for (int64_t at = all * part / parts, end = all * (part + 1) / parts; at < end;) {
        const int64_t group = at / staging.positions(), first = at % staging.positions();
        const int64_t last = std::min(staging.positions(), first + end - at);
        staging.fill(left, group, first, last, memory + group * staging.bytes());
        at += last - first;
      }
    });
  }
  work.packed = c.packed ? static_cast<const char*>(right) : nullptr;
  if (shared_right) {
    work.packed = memory + copied;
    parallel_for(threads, groups * p.panels, [&](int64_t part) {
      pack_panel(c, p, right, part / p.panels, part % p.panels,
                 memory + copied + part * p.panel_bytes);
    });
  }
  const int64_t blocks = division.row_blocks * division.panel_blocks;
  const int64_t tiles = (rows + kRows - 1) / kRows;
  parallel_for(threads, groups * blocks, [&](int64_t chunk) {
    const int64_t block = chunk % blocks;
    const int64_t r = block % division.row_blocks, n = block / division.row_blocks;
    const int64_t tile0 = tiles * r / division.row_blocks;
    const int64_t tile1 = tiles * (r + 1) / division.row_blocks;
    work.run(chunk / blocks, std::min(rows, tile0 * kRows), std::min(rows, tile1 * kRows),
             p.panels * n / division.panel_blocks, p.panels * (n + 1) / division.panel_blocks);
  });
}

}  // namespace neuron::kernels
