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

xla::ffi::Error rows_handler(xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs args,
                             xla::ffi::RemainingRets rets, Words words) {
  return guarded([&] {
    const TileProgram program(words.begin(), words.size());
    const std::vector<Buffer> buffers = arguments(args, 0);
    if (buffers.size() != static_cast<size_t>(program.operands())) {
      throw std::invalid_argument("rows: one buffer must be there for each operand");
    }
    const TileTask task(program, buffers.data(), result(rets));
    run_rows(program, task, threads_of(pool));
  });
}

}  // namespace
}  // namespace neuron::kernels

XLA_FFI_DEFINE_HANDLER_SYMBOL(neuron_rows, neuron::kernels::rows_handler,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<neuron::kernels::Words>("words"));
