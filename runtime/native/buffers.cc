// The Python type that exports a tensor's memory, and the claim that a tensor has on Python's.
#include "buffers.h"

#include <ATen/ops/from_blob.h>

namespace neuron {
namespace {

using python::api;
using python::Buffer;
using python::checked;
using python::Gil;
using python::Object;
using python::Ref;

// A Python object that exports a tensor's bytes and owns a reference to the tensor.
struct TensorBytes {
  python::ObjectHead head;
  at::Tensor* tensor;
};

int get_buffer(Object* self, Buffer* view, int flags) {
  const at::Tensor& tensor = *reinterpret_cast<TensorBytes*>(self)->tensor;
  return api().PyBuffer_FillInfo(view, self, tensor.data_ptr(),
                                 static_cast<ssize_t>(tensor.nbytes()), /*readonly=*/1, flags);
}

void dealloc(Object* self) {
  auto* bytes = reinterpret_cast<TensorBytes*>(self);
  auto* type = reinterpret_cast<Object*>(bytes->head.type);
  delete bytes->tensor;
  api().PyObject_Free(self);
  api().Py_DecRef(type);
}

// Made once under the GIL, never freed.
python::TypeObject* tensor_bytes_type() {
  static python::TypeObject* type = nullptr;
  if (type == nullptr) {
    python::TypeSlot slots[] = {
        {python::kSlotGetBuffer, reinterpret_cast<void*>(get_buffer)},
        {python::kSlotDealloc, reinterpret_cast<void*>(dealloc)},
        {0, nullptr},
    };
    python::TypeSpec spec{"neuron.TensorBytes", sizeof(TensorBytes), 0,
                          python::kDisallowInstantiation, slots};
    type = reinterpret_cast<python::TypeObject*>(checked(api().PyType_FromSpec(&spec)).release());
  }
  return type;
}

}  // namespace

Ref memoryview(const at::Tensor& tensor) {
  Ref bytes = checked(api().PyType_GenericAlloc(tensor_bytes_type(), 0));
  reinterpret_cast<TensorBytes*>(bytes.get())->tensor = new at::Tensor(tensor);
  return checked(api().PyMemoryView_FromObject(bytes.get()));
}

HeldBuffer::HeldBuffer(const Ref& object) {
  if (api().PyObject_GetBuffer(object.get(), &view_, python::kBufferSimple) != 0) {
    python::throw_python_error();
  }
}

HeldBuffer::~HeldBuffer() {
  const Gil gil(std::nothrow);
  if (gil.held()) {  // otherwise the memory goes with the process
    api().PyBuffer_Release(&view_);
  }
}

at::Tensor tensor_in(std::unique_ptr<HeldBuffer> held, at::IntArrayRef shape,
                     at::ScalarType dtype) {
  HeldBuffer* owned = held.release();
  return at::from_blob(owned->data(), shape, [owned](void*) { delete owned; }, dtype);
}

}  // namespace neuron
