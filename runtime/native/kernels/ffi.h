// What the kernels' XLA FFI handlers have in common.
#pragma once

#include <exception>
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

// Run a kernel and turn what it throws into XLA's error.
template <typename Kernel>
xla::ffi::Error guarded(Kernel&& kernel) {
  try {
    kernel();
    return xla::ffi::Error::Success();
  } catch (const std::exception& error) {
    return xla::ffi::Error::Internal(error.what());
  }
}

}  // namespace neuron::kernels
