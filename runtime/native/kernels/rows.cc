// Elementwise instructions and reductions over rows: a tile program run on all rows of its space.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>

#include "ffi.h"
#include "vector.h"

namespace neuron::kernels {
namespace {

// What a tile's registers may take of a first-level cache of 32 KiB.
constexpr int64_t kTileBytes = 24 * 1024;
// Columns of a tile of a program that need not see all of them at once.
constexpr int64_t kBlock = 512;
constexpr int64_t kMostRows = 64;
// Work that is not worth another thread: about 10 us.
constexpr int64_t kSmall = 16 * 1024;

// A thread's scratch, kept from call to call.
float* scratch_of(size_t floats) {
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  static thread_local std::unique_ptr<float, Free> memory;
  static thread_local size_t size = 0;
  if (size < floats) {
    size = 0;
    memory.reset(static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 63) / 64 * 64)));
    if (memory == nullptr) throw std::bad_alloc();
    size = floats;
  }
  return memory.get();
}

int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

void run_rows(const TileProgram& program, const TileTask& task, const Threads& threads) {
  const int64_t rows = program.space().rows(), columns = program.space().columns();
  if (rows == 0 || columns == 0) return;
  const int64_t least = program.reduces() ? 1 : (columns + kBlock - 1) / kBlock;
  const int64_t ld = rounded_up((columns + least - 1) / least, W);  // blocks of nearly one width
  const int64_t block = program.reduces() ? columns : ld;
  const int64_t blocks = (columns + block - 1) / block;
  const int64_t fit = kTileBytes / (4 * ld * program.registers());
  const int64_t height = std::clamp<int64_t>(fit, 1, std::min(rows, kMostRows));
  const int64_t tiles = (rows + height - 1) / height * blocks;
  const int64_t parts = rows * columns < kSmall ? 1 : 4 * (threads.helpers + 1);
  const int64_t chunks = std::min(tiles, parts);
  const size_t floats = program.scratch(static_cast<int>(height), static_cast<int>(ld));
  scratch_of(floats);  // where memory runs out it is told here, not on a thread
  parallel_for(threads, chunks, [&](int64_t chunk) {
    float* const scratch = scratch_of(floats);
    for (int64_t t = tiles * chunk / chunks; t < tiles * (chunk + 1) / chunks; ++t) {
      const int64_t row = t / blocks * height, column = t % blocks * block;
      const int64_t width = std::min(block, columns - column);
      task.run({row, static_cast<int>(std::min(height, rows - row)), column,
                static_cast<int>(width), static_cast<int>(rounded_up(width, W))},
               scratch);
    }
  });
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
