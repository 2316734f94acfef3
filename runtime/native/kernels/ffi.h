// What the kernels' XLA FFI handlers have in common.
#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "kernel.h"
#include "xla/ffi/api/ffi.h"

namespace neuron::kernels {

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

// What XLA keeps of each call in a program. The words, of which operands and a kernel are made, are
// so read once, when the program is made ready.
class Call {
 public:
  static inline xla::ffi::TypeId id{};

  Call(MakeKernel make, Words words) : Call(make, words, 0) {}

  void run(const xla::ffi::RemainingArgs& args, const xla::ffi::RemainingRets& rets,
           const Threads& threads) const {
    const std::vector<Buffer> operands = operands_.buffers(args);
    site_.run(operands, result(rets), threads);
  }

 private:
  Call(MakeKernel make, Words words, size_t used)
      : operands_(words, &used), site_(make, words.after(used)) {}

  const Operands operands_;  // before the kernel: whose words begin after theirs
  const CallSite site_;
};

template <typename Made>
xla::ffi::ErrorOr<std::unique_ptr<Call>> make(xla::ffi::Span<const int64_t> words) {
  try {
    return std::make_unique<Call>(make_kernel<Made>, Words(words.begin(), words.size()));
  } catch (const std::exception& error) {
    return xla::ffi::Unexpected(xla::ffi::Error::InvalidArgument(error.what()));
  }
}

xla::ffi::Error run(const Call* call, xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs args,
                    xla::ffi::RemainingRets rets, xla::ffi::Dictionary);

// A kernel's name, and the symbols under which XLA is told of it: what makes a call of it, and what
// runs that.
#define NEURON_KERNEL(name, Made)                                                                 \
  static const neuron::kernels::KernelName name##_name(#name, neuron::kernels::make_kernel<Made>); \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                                  \
      name##_make, neuron::kernels::make<Made>,                                                   \
      xla::ffi::Ffi::BindInstantiate().Attr<xla::ffi::Span<const int64_t>>("words"));             \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, neuron::kernels::run,                                       \
                                xla::ffi::Ffi::Bind()                                             \
                                    .Ctx<xla::ffi::State<neuron::kernels::Call>>()                \
                                    .Ctx<xla::ffi::ThreadPool>()                                  \
                                    .RemainingArgs()                                              \
                                    .RemainingRets()                                              \
                                    .Attrs());

}  // namespace neuron::kernels
