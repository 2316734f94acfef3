#include "amx.h"

#include <algorithm>

#include "locate.h"
#include "packing.h"
#include "walk.h"

#if NEURON_AMX
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace neuron::kernels {
namespace {

// What a tile of the unit has at most: rows, and pairs of the depth.
constexpr int kTileRows = 16;
constexpr int64_t kTilePairs = 16;

int64_t parts_of(int64_t pairs) { return (pairs + kTilePairs - 1) / kTilePairs; }

}  // namespace

bool has_amx() {
#if NEURON_AMX
  // Linux gives the unit's registers, 8 KiB, to processes that ask for them.
  constexpr int kRequest = 0x1023, kTileData = 18;
  static const bool given = syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return given;
#else
  return false;
#endif
}

int64_t pairs_at_once(int64_t pairs) {
  int64_t parts = parts_of(pairs);
  while (pairs % parts != 0) ++parts;
  return pairs / parts;
}

int64_t padded_pairs(int64_t pairs) {
  const int64_t parts = parts_of(pairs);
  if (pairs / pairs_at_once(pairs) <= 2 * parts) return pairs;
  return (pairs + parts - 1) / parts * parts;
}

#if NEURON_AMX
namespace {

constexpr int64_t kElement = 2;        // bytes
constexpr int64_t kLine = kPanel * 4;  // bytes of a pair of a panel's rows
// How far ahead of what it reads a tile that is alone fetches its panel and the next.
constexpr int64_t kFetchAlone = 8192;

// As the instruction that sets the unit reads it.
struct alignas(64) Shapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};  // of a row
  uint8_t rows[16] = {};
};

// One or two stretches of rows, above each other, and a panel of one or two vectors of columns.
struct AmxBlock {
  const int64_t* ahead;
  int64_t taps, parts, pairs;
  const Stretch* stretches;
  const char* panel;
  const char* fetched;  // so many lines of it for each part of the depth
  int64_t lines;
  float* out[2];  // where the sums of each stretch begin
  int64_t ld;
};

// Tiles of the unit: 0 to 3 are sums, by stretches and then vectors, 4 and 5 rows, 6 and 7 columns.
template <int Stretches, int Vectors>
void multiply_tiles(const AmxBlock& t) {
  _tile_zero(0);
  if constexpr (Vectors > 1) _tile_zero(1);
  if constexpr (Stretches > 1) _tile_zero(2);
  if constexpr (Stretches > 1 && Vectors > 1) _tile_zero(3);
  const Stretch &upper = t.stretches[0], &lower = t.stretches[Stretches - 1];
  const char *panel = t.panel, *fetched = t.fetched;
  for (int64_t tap = 0; tap < t.taps; ++tap) {
    const char *above = upper.data + t.ahead[tap], *below = lower.data + t.ahead[tap];
    for (int64_t part = 0; part < t.parts; ++part) {
      _tile_loadd(4, above, upper.step);
      _tile_loadd(6, panel, kLine);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (Vectors > 1) {
        _tile_loadd(7, panel + 64, kLine);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (Stretches > 1) {
        _tile_loadd(5, below, lower.step);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (Vectors > 1) _tile_dpbf16ps(3, 5, 7);
      }
      for (int64_t n = 0; n < t.lines; ++n, fetched += 64) __builtin_prefetch(fetched, 0, 2);
      above += t.pairs * 4;
      below += t.pairs * 4;
      panel += t.pairs * kLine;
    }
  }
  _tile_stored(0, t.out[0], t.ld * 4);
  if constexpr (Vectors > 1) _tile_stored(1, t.out[0] + W, t.ld * 4);
  if constexpr (Stretches > 1) _tile_stored(2, t.out[1], t.ld * 4);
  if constexpr (Stretches > 1 && Vectors > 1) _tile_stored(3, t.out[1] + W, t.ld * 4);
}

// Lists the stretches of a range of rows. Those of a run of equal steps are as high as the first of
// them: so that the unit is seldom set anew, one that would be a row lower begins a row earlier.
void list_stretches(const Contraction& c, const char* data, int64_t first, int64_t last,
                    std::vector<Stretch>* to) {
  Walk::Dimension dims[kMaxRank];
  int rank = 0;
  for (const RowDimension& d : c.rows) append(dims, &rank, d.size, d.stride);
  const int64_t step = inner_step(dims, rank) * kElement;
  const auto divide = [&](const char* from, int64_t done, int64_t run) {
    const int64_t parts = (run + kTileRows - 1) / kTileRows, height = (run + parts - 1) / parts;
    for (int64_t n = 0; n < parts; ++n) {
      const int64_t begin = (run * (n + 1) + parts - 1) / parts - height;
      to->push_back({from + begin * step, step, first + done + begin, static_cast<int>(height)});
    }
  };
  stretches(dims, rank, data, kElement, first, last - first, divide);
}

}  // namespace

