#include "contract.h"

#include <stdexcept>
#include <string>

#include "work.h"

namespace neuron::kernels {
namespace {

// Products that are not worth another thread: about 3 us.
constexpr int64_t kSmall = 128 * 1024;
// Elements whose copy is not worth one, either: what wakes it takes as long.
constexpr int64_t kFew = 32 * 1024;

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

void contract(const Contraction& c, const Threads& given, const void* left, const void* right,
              const TileProgram& program, const TileTask& task) {
  static thread_local Arena staged, packed;
  const int64_t sums = c.group_count() * c.row_count() * c.columns;
  const bool alone = sums * c.tap_count() * (c.each ? 1 : c.depth) < kSmall;
  const Threads nobody;
  const Threads& threads = alone ? nobody : given;
  Work work(c, left, right);
  const Division division(c, work.packing(), threads.helpers + 1);
  // What one chunk alone reads is copied or packed by its thread.
  if (!work.lies_ready() && division.panel_blocks > 1) {
    const int64_t read = c.group_count() * c.row_count() * c.tap_count() * c.depth;
    work.stage_all(read < kFew ? nobody : threads, staged);
  }
  if (!c.packed && division.row_blocks > 1) work.pack_all(threads, packed);
  const int64_t blocks = division.row_blocks * division.panel_blocks;
  const int64_t chunks = c.group_count() * blocks, panels = work.packing().panels;
  const auto first_panel = [&](int64_t block) { return panels * block / division.panel_blocks; };
  parallel_for(threads, chunks, [&](int64_t chunk) {
    static thread_local Scratch scratch;
    const int64_t group = chunk / blocks;
    const Division::Block block = division.block(chunk % blocks);
    const Range rows = work.rows_of(block.rows, division.row_blocks);
    const Range range{first_panel(block.panels), first_panel(block.panels + 1)};
    const int64_t next = chunk + 1;  // mostly
    const char* const after =
        next < chunks ? work.ready(next / blocks, first_panel(division.block(next % blocks).panels))
                      : nullptr;
    work.run(group, rows, range, work.panels(group, range, scratch), program, task, scratch,
             nullptr, after);
  });
}

}  // namespace neuron::kernels
