// A NEFF loaded by the Python runtime, as C++ sees it.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <mutex>
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
//   initialize() -> None
//   to_core(data: memoryview, core: int) -> buffer, a copy in the core's account
//   set_default_cores(start: int, count: int) -> None
// and the handle has `inputs` and `outputs`, tuples of (name, dtype name, dims), `cores`, a tuple of
// indices, `batch`, the size of dimension 0 of all tensors or -1, `dynamic_batch`, a bool,
//   configure(options: str) -> bool, whether calls may have any batch from now on
//   execute(inputs: tuple[memoryview, ...]) -> sequence of buffers, one for each output
//   execute_batch(inputs: tuple[memoryview, ...], batch: int) -> likewise, of that batch
//   load() -> object, place(start: int, count: int) -> None, unload() -> None
// Memoryviews are flat, read-only bytes and keep their tensor alive as long as Python holds them.
// A buffer that `execute` returns is C-contiguous, has its output's exact size, and is handed over:
// the caller's tensor may be that memory, so nothing else may write to it or rely on it.
class LoadedModel {
 public:
  LoadedModel(const at::Tensor& neff, const at::Tensor& metaneff, const std::string& options);

  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }

  // The size of dimension 0 of every input and output, or -1.
  int64_t batch() const { return batch_; }
  // Whether calls may have any other size there. A call that runs goes on as it began.
  bool dynamic_batch() const { return dynamic_batch_; }

  std::string options() const;
  void configure(const std::string& options);

  // `inputs` are contiguous CPU tensors that match inputs() exactly.
  std::vector<at::Tensor> execute(at::TensorList inputs) const;

  // The same, but dimension 0 of every input is `batch`.
  std::vector<at::Tensor> execute_batch(at::TensorList inputs, int64_t batch) const;

  std::vector<int64_t> cores() const;  // none while it is not loaded
  void load() const;
  void place(int64_t start, int64_t count) const;
  void unload() const;

 private:
  Handle handle_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  void accept(const std::string& options, bool dynamic_batch);

  int64_t batch_;
  std::atomic<bool> dynamic_batch_{false};
  std::string options_;
  mutable std::mutex options_mutex_;  // held only to copy: nobody waits for the GIL under it
};

// Takes this process's NeuronCores, as the first load does.
void initialize_runtime();

// Where models are loaded that are not told where, from now on.
void set_default_neuron_cores(int64_t start, int64_t count);

// A copy of a contiguous CPU tensor that counts against the memory of a NeuronCore for as long as
// any tensor shares its storage. It is a CPU tensor itself.
at::Tensor to_core(const at::Tensor& tensor, int64_t core);

}  // namespace neuron