AmxTiles::AmxTiles(const Contraction& c, const char* data, int64_t depth, int64_t first,
                   int64_t last, Memory& memory)
    : stretches_(memory.stretches),
      ahead_(memory.ahead),
      first_(first),
      last_(last),
      parts_(depth / pairs_at_once(depth)),
      pairs_(pairs_at_once(depth)) {
  memory.stretches.clear();
  memory.ahead.clear();
  list_stretches(c, data, first, last, &memory.stretches);
  list_taps(c, kElement, &memory.ahead);
}

AmxTiles::~AmxTiles() { _tile_release(); }

int64_t AmxTiles::row(int64_t tile) const {
  if (tile == 0) return first_;
  if (tile == count()) return last_;
  const Stretch& before = stretches_[2 * tile - 1];
  return before.row + before.height;
}

int64_t AmxTiles::steps() const { return static_cast<int64_t>(ahead_.size()) * parts_; }

void AmxTiles::configure(int first, int second) {
  if (heights_[0] == first && heights_[1] == second) return;
  Shapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    const bool below = tile == 2 || tile == 3 || tile == 5;
    shapes.rows[tile] = static_cast<uint8_t>(tile > 5 ? pairs_ : below ? second : first);
    shapes.bytes[tile] = static_cast<uint16_t>(tile == 4 || tile == 5 ? pairs_ * 4 : 64);
    if (shapes.rows[tile] == 0) shapes.bytes[tile] = 0;
  }
  // The compiler is told that a pointer's worth of it is read.
  __asm__ volatile("" : : "r"(&shapes) : "memory");
  _tile_loadconfig(&shapes);
  heights_[0] = first;
  heights_[1] = second;
}

void AmxTiles::multiply(int64_t tile, const Panel& panel, float* out, int64_t ld) {
  const Stretch* const from = stretches_.data() + 2 * tile;
  const bool two = 2 * tile + 1 < static_cast<int64_t>(stretches_.size());
  const auto at = [&](const Stretch& s) { return out + (s.row - row(tile)) * ld; };
  configure(from[0].height, two ? from[1].height : 0);
  // A tile alone fetches what it will read itself, of several each a part of the next panel.
  const int64_t bytes = pairs_ * kLine, share = (bytes + panel.parts - 1) / panel.parts;
  const int64_t lines = panel.next != nullptr ? (share + 63) / 64 : 0;
  const char* const fetched =
      panel.parts == 1 ? panel.data + kFetchAlone : panel.next + panel.part * lines * 64 * steps();
  const AmxBlock block{ahead_.data(), static_cast<int64_t>(ahead_.size()), parts_, pairs_, from,
                       panel.data, fetched, lines,
                       {at(from[0]), two ? at(from[1]) : nullptr}, ld};
  if (panel.width > W) return two ? multiply_tiles<2, 2>(block) : multiply_tiles<1, 2>(block);
  return two ? multiply_tiles<2, 1>(block) : multiply_tiles<1, 1>(block);
}

#endif

}  // namespace neuron::kernels
