// Tile programs: elementwise instructions and row reductions, run on a tile that stays in cache.
//
// A program is made by `runtime.units.tile` from instructions of a region and comes as numbers
// (the layout is written there, beside the code that writes it). It has a space of its own: some
// row dimensions, then some column dimensions, each group flattened row-major to one index. It
// computes on tiles: `rows` rows by `columns` columns of that space, in registers of rows x ld
// floats, or, for values that are one per row, of rows x W floats in which a value stands W times.
//
//   TileProgram program(words, count);             // parsed and checked
//   TileTask task(program, operands, output);      // bound to the buffers of one call
//   task.run({row0, rows, column0, columns, ld}, scratch);        // on any thread, any tiles
//
// After a contraction register 0, the first in scratch, is preset by the kernel with its sums. A
// program that reduces must be run on all columns at once. The last instruction stores. Values of
// type pred are 0 and 1; those of s32 are their bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace neuron::kernels {

enum class Type : uint8_t { f32, bf16, f16, pred, s32 };

constexpr int kMaxRank = 8;

// The index space of a program. Dimensions [0, row_rank) make rows, [row_rank, rank) columns.
struct Space {
  int rank = 0;
  int row_rank = 0;
  int64_t dims[kMaxRank] = {};

  int64_t rows() const;
  int64_t columns() const;
};

// Memory that a program reads or writes.
struct Buffer {
  void* data = nullptr;
  Type type = Type::f32;
  int64_t count = 0;  // of elements
};

// Where the element of an index lies in a buffer, in elements: at offset + sum(index * stride).
struct Use {
  Type type = Type::f32;
  int64_t offset = 0;
  int64_t strides[kMaxRank] = {};
};

// One instruction; `code` is a line of the table in tile.cc. `narrow` makes one value per row.
// `to` is a register; a, b and c are registers or, from registers() on, immediates.
struct Op {
  int code, narrow, to, a, b, c;
};

class TileProgram {
 public:
  TileProgram() = default;
  // Throws std::invalid_argument with a sentence if the numbers are no program.
  TileProgram(const int64_t* words, size_t count);

  const Space& space() const { return space_; }
  int operands() const { return static_cast<int>(uses_.size()) - 1; }
  int registers() const { return registers_; }
  bool reduces() const { return reduces_; }  // must see all columns at once
  Type stored() const { return uses_.back().type; }
  // Whether a buffer, an operand's or after them the result's, lies as the space, row-major.
  bool lies_alike(int buffer) const;

  // Floats of scratch, aligned to 64 bytes, for tiles of so many rows; ld a multiple of W.
  size_t scratch(int rows, int ld) const { return size_t{1} * registers_ * rows * ld; }

 private:
  friend class TileTask;
  friend class TileRun;
  Space space_;
  std::vector<Use> uses_;  // the operands', then the output's
  int registers_ = 0;
  bool reduces_ = false;
  std::vector<float> immediates_;  // each W times
  std::vector<Op> ops_;
};

// A part of a program's space; ld is a multiple of W and at least `columns`.
struct Tile {
  int64_t row0;
  int rows;
  int64_t column0;
  int columns;
  int ld;
};

// How a buffer is walked: neighbouring dimensions of equal step are one. Steps are in elements.
struct Walk {
  struct Dimension {
    int64_t size, step;
  };
  char* data = nullptr;  // at index 0
  Type type = Type::f32;
  int row_rank = 0, column_rank = 0;
  Dimension rows[kMaxRank], columns[kMaxRank];  // outer to inner
};

// A program bound to the buffers of one call; cheap to make, shared by all threads.
class TileTask {
 public:
  // Throws std::invalid_argument if a buffer's type is not the program's, or an element lies
  // outside of it. The program must outlive the task.
  TileTask(const TileProgram& program, const Buffer* operands, const Buffer& output);

  // Compute a tile and store it. Columns from `columns` up to ld are computed with and may hold
  // anything; buffers are neither read nor written there.
  void run(const Tile& tile, float* scratch) const;
  // Ask for what a tile will read, and with `made` for what it will write, of buffers that no cache
  // keeps: the processor foresees no rows of which a tile sees a little each.
  void fetch(const Tile& tile, bool made) const;
  bool fetches() const { return !far_.empty(); }  // whether there are such buffers

 private:
  friend class TileRun;
  const TileProgram& program_;
  std::vector<Walk> walks_;  // as the program's uses
  std::vector<int> far_;     // those of them that are fetched
};

}  // namespace neuron::kernels
