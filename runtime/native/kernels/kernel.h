// A kernel as a program calls it: made of its words, run on buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "parallel.h"
#include "tile.h"
#include "tuner.h"

namespace neuron::kernels {

// Numbers that say what a kernel computes: runtime.units writes them.
class Words {
 public:
  Words(const int64_t* data, size_t size) : data_(data), size_(size) {}
  const int64_t* begin() const { return data_; }
  size_t size() const { return size_; }
  Words after(size_t count) const { return {data_ + count, size_ - count}; }

 private:
  const int64_t* data_;
  size_t size_;
};

// An operand holds the number of an element that is not there.
struct OutOfBounds : std::exception {};

class Kernel {
 public:
  virtual ~Kernel() = default;
  // Throws std::invalid_argument for buffers that are not what the words say; OutOfBounds.
  virtual void run(const std::vector<Buffer>& operands, const Buffer& result,
                   const Threads& threads) const = 0;
};

using MakeKernel = std::unique_ptr<const Kernel> (*)(Words words);

template <typename Made>
std::unique_ptr<const Kernel> make_kernel(Words words) {
  return std::make_unique<Made>(words);
}

// What makes the kernel of a name, of words for which it throws std::invalid_argument if they are
// none; throws that, too, if there is no kernel of the name.
MakeKernel kernel_named(const std::string& name);

// A place in a program from which a kernel is called. Safe to run from several threads at once.
class CallSite {
 public:
  CallSite(MakeKernel make, Words words) : kernel_(make(words)) {}

  void run(const std::vector<Buffer>& operands, const Buffer& result,
           const Threads& threads) const {
    tuner_.call([&](bool alone) { kernel_->run(operands, result, alone ? Threads{} : threads); });
  }

 private:
  const std::unique_ptr<const Kernel> kernel_;
  const Tuner tuner_;
};

// Has `kernel_named` know of a kernel.
struct KernelName {
  KernelName(const char* name, MakeKernel make);
};

}  // namespace neuron::kernels
