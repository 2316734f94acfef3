#include "work.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "locate.h"
#include "staging.h"
#include "walk.h"

namespace neuron::kernels {
namespace {

// What a core's second-level cache keeps beside the stream that is read only once: half of it.
const int64_t kCache = [] {
  int64_t size = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  size = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return std::max<int64_t>(size, 1024 * 1024) / 2;  // it may not be told
}();
// Weights that the last cache may still keep when they are read again.
constexpr int64_t kLastCache = 4 * 1024 * 1024;
// What a program's registers may take of a first-level cache while it runs on several tiles.
constexpr int64_t kTileBytes = 16 * 1024;
constexpr int64_t kMostTiles = 8;
// Products of so many rows take longer than reading the weights: that each thread reads them all
// costs less than rows that another thread's cache has.
constexpr int64_t kManyRows = 96;
// A sum of so many steps takes much longer than any program's.
constexpr int64_t kLongSum = 512;
// A sum of so many products takes less than it does to write it to memory.
constexpr int64_t kShortSum = 64;
// A depth of so few elements is better read together with that of the next taps.
constexpr int64_t kShallow = 8;

int64_t tiles_of(int64_t rows, int64_t tall) { return (rows + tall - 1) / tall; }

// What a program's registers take.
int64_t tile_bytes(const TileProgram& program, int64_t rows, int64_t ld) {
  return static_cast<int64_t>(program.scratch(static_cast<int>(rows), static_cast<int>(ld))) * 4;
}

// How many tiles a program runs on at once: each of its steps costs something beside its numbers,
// which counts where the sums are over so little. A tile has up to `tall` rows.
int64_t tiles_at_once(const TileProgram& program, int64_t tall, int64_t ld, int64_t summed) {
  const int64_t fit = kTileBytes / tile_bytes(program, tall, ld);
  return std::clamp<int64_t>(std::min(fit, kLongSum / summed), 1, kMostTiles);
}

// How many panels it runs on at once where there is one tile of rows.
int64_t panels_at_once(const TileProgram& program, int64_t rows) {
  return std::clamp<int64_t>(kTileBytes / tile_bytes(program, rows, kPanel), 1, kMostTiles);
}

// What is read where a window lies over the padding, for as long as the thread lives.
const char* zeros(int64_t bytes) {
  static thread_local std::vector<char> memory;
  if (static_cast<int64_t>(memory.size()) < bytes) memory.assign(bytes, 0);
  return memory.data();
}

// Whether no tap lies outside of the operand.
bool fills(const Contraction& c) {
  return std::all_of(c.taps.begin(), c.taps.end(), [&](const TapDimension& tap) {
    const int64_t moved = tap.row < 0 ? 0 : (c.rows[tap.row].size - 1) * tap.step;
    return tap.low <= 0 && moved + (tap.size - 1) * tap.dilation - tap.low < tap.limit;
  });
}

// Tiles of rows wherever they lie, and what makes their sums.
class PointedTiles {
 public:
  // Of rows whose sources are found; `depth` is that of a tap, in units.
  PointedTiles(Range rows, const Sources* sources, int64_t taps, int64_t depth,
               const Multiplies& wide, const Multiplies& thin)
      : rows_(rows), sources_(sources), taps_(taps), depth_(depth), wide_(wide), thin_(thin) {}

  int64_t count() const { return tiles_of(rows_.last - rows_.first, kRows); }
  // Tiles of nearly the same height, so that none is left with a single row.
  int64_t row(int64_t tile) const {
    return rows_.first + (rows_.last - rows_.first) * tile / count();
  }
  int64_t steps() const { return taps_ * depth_; }
  void multiply(int64_t tile, const Panel& p, float* out, int64_t ld) const {
    const Multiplies& kernels = p.width > W ? wide_ : thin_;
    // A few tiles see to all of the next panel.
    const int64_t part = std::min(p.part + 1, kPanel * 4 / kFetched);
    const char* const fetched = (p.next ? p.next : p.data) + part * taps_ * depth_ * kFetched;
    kernels.of[row(tile + 1) - row(tile) - 1](Block{taps_, depth_, sources_ + tile * taps_ * kRows,
                                                    p.data, p.column, p.width, out, ld, fetched});
  }

