#include "ffi.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "chain.h"
#include "contract.h"
#include "scratch.h"
#include "walk.h"

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
    case ffi::DataType::U32:
    case ffi::DataType::S64:  // the lower half of each, at twice its index
      return Type::s32;
    default:
      throw std::invalid_argument("kernels: a buffer must be f32, bf16, f16, pred, s32, u32 or s64");
  }
}

Buffer buffer_of(const ffi::AnyBuffer& buffer) {
  const Type type = type_of(buffer.element_type());
  return {buffer.untyped_data(), type,
          static_cast<int64_t>(buffer.size_bytes()) / bytes_of(type)};
}

// A contraction and the program after it, as words say it.
struct Parsed {
  Contraction c;
  TileProgram program;

  Parsed(const int64_t* words, size_t count, size_t used = 0)
      : c(Contraction::parse(words, count, &used)), program(words + used, count - used) {}
};

class ContractionKernel : public Kernel {
 public:
  explicit ContractionKernel(Words words) : parsed_(words.begin(), words.size()) {}

  void run(const std::vector<Buffer>& buffers, const Buffer& result,
           const Threads& threads) const override {
    if (buffers.size() != 2 + static_cast<size_t>(parsed_.program.operands())) {
      throw std::invalid_argument("contraction: one buffer must be there for each operand");
    }
    const TileTask task(parsed_.program, buffers.data() + 2, result);
    contract(parsed_.c, threads, buffers[0].data, buffers[1].data, parsed_.program, task);
  }

 private:
  const Parsed parsed_;
};

// Stretches of words, each after its length.
class Stretches {
 public:
  explicit Stretches(Words words) : words_(words) {}

