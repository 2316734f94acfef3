// Hands tensors to the Python runtime and takes its results, without copying what is large.
#include "bridge.h"

#include <ATen/EmptyTensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "buffers.h"
#include "torchneuron.h"

namespace neuron {
namespace {

using python::api;
using python::checked;
using python::Gil;
using python::Object;
using python::Ref;

// Below this a copy costs less than keeping the buffer: releasing it takes the GIL once more.
constexpr size_t kCopyBelow = 64 * 1024;
// What vector code may assume of a tensor's memory.
constexpr uintptr_t kAlignment = 16;

struct DtypeName {
  at::ScalarType dtype;
  const char* name;
};

constexpr DtypeName kDtypeNames[] = {
    {at::kBool, "bool"},
    {at::kByte, "uint8"},
    {at::kUInt16, "uint16"},
    {at::kUInt32, "uint32"},
    {at::kUInt64, "uint64"},
    {at::kChar, "int8"},
    {at::kShort, "int16"},
    {at::kInt, "int32"},
    {at::kLong, "int64"},
    {at::kHalf, "float16"},
    {at::kBFloat16, "bfloat16"},
    {at::kFloat, "float32"},
    {at::kDouble, "float64"},
    {at::kComplexFloat, "complex64"},
    {at::kComplexDouble, "complex128"},
    {at::kFloat8_e4m3fn, "float8_e4m3fn"},
    {at::kFloat8_e4m3fnuz, "float8_e4m3fnuz"},
    {at::kFloat8_e5m2, "float8_e5m2"},
    {at::kFloat8_e5m2fnuz, "float8_e5m2fnuz"},
};

at::ScalarType dtype_named(const std::string& name) {
  for (const DtypeName& entry : kDtypeNames) {
    if (name == entry.name) {
      return entry.dtype;
    }
  }
  TORCH_CHECK(false, "neuron::Model: a tensor's dtype must be one of torch's, got '", name, "'");
}

std::string dtype_text(at::ScalarType dtype) {
  for (const DtypeName& entry : kDtypeNames) {
    if (dtype == entry.dtype) {
      return entry.name;
    }
  }
  return c10::toString(dtype);
}

// The module's name; replaced names are kept, since another thread may be reading one.
std::atomic<const char*> bridge_name{"runtime.bridge"};

// `shape` is that of `spec`, or differs from it in dimension 0.
at::Tensor output_tensor(const Ref& object, const TensorSpec& spec, at::IntArrayRef shape) {
  auto held = std::make_unique<HeldBuffer>(object);
  const size_t bytes = c10::elementSize(spec.dtype) * c10::multiply_integers(shape);
  TORCH_CHECK(held->size() == bytes, "neuron::Model: output '", spec.name, "' must be ",
              type_text(spec.dtype, shape), " in ", bytes, " bytes, got ", held->size(),
              " bytes");
  void* data = held->data();
  if (bytes >= kCopyBelow && reinterpret_cast<uintptr_t>(data) % kAlignment == 0) {
    return tensor_in(std::move(held), shape, spec.dtype);
  }
  at::Tensor copy = at::detail::empty_cpu(shape, spec.dtype);
  if (bytes > 0) {
    std::memcpy(copy.data_ptr(), data, bytes);
  }
  return copy;
}

TensorSpec read_spec(const Ref& entry) {
  TensorSpec spec;
  spec.name = python::text(python::item(entry, 0));
  spec.dtype = dtype_named(python::text(python::item(entry, 1)));
  spec.bytes = c10::elementSize(spec.dtype);
  const Ref dims = python::item(entry, 2);
  for (ssize_t i = 0; i < python::length(dims); ++i) {
    spec.shape.push_back(python::integer(python::item(dims, i)));
    spec.bytes *= static_cast<size_t>(spec.shape.back());
  }
  return spec;
}

std::vector<TensorSpec> read_specs(const Ref& entries) {
  std::vector<TensorSpec> specs;
  for (ssize_t i = 0; i < python::length(entries); ++i) {
    specs.push_back(read_spec(python::item(entries, i)));
  }
  return specs;
}

Ref load_neff(const at::Tensor& neff, const at::Tensor& metaneff, const std::string& options) {
  Gil gil;
  Ref module = checked(api().PyImport_ImportModule(bridge_name.load()));
  Ref function = python::attribute(module, "load");
  Ref text = python::text_of(options);
  return checked(api().PyObject_CallFunctionObjArgs(
      function.get(), memoryview(neff).get(), memoryview(metaneff).get(), text.get(), nullptr));
}

Ref memoryviews(at::TensorList tensors) {
  Ref views = checked(api().PyTuple_New(static_cast<ssize_t>(tensors.size())));
  for (size_t i = 0; i < tensors.size(); ++i) {
    api().PyTuple_SetItem(views.get(), static_cast<ssize_t>(i), memoryview(tensors[i]).release());
  }
  return views;
}

// Calls a method of `object` with at most two arguments.
Ref call(Object* object, const char* method, std::initializer_list<Object*> arguments) {
  const Ref function = checked(api().PyObject_GetAttrString(object, method));
  Object* given[] = {nullptr, nullptr};
  std::copy(arguments.begin(), arguments.end(), given);
  return checked(
      api().PyObject_CallFunctionObjArgs(function.get(), given[0], given[1], nullptr));
}

Ref call(const Handle& handle, const char* method, std::initializer_list<Object*> arguments) {
  return call(handle.get(), method, arguments);
}

Ref call_bridge(const char* function, std::initializer_list<Object*> arguments) {
  const Ref module = checked(api().PyImport_ImportModule(bridge_name.load()));
  return call(module.get(), function, arguments);
}

// The results of a call; `batch` is the size of their dimension 0, or -1 for the declared one.
std::vector<at::Tensor> output_tensors(const Ref& results, const std::vector<TensorSpec>& specs,
                                       int64_t batch) {
  const auto count = static_cast<size_t>(python::length(results));
  TORCH_CHECK(count == specs.size(), "neuron::Model: execute must return ", specs.size(),
              " outputs, got ", count);
  std::vector<at::Tensor> outputs;
  outputs.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    at::DimVector shape(specs[i].shape.begin(), specs[i].shape.end());
    if (batch >= 0) {
      shape[0] = batch;
    }
    outputs.push_back(output_tensor(python::item(results, static_cast<ssize_t>(i)), specs[i],
                                    shape));
  }
  return outputs;
}

}  // namespace

