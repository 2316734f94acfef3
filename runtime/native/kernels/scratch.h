// Memory that is kept from call to call.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace neuron::kernels {

// Asks for large pages of what is there already.
inline void in_large_pages(void* data, int64_t bytes) {
  constexpr uintptr_t kPage = 2 * 1024 * 1024;
  const auto start = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (start + kPage - 1) / kPage * kPage;
  const uintptr_t last = (start + bytes) / kPage * kPage;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

class Arena {
 public:
  // At least so many bytes, aligned to 64: the caller's, until it asks again.
  char* get(int64_t bytes) {
    if (bytes > size_) {
      size_ = 0;
      data_.reset(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = bytes;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  int64_t size_ = 0;
};

// So many floats of this thread's, until it asks again.
inline float* scratch_of(size_t floats) {
  static thread_local Arena memory;
  return reinterpret_cast<float*>(memory.get(static_cast<int64_t>(floats) * 4));
}

}  // namespace neuron::kernels
