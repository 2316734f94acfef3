// How the rows of a tile program's space are cut into tiles that stay in a first-level cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "parallel.h"
#include "scratch.h"
#include "tile.h"
#include "vector.h"

namespace neuron::kernels {

class RowTiles {
 public:
  // With `parts`, so many tiles where there is enough for them.
  explicit RowTiles(const TileProgram& program, int64_t parts = 1)
      : columns_(program.space().columns()) {
    const int64_t rows = program.space().rows(), most_rows = (rows + parts - 1) / parts;
    const int64_t of_row = std::min((parts + rows - 1) / rows, (columns_ + kLine - 1) / kLine);
    const int64_t blocks = std::max((columns_ + kBlock - 1) / kBlock, of_row);
    const int64_t least = program.reduces() ? 1 : blocks;
    const int64_t ld = whole((columns_ + least - 1) / least);  // blocks of nearly one width
    block_ = program.reduces() ? columns_ : ld;
    const int64_t fit = kTileBytes / (4 * ld * program.registers());
    height_ = std::clamp<int64_t>(fit, 1, std::min({rows, kMostRows, most_rows}));
    scratch_ = program.scratch(static_cast<int>(height_), static_cast<int>(ld));
  }

  size_t scratch() const { return scratch_; }  // floats
  // The tiles of so many rows; of those from `row0` to `row1`, numbered from 0.
  int64_t count(int64_t rows) const {
    return (rows + height_ - 1) / height_ * ((columns_ + block_ - 1) / block_);
  }
  Tile tile(int64_t row0, int64_t row1, int64_t number) const {
    const int64_t blocks = (columns_ + block_ - 1) / block_;
    const int64_t row = row0 + number / blocks * height_, column = number % blocks * block_;
    const int64_t width = std::min(block_, columns_ - column);
    return {row, static_cast<int>(std::min(height_, row1 - row)), column, static_cast<int>(width),
            static_cast<int>(whole(width))};
  }
  void run(const TileTask& task, int64_t row0, int64_t row1, float* scratch) const {
    for (int64_t t = 0; t < count(row1 - row0); ++t) task.run(tile(row0, row1, t), scratch);
  }

 private:
  // What a tile's registers may take of a first-level cache of 32 KiB.
  static constexpr int64_t kTileBytes = 24 * 1024;
  // Columns of a tile of a program that need not see all of them at once.
  static constexpr int64_t kBlock = 512;
  static constexpr int64_t kMostRows = 64;
  static constexpr int64_t kLine = 64;  // columns of a part of a row: some lines of a cache
  static int64_t whole(int64_t count) { return (count + W - 1) / W * W; }

  int64_t columns_, block_, height_;
  size_t scratch_;
};

// Calls run(tile, scratch) for the tiles of so many rows, in about so many parts on the threads.
template <typename Run>
void each_tile(const RowTiles& cut, int64_t rows, int64_t parts, const Threads& threads, Run&& run) {
  const int64_t tiles = cut.count(rows), chunks = std::min(tiles, parts);
  scratch_of(cut.scratch());  // where memory runs out it is told here, not on a thread
  parallel_for(threads, chunks, [&](int64_t chunk) {
    float* const scratch = scratch_of(cut.scratch());
    for (int64_t t = tiles * chunk / chunks; t < tiles * (chunk + 1) / chunks; ++t) {
      run(cut.tile(0, rows, t), scratch);
    }
  });
}

}  // namespace neuron::kernels
