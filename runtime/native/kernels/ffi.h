// What the kernels' XLA FFI handlers have in common.
#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "parallel.h"
#include "tile.h"
#include "tuner.h"
#include "xla/ffi/api/ffi.h"

namespace neuron::kernels {

using Words = xla::ffi::Span<const int64_t>;

// The threads of XLA's pool. They are this call's only while it runs.
Threads threads_of(xla::ffi::ThreadPool& pool);

// The only result, in large pages where the system has them.
Buffer result(const xla::ffi::RemainingRets& rets);

// Where the operands of a call are: each is an argument, or a part of the first one, in which
// weights lie side by side.
class Operands {
 public:
  // The words are a number of operands; for each: the byte where it begins in the first argument, or
  // -1, and its type and bytes if it does. Throws std::invalid_argument; `*used` are read.
  Operands(Words words, size_t* used);

  // Throws std::invalid_argument for arguments that are not what the words say, or of a type that
  // tile programs do not read.
  std::vector<Buffer> buffers(const xla::ffi::RemainingArgs& args) const;

 private:
  struct Part {
    int64_t start;
    Type type;
    int64_t bytes;
  };
  std::vector<Part> parts_;
  bool held_ = false;  // whether any is a part of the first argument
};

// What XLA keeps of each call in a program. The words, of which operands and a `Kernel` are made, are
// so read once, when the program is made ready. `Kernel::run` is given operands, result, threads.
template <typename Kernel>
class Call {
 public:
  static inline xla::ffi::TypeId id{};

  explicit Call(Words words) : Call(words, 0) {}

  void run(const xla::ffi::RemainingArgs& args, const xla::ffi::RemainingRets& rets,
           const Threads& threads) const {
    const std::vector<Buffer> buffers = operands_.buffers(args);
    const Buffer made = result(rets);
    tuner_.call([&](bool alone) { kernel_.run(buffers, made, alone ? Threads{} : threads); });
  }

 private:
  Call(Words words, size_t used)
      : operands_(words, &used), kernel_(Words(words.begin() + used, words.size() - used)) {}

  const Operands operands_;  // before the kernel: whose words begin after theirs
  const Kernel kernel_;
  const Tuner tuner_;
};

template <typename Kernel>
xla::ffi::ErrorOr<std::unique_ptr<Call<Kernel>>> make(Words words) {
  try {
    return std::make_unique<Call<Kernel>>(words);
  } catch (const std::exception& error) {
    return xla::ffi::Unexpected(xla::ffi::Error::InvalidArgument(error.what()));
  }
}

template <typename Kernel>
xla::ffi::Error run(const Call<Kernel>* call, xla::ffi::ThreadPool pool,
                    xla::ffi::RemainingArgs args, xla::ffi::RemainingRets rets,
                    xla::ffi::Dictionary) {
  try {
    call->run(args, rets, threads_of(pool));
    return xla::ffi::Error::Success();
  } catch (const std::exception& error) {
    return xla::ffi::Error::Internal(error.what());
  }
}

// The symbols under which a kernel is registered: what makes it, what runs it, its type.
#define NEURON_KERNEL(name, Kernel)                                                              \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                                 \
      name##_make, neuron::kernels::make<Kernel>,                                                \
      xla::ffi::Ffi::BindInstantiate().Attr<neuron::kernels::Words>("words"));                   \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                                 \
      name, neuron::kernels::run<Kernel>,                                                        \
      xla::ffi::Ffi::Bind()                                                                      \
          .Ctx<xla::ffi::State<neuron::kernels::Call<Kernel>>>()                                 \
          .Ctx<xla::ffi::ThreadPool>()                                                           \
          .RemainingArgs()                                                                       \
          .RemainingRets()                                                                       \
          .Attrs());                                                                             \
  extern "C" void* name##_type_id() { return &neuron::kernels::Call<Kernel>::id; }               \
  extern "C" const void* name##_type_info() {                                                    \
    using Made = neuron::kernels::Call<Kernel>;                                                  \
    static const xla::ffi::TypeInfo info = xla::ffi::MakeTypeInfo<Made>();                       \
    return &info;                                                                                \
  }

}  // namespace neuron::kernels
