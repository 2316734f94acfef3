#include "chain.h"

#include <algorithm>
#include <stdexcept>

#include "row_tiles.h"
#include "walk.h"
#include "work.h"

namespace neuron::kernels {
namespace {

// What rows in the making may take, of both kinds, beside the panels in a second-level cache.
constexpr int64_t kRowBytes = 256 * 1024;

// So many elements of which only some rows are there: those from `row` on, at `memory`.
Buffer part_of(char* memory, Type type, int64_t row, int64_t columns, int64_t count) {
  const auto start = reinterpret_cast<uintptr_t>(memory) - row * columns * bytes_of(type);
  return {reinterpret_cast<void*>(start), type, count};
}

struct Chain {
  const Link& first;
  const Between& between;
  const Link& second;
  const Work& makes;
  const Work& reads;
  const TileTask& last;

  // Rows of one group, through all three.
  void run(int64_t group, Range rows, const char* made_panels, const char* read_panels,
           Scratch (&scratch)[2]) const {
    static thread_local Arena made_memory, read_memory, tile_memory;
    const int64_t columns = first.c.columns, height = rows.last - rows.first;
    const int64_t row = group * first.c.row_count() + rows.first;
    const int64_t count = first.c.group_count() * first.c.row_count() * columns;
    const auto part = [&](Arena& memory, Type type) {
      return part_of(memory.get(height * columns * bytes_of(type)), type, row, columns, count);
    };
    const Buffer made = part(made_memory, first.program.stored());
    const Buffer read = part(read_memory, between.program.stored());
    const TileTask task(first.program, first.operands, made);
    makes.run(group, rows, {0, makes.packing().panels}, made_panels, first.program, task,
              scratch[0]);
    std::vector<Buffer> operands = between.operands;
    for (Buffer& operand : operands) {
      if (operand.data == nullptr) operand = made;
    }
    const RowTiles tiles(between.program);
    tiles.run(TileTask(between.program, operands.data(), read), row, row + height,
              reinterpret_cast<float*>(tile_memory.get(tiles.scratch() * 4)));
    reads.run(group, rows, {0, reads.packing().panels}, read_panels, second.program, last,
              scratch[1], read.data);
  }
};

bool lies_row_major(const Contraction& c) {
  int64_t step = c.depth;
  bool alike = c.left_start == 0 && (c.depth == 1 || c.left_depth_stride == 1) && c.taps.empty();
  for (auto d = c.rows.rbegin(); d != c.rows.rend(); step *= (d++)->size) {
    alike &= d->size == 1 || d->stride == step;
  }
  for (auto d = c.groups.rbegin(); d != c.groups.rend(); step *= (d++)->size) {
    alike &= d->size == 1 || d->left_stride == step;
  }
  return alike;
}

bool has_rows(const TileProgram& program, const Contraction& c, int64_t columns) {
  const Space& space = program.space();
  return space.rows() == c.group_count() * c.row_count() && space.columns() == columns;
}

bool fit(const Link& first, const Between& between, const Link& second) {
  bool alike = first.program.lies_alike(first.program.operands()) &&
               between.program.lies_alike(between.program.operands());
  for (size_t n = 0; n < between.operands.size(); ++n) {
    alike &= between.operands[n].data != nullptr || between.program.lies_alike(static_cast<int>(n));
  }
  return alike && lies_row_major(second.c) && !second.c.each &&
         first.c.group_count() == second.c.group_count() &&
         first.c.row_count() == second.c.row_count() && first.c.columns == second.c.depth &&
         second.c.left_type == between.program.stored() &&
         has_rows(first.program, first.c, first.c.columns) &&
         has_rows(between.program, first.c, first.c.columns);
}

bool fit(const Link& first, const Link& second) {
  bool alike = first.program.lies_alike(first.program.operands());
  for (int n = 0; n < second.program.operands(); ++n) {
    alike &= second.operands[n].data != nullptr || second.program.lies_alike(n);
  }
  return alike && first.c.group_count() == second.c.group_count() &&
         first.c.row_count() == second.c.row_count() && first.c.columns == second.c.columns &&
         has_rows(first.program, first.c, first.c.columns) &&
         has_rows(second.program, second.c, second.c.columns);
}

// Into how many parts the rows of each group are cut. With one, a group is one thread's, which packs
// for itself; otherwise what is not packed is so before, by all threads.
int64_t cut(const Link& first, const Link& second, Work& makes, Work& reads,
            const Threads& threads) {
  static thread_local Arena made_packed, read_packed;
  const int64_t groups = first.c.group_count(), wanted = 4 * (threads.helpers + 1);
  const int64_t tall = makes.packing().tile_rows;
  const int64_t tiles = (first.c.row_count() + tall - 1) / tall;
  const int64_t blocks = std::min(tiles, (wanted + groups - 1) / groups);
  if (blocks > 1) {
    if (!first.c.packed) makes.pack_all(threads, made_packed);
    if (!second.c.packed) reads.pack_all(threads, read_packed);
  }
  return blocks;
}

// How many rows of so many bytes are made at once.
int64_t height_of(const Work& makes, int64_t row_bytes) {
  const int64_t tall = makes.packing().tile_rows;
  return std::max<int64_t>(kRowBytes / row_bytes / tall, 1) * tall;
}

}  // namespace

void chain(const Link& first, const Between& between, const Link& second, const Buffer& output,
           const Threads& threads) {
  if (!fit(first, between, second)) {
    throw std::invalid_argument("chain: rows must go from one to the next as they are");
  }
  Work makes(first.c, first.left, first.right), reads(second.c, nullptr, second.right);
  const int64_t groups = first.c.group_count(), blocks = cut(first, second, makes, reads, threads);
  const TileTask last(second.program, second.operands, output);
  const Chain chain{first, between, second, makes, reads, last};
  const int64_t row_bytes =
      first.c.columns * (bytes_of(first.program.stored()) + bytes_of(between.program.stored()));
  const int64_t height = height_of(makes, row_bytes);
  parallel_for(threads, groups * blocks, [&](int64_t chunk) {
    static thread_local Scratch scratch[2];
    const int64_t group = chunk / blocks;
    const char* made = makes.panels(group, {0, makes.packing().panels}, scratch[0]);
    const char* read = reads.panels(group, {0, reads.packing().panels}, scratch[1]);
    const Range rows = makes.rows_of(chunk % blocks, blocks);
    for (int64_t row = rows.first; row < rows.last; row += height) {
      chain.run(group, {row, std::min(row + height, rows.last)}, made, read, scratch);
    }
  });
}

void pair(const Link& first, const Link& second, const Buffer& output, const Threads& threads) {
  if (!fit(first, second)) {
    throw std::invalid_argument("pair: what the first makes must lie as the second's result");
  }
  Work makes(first.c, first.left, first.right), sums(second.c, second.left, second.right);
  const int64_t groups = first.c.group_count(), blocks = cut(first, second, makes, sums, threads);
  const int64_t columns = first.c.columns, all_rows = first.c.row_count();
  const Type type = first.program.stored();
  const int64_t height = height_of(makes, columns * bytes_of(type));
  parallel_for(threads, groups * blocks, [&](int64_t chunk) {
    static thread_local Scratch scratch[2];
    static thread_local Arena memory;
    const int64_t group = chunk / blocks;
    const Range made_all{0, makes.packing().panels}, own_all{0, sums.packing().panels};
    const char* made_panels = makes.panels(group, made_all, scratch[0]);
    const char* own_panels = sums.panels(group, own_all, scratch[1]);
    const Range rows = makes.rows_of(chunk % blocks, blocks);
    std::vector<Buffer> operands(second.operands, second.operands + second.program.operands());
    for (int64_t row = rows.first; row < rows.last; row += height) {
      const Range part{row, std::min(row + height, rows.last)};
      const Buffer made = part_of(memory.get((part.last - row) * columns * bytes_of(type)), type,
                                  group * all_rows + row, columns,
                                  first.c.group_count() * all_rows * columns);
      makes.run(group, part, made_all, made_panels, first.program,
                TileTask(first.program, first.operands, made), scratch[0]);
      for (size_t n = 0; n < operands.size(); ++n) {
        if (second.operands[n].data == nullptr) operands[n] = made;
      }
      sums.run(group, part, own_all, own_panels, second.program,
               TileTask(second.program, operands.data(), output), scratch[1]);
    }
  });
}

}  // namespace neuron::kernels