 private:
  const Range rows_;
  const Sources* const sources_;
  const int64_t taps_, depth_;
  const Multiplies &wide_, &thin_;
};

}  // namespace

Division::Division(const Contraction& c, const Packing& p, int64_t threads) {
  const int64_t groups = c.group_count();
  const int64_t right = p.group_bytes;
  const int64_t left = c.row_count() * c.tap_count() * p.depth * p.element;
  // Enough chunks that a thread that comes late still gets its share.
  const int64_t wanted = threads == 1 ? 1 : (4 * threads + groups - 1) / groups;
  const int64_t tiles = tiles_of(c.row_count(), p.tile_rows);
  row_blocks = panel_blocks = 1;
  if (right > kCache && left > kCache) row_blocks = (left + kCache - 1) / kCache;
  by_rows = right > kCache && threads > 1 && c.row_count() >= threads * kManyRows;
  if (by_rows) row_blocks = (row_blocks + threads - 1) / threads * threads;
  if (right > kCache || tiles < wanted) {
    // Each panel is read once, by one thread.
    panel_blocks = std::min(p.panels, (wanted + row_blocks - 1) / row_blocks);
    if (tiles >= wanted && row_blocks * panel_blocks < wanted) row_blocks = wanted;
    // Few panels would leave a thread without one: their rows are divided, too.
    if (right <= kCache) row_blocks = (wanted + panel_blocks - 1) / panel_blocks;
  } else {
    row_blocks = wanted;
  }
  row_blocks = std::min(row_blocks, tiles);
}

Range Work::rows_of(int64_t part, int64_t parts) const {
  const int64_t rows = c_.row_count(), tiles = tiles_of(rows, p_.tile_rows);
  const auto edge = [&](int64_t n) { return std::min(rows, tiles * n / parts * p_.tile_rows); };
  return {edge(part), edge(part + 1)};
}

Work::Work(const Contraction& c, const void* left, const void* right)
    : c_(c),
      p_(c),
      left_(left),
      right_(right),
      wide_(multiplies(c, p_.pairs, true)),
      thin_(multiplies(c, p_.pairs, false)),
      packed_(c.packed ? static_cast<const char*>(right) : nullptr) {}

bool Work::lies_ready() const {
  if (c_.each) return c_.left_type == Type::bf16 || !c_.narrow;
  const bool same = p_.pairs ? c_.left_type == Type::bf16 && c_.depth == p_.depth
                             : c_.left_type == Type::f32 && !c_.narrow;
  if (p_.amx && !fills(c_)) return false;
  return same && c_.left_depth_stride == 1 && (c_.taps.empty() || c_.depth >= kShallow);
}

void Work::stage_all(const Threads& threads, Arena& memory) {
  const Staging staging(c_, p_, all_rows(c_));
  char* const to = memory.get(c_.group_count() * staging.bytes());
  const int64_t all = c_.group_count() * staging.positions();
  const int64_t parts = std::min(all, 2 * (threads.helpers + 1));
  parallel_for(threads, parts, [&](int64_t part) {
    for (int64_t at = all * part / parts, end = all * (part + 1) / parts; at < end;) {
      const int64_t group = at / staging.positions(), first = at % staging.positions();
      const int64_t last = std::min(staging.positions(), first + end - at);
      staging.fill(left_, group, first, last, to + group * staging.bytes());
      at += last - first;
    }
  });
  staged_ = to;
}

void Work::pack_all(const Threads& threads, Arena& memory) {
  char* const to = memory.get(c_.group_count() * p_.group_bytes);
  parallel_for(threads, c_.group_count() * p_.panels, [&](int64_t part) {
    pack_panel(c_, p_, right_, part / p_.panels, part % p_.panels, to + part * p_.panel_bytes);
  });
  packed_ = to;
}

const char* Work::panels(int64_t group, Range panels, Scratch& scratch) const {
  if (packed_ != nullptr) return packed_ + group * p_.group_bytes;
  char* const to = scratch.packed.get((panels.last - panels.first) * p_.panel_bytes);
  for (int64_t n = panels.first; n < panels.last; ++n) {
    pack_panel(c_, p_, right_, group, n, to + (n - panels.first) * p_.panel_bytes);
  }
  return to - panels.first * p_.panel_bytes;
}

void Work::run(int64_t group, Range rows, Range panels, const char* packed,
               const TileProgram& program, const TileTask& task, Scratch& scratch,
               const void* left, const char* after) const {
  const char* at = static_cast<const char*>(left != nullptr ? left : left_);
  const char* const padding = zeros(c_.each ? c_.columns * 4 : p_.depth * p_.element);
  std::optional<Contraction> staged;  // how a copy is read, in which padding lies already
  int64_t depth = p_.depth;
  if (!lies_ready()) {
    const Staging staging(c_, p_, staged_ ? all_rows(c_) : box_of(c_, rows.first, rows.last));
    staged = staging.reading(&depth);
    if (staged_ == nullptr) {
      char* const to = scratch.staged.get(staging.bytes());
      staging.fill(at, group, 0, staging.positions(), to);
      at = to;
    } else {
      at = staged_ + group * staging.bytes();
    }
  }
  const Contraction& from = staged ? *staged : c_;
  const int64_t element = bytes_of(from.left_type);
  const int64_t start =
      staged ? staged->left_start
             : start_of(c_, group, c_.left_start, &GroupDimension::left_stride);
  if (Strips::fit(from)) {
    scratch.strips.locate(from, at + start * element, element, padding, rows.first, rows.last);
    return slide(group, panels, packed, program, task, scratch, padding);
  }
  const auto run_tiles = [&](auto&& tiles) {
    multiply(group, rows, panels, packed, program, task, scratch.tile, tiles, after);
  };
  // From memory one stream comes fastest; what a cache still keeps waits for sums alone.
  const bool row_alone =
      rows.last - rows.first == 1 && !c_.each && p_.group_bytes <= kLastCache;
#if NEURON_AMX
  if (p_.amx && !row_alone) {
    return run_tiles(AmxTiles(from, at + start * element, depth / 2, rows.first, rows.last,
                              scratch.amx));
  }
#endif
  const int64_t count = tiles_of(rows.last - rows.first, kRows), taps = from.tap_count();
  auto* const sources =
      reinterpret_cast<Sources*>(scratch.sources.get(count * taps * kRows * sizeof(Sources)));
  const PointedTiles tiles(rows, sources, taps, depth * p_.element / 4, wide_, thin_);
  Rows found(from, at, element, staged ? nullptr : padding, start, rows.first);
  for (int64_t t = 0; t < count; ++t) {
    found.locate(tiles.row(t + 1) - tiles.row(t), sources + t * taps * kRows);
  }
  if (row_alone) {
    return multiply_row(group * c_.row_count() + rows.first, panels, packed, program, task,
                        scratch.tile, sources, taps, depth * p_.element / 4);
  }
  run_tiles(tiles);
}

void Work::slide(int64_t group, Range panels, const char* packed, const TileProgram& program,
                 const TileTask& task, Scratch& scratch, const char* zeros) const {
  const std::vector<Strip>& strips = scratch.strips.all();
  const int64_t size = c_.taps.back().size, taps = c_.tap_count();
  const SlideKernels kernels = slides(c_.left_type, c_.taps.back());
  for (int64_t panel = panels.first; panel < panels.last; ++panel) {
    const auto* const here = reinterpret_cast<const float*>(packed + panel * p_.panel_bytes);
    const int64_t column = panel * kPanel, columns = std::min(kPanel, c_.columns - column);
    const int64_t ld = columns > W ? kPanel : W;
    const int64_t most = tiles_at_once(program, kRows, ld, taps) * kRows;
    auto* const tile = reinterpret_cast<float*>(scratch.tile.get(tile_bytes(program, most, ld)));
    for (size_t n = 0; n < strips.size();) {
      const int64_t first = strips[n].row;
      int height = 0;
      for (; n < strips.size() && height + strips[n].height <= most; height += strips[n++].height) {
        kernels.of[strips[n].height - 1](Slide{strips[n], scratch.strips.lines(strips[n]),
                                               taps / size, zeros, here, column, columns,
                                               tile + height * ld, ld});
      }
      task.run({group * c_.row_count() + first, height, column, static_cast<int>(columns),
                static_cast<int>(ld)},
               tile);
    }
  }
}

template <class Tiles>
void Work::multiply(int64_t group, Range rows, Range panels, const char* packed,
                    const TileProgram& program, const TileTask& task, Arena& memory,
                    Tiles&& tiles, const char* after) const {
  const int64_t count = tiles.count(), tall = p_.tile_rows, before = group * c_.row_count();
  const bool streams = p_.group_bytes > kCache;
  // After these, what is written goes sooner than memory takes it, unless it is asked for.
  const bool short_sums = c_.tap_count() * c_.depth <= kShortSum;
  const int64_t beside =
      count == 1 && !c_.each ? panels_at_once(program, rows.last - rows.first) : 1;
  const auto run = [&](int64_t panel, int64_t from, int64_t to) {
    const int64_t last = std::min(panel + beside, panels.last), column = panel * kPanel;
    const int64_t columns = std::min(last * kPanel, c_.columns) - column;
    const int64_t ld = (columns + W - 1) / W * W;
    const int64_t most = tiles_at_once(program, tall, ld, tiles.steps());
    // The row before the first may be written, too.
    auto* const tile = ld + reinterpret_cast<float*>(
                                memory.get(tile_bytes(program, most * tall, ld) + ld * 4));
    for (int64_t t = from; t < to;) {
      const int64_t first = tiles.row(t), end = std::min(t + most, to);
      const Tile made{before + first, static_cast<int>(tiles.row(end) - first), column,
                      static_cast<int>(columns), static_cast<int>(ld)};
      task.fetch(made, short_sums);
      for (; t < end; ++t) {
        for (int64_t n = panel; n < last; ++n) {
          const char* const data = packed + n * p_.panel_bytes;
          const int64_t at = n * kPanel, width = std::min(kPanel, c_.columns - at);
          const char* const next = n + 1 < panels.last ? data + p_.panel_bytes : after;
          tiles.multiply(t, {data, at, width, streams ? next : nullptr, t - from, to - from},
                         tile + (tiles.row(t) - first) * ld + at - column, ld);
        }
      }
      task.run(made, tile);
    }
  };
  // Where the panels stay in the cache and what the program sees does not, they are read again for
  // each tile of rows, which then reads and writes whole rows.
  const bool by_rows = task.fetches() && !streams;
  const int64_t at_once = by_rows ? tiles_at_once(program, tall, kPanel, tiles.steps()) : count;
  for (int64_t t = 0; t < count; t += at_once) {
    for (int64_t n = panels.first; n < panels.last; n += beside) {
      run(n, t, std::min(t + at_once, count));
    }
  }
}

void Work::multiply_row(int64_t row, Range panels, const char* packed, const TileProgram& program,
                        const TileTask& task, Arena& memory, const Sources* sources, int64_t taps,
                        int64_t depth) const {
  const RowMultiplies kernels = row_multiplies(p_.pairs, p_.amx);
  const int64_t bytes = tile_bytes(program, 1, kPanel);
  const int64_t most = std::max<int64_t>(kTileBytes / bytes / kBeside, 1) * kBeside;
  for (int64_t first = panels.first; first < panels.last; first += most) {
    const int64_t count = std::min(most, panels.last - first), ld = count * kPanel;
    const int64_t column = first * kPanel, columns = std::min(ld, c_.columns - column);
    auto* const tile = reinterpret_cast<float*>(memory.get(count * bytes));
    for (int64_t n = 0; n < count; n += kBeside) {
      const int64_t beside = std::min<int64_t>(kBeside, count - n);
      kernels.of[beside - 1](Block{taps, depth, sources, packed + (first + n) * p_.panel_bytes,
                                   column + n * kPanel, beside * kPanel, tile + n * kPanel, ld,
                                   nullptr});
    }
    task.run({row, 1, column, static_cast<int>(columns), static_cast<int>(ld)}, tile);
  }
}

}  // namespace neuron::kernels