std::string type_text(at::ScalarType dtype, at::IntArrayRef shape) {
  return c10::str(dtype_text(dtype), shape);
}

Handle::~Handle() {
  const Gil gil(std::nothrow);
  if (!gil.held()) {  // the device's memory goes with the process
    return;
  }
  Ref handle(object_);
  Ref unload(api().PyObject_GetAttrString(handle.get(), "unload"));
  if (unload.get() == nullptr ||
      Ref(api().PyObject_CallFunctionObjArgs(unload.get(), nullptr)).get() == nullptr) {
    api().PyErr_WriteUnraisable(handle.get());
  }
}

LoadedModel::LoadedModel(const at::Tensor& neff, const at::Tensor& metaneff,
                         const std::string& options)
    : handle_(load_neff(neff, metaneff, options)) {
  Gil gil;
  const Ref handle = python::borrowed(handle_.get());
  inputs_ = read_specs(python::attribute(handle, "inputs"));
  outputs_ = read_specs(python::attribute(handle, "outputs"));
  batch_ = python::integer(python::attribute(handle, "batch"));
  accept(options, python::integer(python::attribute(handle, "dynamic_batch")) != 0);
  python::prepare_for_exit();
}

// Called under the GIL right after Python has agreed, so that what Python holds, the flag and the
// text are of one and the same call of `configure`.
void LoadedModel::accept(const std::string& options, bool dynamic_batch) {
  TORCH_CHECK(!dynamic_batch || (batch_ > 0 && !inputs_.empty()), "neuron::Model: dynamic batching "
              "needs inputs that share dimension 0, got a batch of ", batch_, " for ",
              inputs_.size(), " inputs");
  const std::lock_guard<std::mutex> lock(options_mutex_);
  options_ = options;
  dynamic_batch_ = dynamic_batch;
}

std::string LoadedModel::options() const {
  const std::lock_guard<std::mutex> lock(options_mutex_);
  return options_;
}

std::vector<at::Tensor> LoadedModel::execute(at::TensorList inputs) const {
  Gil gil;
  const Ref results = call(handle_, "execute", {memoryviews(inputs).get()});
  return output_tensors(results, outputs_, -1);
}

std::vector<at::Tensor> LoadedModel::execute_batch(at::TensorList inputs, int64_t batch) const {
  Gil gil;
  const Ref size = python::number(batch);
  const Ref results = call(handle_, "execute_batch", {memoryviews(inputs).get(), size.get()});
  return output_tensors(results, outputs_, batch);
}

void LoadedModel::configure(const std::string& options) {
  Gil gil;
  const Ref dynamic_batch = call(handle_, "configure", {python::text_of(options).get()});
  accept(options, python::integer(dynamic_batch) != 0);
}

std::vector<int64_t> LoadedModel::cores() const {
  Gil gil;
  const Ref indices = python::attribute(python::borrowed(handle_.get()), "cores");
  std::vector<int64_t> result;
  for (ssize_t i = 0; i < python::length(indices); ++i) {
    result.push_back(python::integer(python::item(indices, i)));
  }
  return result;
}

void LoadedModel::load() const {
  Gil gil;
  call(handle_, "load", {});
}

void LoadedModel::place(int64_t start, int64_t count) const {
  Gil gil;
  call(handle_, "place", {python::number(start).get(), python::number(count).get()});
}

void LoadedModel::unload() const {
  Gil gil;
  call(handle_, "unload", {});
}

void initialize_runtime() {
  Gil gil;
  call_bridge("initialize", {});
}

void set_default_neuron_cores(int64_t start, int64_t count) {
  Gil gil;
  call_bridge("set_default_cores", {python::number(start).get(), python::number(count).get()});
}

at::Tensor to_core(const at::Tensor& tensor, int64_t core) {
  Gil gil;
  const Ref kept =
      call_bridge("to_core", {memoryview(tensor).get(), python::number(core).get()});
  return tensor_in(std::make_unique<HeldBuffer>(kept), tensor.sizes(), tensor.scalar_type());
}

}  // namespace neuron

// What python_api reports, in the exceptions that PyTorch turns into Python's.
void neuron::python::raise(ErrorKind kind, const std::string& message) {
  switch (kind) {
    case ErrorKind::kValue:
      C10_THROW_ERROR(ValueError, message);
    case ErrorKind::kNotImplemented:
      C10_THROW_ERROR(NotImplementedError, message);
    case ErrorKind::kRuntime:
      break;
  }
  C10_THROW_ERROR(Error, message);
}

void neuron_set_bridge(const char* module_name) {
  const size_t size = std::strlen(module_name) + 1;
  neuron::bridge_name = static_cast<const char*>(std::memcpy(new char[size], module_name, size));
}
