// Elementwise instructions and reductions over rows: a tile program run on all rows of its space.
#include <stdexcept>

#include "ffi.h"
#include "row_tiles.h"

namespace neuron::kernels {
namespace {

// Work that is not worth another thread: about 10 us.
constexpr int64_t kSmall = 16 * 1024;

void run_rows(const TileProgram& program, const TileTask& task, const Threads& threads) {
  const int64_t rows = program.space().rows(), columns = program.space().columns();
  if (rows == 0 || columns == 0) return;
  const int64_t parts = rows * columns < kSmall ? 1 : 4 * (threads.helpers + 1);
  each_tile(RowTiles(program), rows, parts, threads,
            [&](const Tile& tile, float* scratch) { task.run(tile, scratch); });
}

class RowsKernel : public Kernel {
 public:
  explicit RowsKernel(Words words) : program_(words.begin(), words.size()) {}

  void run(const std::vector<Buffer>& buffers, const Buffer& result,
           const Threads& threads) const override {
    if (buffers.size() != static_cast<size_t>(program_.operands())) {
      throw std::invalid_argument("rows: one buffer must be there for each operand");
    }
    run_rows(program_, TileTask(program_, buffers.data(), result), threads);
  }

 private:
  const TileProgram program_;
};

}  // namespace
}  // namespace neuron::kernels

NEURON_KERNEL(neuron_rows, neuron::kernels::RowsKernel)
