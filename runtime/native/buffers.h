// Tensors seen as Python buffers, and Python buffers seen as tensors, without copies.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "python_api.h"

namespace neuron {

// The bytes of a contiguous CPU tensor: flat, read-only, and keeping the tensor. Under the GIL.
python::Ref memoryview(const at::Tensor& tensor);

// A Python buffer and a claim on it; made under the GIL, dropped anywhere.
class HeldBuffer {
 public:
  explicit HeldBuffer(const python::Ref& object);
  ~HeldBuffer();
  HeldBuffer(const HeldBuffer&) = delete;
  HeldBuffer& operator=(const HeldBuffer&) = delete;

  void* data() const { return view_.data; }
  size_t size() const { return static_cast<size_t>(view_.size); }

 private:
  python::Buffer view_{};
};

// A tensor in the memory of a buffer, which it keeps.
at::Tensor tensor_in(std::unique_ptr<HeldBuffer> held, at::IntArrayRef shape, at::ScalarType dtype);

}  // namespace neuron
