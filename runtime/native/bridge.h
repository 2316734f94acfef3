// A NEFF loaded by the Python runtime, as C++ sees it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "python_api.h"

namespace neuron {

// One argument or result as the NEFF declares it.
struct TensorSpec {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  size_t bytes;
};

// "int64[1, 128]", the way dtypes are spelt in Python.
std::string type_text(at::ScalarType dtype, at::IntArrayRef shape);

// The runtime's handle of a loaded model; unloads it on destruction.
class Handle {
 public:
  explicit Handle(python::Ref owned) : object_(owned.release()) {}
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  python::Object* get() const { return object_; }

 private:
  python::Object* object_;
};

// Loads on construction, unloads on destruction. Thread-safe; takes the GIL where it needs it.
//
// The Python module (`runtime.bridge` unless neuron_set_bridge named another) has
//   load(neff: memoryview, metaneff: memoryview, options: str) -> handle
// and the handle has `inputs` and `outputs`, tuples of (name, dtype name, dims),
//   execute(inputs: tuple[memoryview, ...]) -> sequence of buffers, one for each output
//   unload() -> None
// Memoryviews are flat, read-only bytes and keep their tensor alive as long as Python holds them.
// A buffer that `execute` returns is C-contiguous, has its output's exact size, and is handed over:
// the caller's tensor may be that memory, so nothing else may write to it or rely on it.
class LoadedModel {
 public:
  LoadedModel(const at::Tensor& neff, const at::Tensor& metaneff, const std::string& options);

  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }

  // `inputs` are contiguous CPU tensors that match inputs() exactly.
  std::vector<at::Tensor> execute(at::TensorList inputs) const;

 private:
  Handle handle_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
};

}  // namespace neuron
