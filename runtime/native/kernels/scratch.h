// Memory that a thread keeps from call to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace neuron::kernels {

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
