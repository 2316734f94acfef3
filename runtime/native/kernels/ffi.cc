#include "ffi.h"

#include <stdexcept>
#include <utility>

#include "contract.h"

namespace neuron::kernels {
namespace {

namespace ffi = xla::ffi;

Type type_of(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::F32:
      return Type::f32;
    case ffi::DataType::BF16:
      return Type::bf16;
    case ffi::DataType::F16:
      return Type::f16;
    case ffi::DataType::PRED:
      return Type::pred;
    case ffi::DataType::S32:
      return Type::s32;
    default:
      throw std::invalid_argument("kernels: a buffer must be f32, bf16, f16, pred or s32");
  }
}

ffi::Error run_contraction(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
                           Words words) {
  return guarded([&] {
    size_t used = 0;
    const Contraction c = Contraction::parse(words.begin(), words.size(), &used);
    const TileProgram program(words.begin() + used, words.size() - used);
    const std::vector<Buffer> buffers = arguments(args, 0);
    if (buffers.size() != 2 + static_cast<size_t>(program.operands())) {
      throw std::invalid_argument("contraction: one buffer must be there for each operand");
    }
    const TileTask task(program, buffers.data() + 2, result(rets));
    contract(c, threads_of(pool), buffers[0].data, buffers[1].data, program, task);
  });
}

}  // namespace

Threads threads_of(ffi::ThreadPool& pool) {
  return {pool.num_threads() - 1,
          [&pool](std::function<void()> task) { pool.Schedule(std::move(task)); }};
}

Buffer buffer_of(const ffi::AnyBuffer& buffer) {
  return {buffer.untyped_data(), type_of(buffer.element_type()),
          static_cast<int64_t>(buffer.element_count())};
}

std::vector<Buffer> arguments(const ffi::RemainingArgs& args, size_t first) {
  std::vector<Buffer> found;
  for (size_t n = first; n < args.size(); ++n) {
    auto argument = args.get<ffi::AnyBuffer>(n);
    if (!argument.has_value()) throw std::invalid_argument("kernels: an argument must be a buffer");
    found.push_back(buffer_of(*argument));
  }
  return found;
}

Buffer result(const ffi::RemainingRets& rets) {
  auto found = rets.get<ffi::AnyBuffer>(0);
  if (rets.size() != 1 || !found.has_value()) {
    throw std::invalid_argument("kernels: one buffer must be there for the result");
  }
  return buffer_of(**found);
}

}  // namespace neuron::kernels

XLA_FFI_DEFINE_HANDLER_SYMBOL(neuron_contraction, neuron::kernels::run_contraction,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<neuron::kernels::Words>("words"));

extern "C" {

// The bytes of a second operand once packed; -1 if the numbers are no contraction.
int64_t neuron_packed_bytes(const int64_t* words, size_t count) {
  try {
    size_t used = 0;
    return packed_bytes(neuron::kernels::Contraction::parse(words, count, &used));
  } catch (const std::exception&) {
    return -1;
  }
}

// Pack a second operand; 0, or -1 if the numbers are no contraction.
int neuron_pack(const int64_t* words, size_t count, const void* right, void* packed) {
  try {
    size_t used = 0;
    pack_right(neuron::kernels::Contraction::parse(words, count, &used), right, packed);
    return 0;
  } catch (const std::exception&) {
    return -1;
  }
}

}  // extern "C"