  const int64_t* next(size_t* count) {
    if (at_ < words_.size()) {
      *count = static_cast<size_t>(words_.begin()[at_++]);
      if (*count <= words_.size() - at_) return words_.begin() + std::exchange(at_, at_ + *count);
    }
    throw std::invalid_argument("kernels: as many words must follow as their number says");
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

struct Numbers : std::vector<int64_t> {
  Numbers(const int64_t* words, size_t count) : std::vector<int64_t>(words, words + count) {}
};

// The operands of a program, without data where it reads what another kernel makes: the others are
// at `given`, one after the other.
std::vector<Buffer> operands_of(const Numbers& made, const Buffer* given) {
  std::vector<Buffer> found(made.size());
  for (size_t n = 0; n < made.size(); ++n) {
    if (made[n] == 0) found[n] = *given++;
  }
  return found;
}

size_t given_of(const Numbers& made) {
  return made.size() - std::count(made.begin(), made.end(), 1);
}

class ChainKernel : public Kernel {
 public:
  explicit ChainKernel(Words words) : ChainKernel(Stretches(words)) {}

  void run(const std::vector<Buffer>& buffers, const Buffer& result,
           const Threads& threads) const override {
    const size_t before = 2 + first_.program.operands(), given = given_of(made_);
    if (made_.size() != static_cast<size_t>(program_.operands()) ||
        buffers.size() != before + given + 1 + second_.program.operands()) {
      throw std::invalid_argument("chain: one buffer must be there for each operand");
    }
    const Between between{program_, operands_of(made_, buffers.data() + before)};
    const Buffer* const next = buffers.data() + before + given;
    chain({first_.c, buffers[0].data, buffers[1].data, first_.program, buffers.data() + 2}, between,
          {second_.c, nullptr, next[0].data, second_.program, next + 1}, result, threads);
  }

 private:
  explicit ChainKernel(Stretches stretches)
      : first_(stretches.parse<Parsed>()),
        program_(stretches.parse<TileProgram>()),
        made_(stretches.parse<Numbers>()),
        second_(stretches.parse<Parsed>()) {}

  // In the order of the words.
  const Parsed first_;
  const TileProgram program_;
  const Numbers made_;  // whether an operand is what the first makes
  const Parsed second_;
};

class PairKernel : public Kernel {
 public:
  explicit PairKernel(Words words) : PairKernel(Stretches(words)) {}

  void run(const std::vector<Buffer>& buffers, const Buffer& result,
           const Threads& threads) const override {
    const size_t before = 2 + first_.program.operands();
    if (made_.size() != static_cast<size_t>(second_.program.operands()) ||
        buffers.size() != before + 2 + given_of(made_)) {
      throw std::invalid_argument("pair: one buffer must be there for each operand");
    }
    const Buffer* const own = buffers.data() + before;
    const std::vector<Buffer> operands = operands_of(made_, own + 2);
    pair({first_.c, buffers[0].data, buffers[1].data, first_.program, buffers.data() + 2},
         {second_.c, own[0].data, own[1].data, second_.program, operands.data()}, result, threads);
  }

 private:
  explicit PairKernel(Stretches stretches)
      : first_(stretches.parse<Parsed>()),
        second_(stretches.parse<Parsed>()),
        made_(stretches.parse<Numbers>()) {}

  // In the order of the words.
  const Parsed first_, second_;
  const Numbers made_;  // whether an operand of the second's program is what the first makes
};

// The threads of XLA's pool. They are this call's only while it runs.
Threads threads_of(ffi::ThreadPool& pool) {
  return {pool.num_threads() - 1,
          [&pool](std::function<void()> task) { pool.Schedule(std::move(task)); }};
}

}  // namespace

Operands::Operands(Words words, size_t* used) {
  const auto next = [&] {
    if (*used >= words.size()) throw std::invalid_argument("kernels: words of operands must follow");
    return words.begin()[(*used)++];
  };
  for (int64_t n = next(); n > 0; --n) {
    const int64_t start = next(), type = next(), bytes = next();
    if (type < 0 || type > static_cast<int64_t>(Type::s32) || bytes < 0) {
      throw std::invalid_argument("kernels: an operand must have a type and a size");
    }
    parts_.push_back({start, static_cast<Type>(type), bytes});
    held_ |= start >= 0;
  }
}

std::vector<Buffer> Operands::buffers(const ffi::RemainingArgs& args) const {
  size_t taken = 0;
  const auto next = [&] {
    auto argument = args.get<ffi::AnyBuffer>(taken++);
    if (!argument.has_value()) throw std::invalid_argument("kernels: an argument must be a buffer");
    return *argument;
  };
  char* weights = nullptr;
  int64_t bytes = 0;
  if (held_) {
    const ffi::AnyBuffer memory = next();
    weights = static_cast<char*>(memory.untyped_data());
    bytes = static_cast<int64_t>(memory.size_bytes());
  }
  std::vector<Buffer> found;
  found.reserve(parts_.size());
  for (const Part& part : parts_) {
    if (part.start < 0) {
      found.push_back(buffer_of(next()));
    } else if (part.start + part.bytes <= bytes) {
      found.push_back({weights + part.start, part.type, part.bytes / bytes_of(part.type)});
    } else {
      throw std::invalid_argument("kernels: a weight must lie within the memory of weights");
    }
  }
  if (taken != args.size()) throw std::invalid_argument("kernels: each argument must be an operand");
  return found;
}

Buffer result(const ffi::RemainingRets& rets) {
  auto found = rets.get<ffi::AnyBuffer>(0);
  if (rets.size() != 1 || !found.has_value()) {
    throw std::invalid_argument("kernels: one buffer must be there for the result");
  }
  const Buffer made = buffer_of(**found);
  // What a call needs XLA takes from the system and gives back after, so it is new memory each
  // time, and small pages of it cost more than what is written there.
  in_large_pages(made.data, made.count * bytes_of(made.type));
  return made;
}

ffi::Error run(const Call* call, ffi::ThreadPool pool, ffi::RemainingArgs args,
               ffi::RemainingRets rets, ffi::Dictionary) {
  try {
    call->run(args, rets, threads_of(pool));
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

}  // namespace neuron::kernels

NEURON_KERNEL(neuron_contraction, neuron::kernels::ContractionKernel)
NEURON_KERNEL(neuron_chain, neuron::kernels::ChainKernel)
NEURON_KERNEL(neuron_pair, neuron::kernels::PairKernel)

extern "C" {

void* neuron_call_id() { return &neuron::kernels::Call::id; }
const void* neuron_call_info() {
  static const xla::ffi::TypeInfo info = xla::ffi::MakeTypeInfo<neuron::kernels::Call>();
  return &info;
}

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
