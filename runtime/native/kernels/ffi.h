// What the kernels' XLA FFI handlers have in common.
#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "parallel.h"
#include "tile.h"
#include "xla/ffi/api/ffi.h"

namespace neuron::kernels {

using Words = xla::ffi::Span<const int64_t>;

// The threads of XLA's pool. They are this call's only while it runs.
Threads threads_of(xla::ffi::ThreadPool& pool);

// A buffer as tile programs see it. Throws std::invalid_argument for a type that they do not read.
Buffer buffer_of(const xla::ffi::AnyBuffer& buffer);

// Arguments from `first` on, and the only result.
std::vector<Buffer> arguments(const xla::ffi::RemainingArgs& args, size_t first);
Buffer result(const xla::ffi::RemainingRets& rets);

// What XLA keeps of each call in a program: a class `Kernel` that has a `TypeId id`, is made of the
// call's words, which are so read once, when the program is made ready, and has
// `run(args, rets, threads)`.
template <typename Kernel>
xla::ffi::ErrorOr<std::unique_ptr<Kernel>> make(Words words) {
  try {
    return std::make_unique<Kernel>(words);
  } catch (const std::exception& error) {
    return xla::ffi::Unexpected(xla::ffi::Error::InvalidArgument(error.what()));
  }
}

template <typename Kernel>
xla::ffi::Error run(const Kernel* kernel, xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs args,
                    xla::ffi::RemainingRets rets, xla::ffi::Dictionary) {
  try {
    kernel->run(args, rets, threads_of(pool));
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
          .Ctx<xla::ffi::State<Kernel>>()                                                        \
          .Ctx<xla::ffi::ThreadPool>()                                                           \
          .RemainingArgs()                                                                       \
          .RemainingRets()                                                                       \
          .Attrs());                                                                             \
  extern "C" void* name##_type_id() { return &Kernel::id; }                                      \
  extern "C" const void* name##_type_info() {                                                    \
    static const xla::ffi::TypeInfo info = xla::ffi::MakeTypeInfo<Kernel>();                     \
    return &info;                                                                                \
  }

}  // namespace neuron::kernels
