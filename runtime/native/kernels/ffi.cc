#include "ffi.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "chain.h"
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

// A contraction and the program after it, as words say it.
struct Parsed {
  Contraction c;
  TileProgram program;

  Parsed(const int64_t* words, size_t count, size_t used = 0)
      : c(Contraction::parse(words, count, &used)), program(words + used, count - used) {}
};

ffi::Error run_contraction(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
                           Words words) {
  return guarded([&] {
    const Parsed parsed(words.begin(), words.size());
    const std::vector<Buffer> buffers = arguments(args, 0);
    if (buffers.size() != 2 + static_cast<size_t>(parsed.program.operands())) {
      throw std::invalid_argument("contraction: one buffer must be there for each operand");
    }
    const TileTask task(parsed.program, buffers.data() + 2, result(rets));
    contract(parsed.c, threads_of(pool), buffers[0].data, buffers[1].data, parsed.program, task);
  });
}

// Stretches of words, each after its length.
class Stretches {
 public:
  explicit Stretches(Words words) : words_(words) {}

  const int64_t* next(size_t* count) {
    if (at_ < words_.size()) {
      *count = static_cast<size_t>(words_[at_++]);
      if (*count <= words_.size() - at_) return words_.begin() + std::exchange(at_, at_ + *count);
    }
    throw std::invalid_argument("chain: as many words must follow as their number says");
  }
  template <typename Made>
  Made parse() {
    size_t count = 0;
    const int64_t* words = next(&count);
    return Made(words, count);
  }

 private:
  Words words_;
  size_t at_ = 0;
};

ffi::Error run_chain(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
                     Words words) {
  return guarded([&] {
    Stretches stretches(words);
    const auto first = stretches.parse<Parsed>();
    const auto program = stretches.parse<TileProgram>();
    size_t count = 0;
    const int64_t* made = stretches.next(&count);  // whether an operand is what the first makes
    const auto second = stretches.parse<Parsed>();
    const size_t given = count - std::count(made, made + count, 1);
    const size_t before = 2 + first.program.operands();
    const std::vector<Buffer> buffers = arguments(args, 0);
    if (count != static_cast<size_t>(program.operands()) ||
        buffers.size() != before + given + 1 + second.program.operands()) {
      throw std::invalid_argument("chain: one buffer must be there for each operand");
    }
    Between between{program, std::vector<Buffer>(count)};
    const Buffer* next = buffers.data() + before;
    for (size_t n = 0; n < count; ++n) {
      if (made[n] == 0) between.operands[n] = *next++;
    }
    chain({first.c, buffers[0].data, buffers[1].data, first.program, buffers.data() + 2}, between,
          {second.c, nullptr, next[0].data, second.program, next + 1}, result(rets),
          threads_of(pool));
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(neuron_chain, neuron::kernels::run_chain,
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
