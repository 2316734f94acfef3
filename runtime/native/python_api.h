// The part of Python's stable C API that the library uses, found at run time with dlsym.
//
// The library links no libpython: inside Python it uses the interpreter that is there; in a plain
// C++ program it loads libpython and starts an interpreter of its own. The declarations below
// restate the stable ABI of Python 3.11 (no Python headers are needed to build).
#pragma once

#include <sys/types.h>

#include <new>
#include <string>
#include <utility>

struct _object;
struct _typeobject;

namespace neuron::python {

using Object = ::_object;
using TypeObject = ::_typeobject;

struct ObjectHead {
  ssize_t refcount;
  TypeObject* type;
};

struct Buffer {
  void* data;
  Object* exporter;
  ssize_t size;
  ssize_t itemsize;
  int readonly;
  int ndim;
  char* format;
  ssize_t* shape;
  ssize_t* strides;
  ssize_t* suboffsets;
  void* internal;
};

struct MethodDef {
  const char* name;
  Object* (*function)(Object* self, Object* arguments);
  int flags;
  const char* doc;
};

struct TypeSlot {
  int slot;
  void* function;
};

struct TypeSpec {
  const char* name;
  int basicsize;
  int itemsize;
  unsigned int flags;
  TypeSlot* slots;
};

constexpr int kSlotGetBuffer = 1;
constexpr int kSlotDealloc = 52;
constexpr unsigned int kDisallowInstantiation = 1u << 7;
constexpr int kBufferSimple = 0;
constexpr int kBufferRead = 0x100;
constexpr int kBufferWrite = 0x200;
constexpr int kMethodNoArguments = 4;

// result, name, arguments
#define NEURON_PYTHON_FUNCTIONS(X)                                                       \
  X(int, Py_IsInitialized, (void))                                                       \
  X(void, Py_InitializeEx, (int install_signal_handlers))                                \
  X(void, Py_SetProgramName, (const wchar_t*))                                           \
  X(wchar_t*, Py_DecodeLocale, (const char*, size_t*))                                   \
  X(void*, PyEval_SaveThread, (void))                                                    \
  X(void, PyEval_RestoreThread, (void*))                                                 \
  X(int, PyGILState_Ensure, (void))                                                      \
  X(void, PyGILState_Release, (int))                                                     \
  X(void, Py_IncRef, (Object*))                                                          \
  X(void, Py_DecRef, (Object*))                                                          \
  X(Object*, PyImport_ImportModule, (const char*))                                       \
  X(Object*, PySys_GetObject, (const char*))                                             \
  X(Object*, PyObject_GetAttrString, (Object*, const char*))                             \
  X(Object*, PyObject_CallFunctionObjArgs, (Object*, ...))                               \
  X(Object*, PyObject_Str, (Object*))                                                    \
  X(int, PyList_Append, (Object*, Object*))                                              \
  X(Object*, PyTuple_New, (ssize_t))                                                     \
  X(int, PyTuple_SetItem, (Object*, ssize_t, Object*))                                   \
  X(ssize_t, PySequence_Size, (Object*))                                                 \
  X(Object*, PySequence_GetItem, (Object*, ssize_t))                                     \
  X(long long, PyLong_AsLongLong, (Object*))                                             \
  X(Object*, PyLong_FromLongLong, (long long))                                           \
  X(Object*, PyUnicode_FromStringAndSize, (const char*, ssize_t))                        \
  X(const char*, PyUnicode_AsUTF8AndSize, (Object*, ssize_t*))                           \
  X(Object*, PyUnicode_Join, (Object*, Object*))                                         \
  X(int, PyObject_GetBuffer, (Object*, Buffer*, int))                                    \
  X(void, PyBuffer_Release, (Buffer*))                                                   \
  X(int, PyBuffer_FillInfo, (Buffer*, Object*, void*, ssize_t, int readonly, int flags)) \
  X(Object*, PyMemoryView_FromObject, (Object*))                                         \
  X(Object*, PyMemoryView_FromMemory, (char*, ssize_t, int flags))                       \
  X(Object*, PyCFunction_NewEx, (MethodDef*, Object* self, Object* module))              \
  X(Object*, PyType_FromSpec, (TypeSpec*))                                               \
  X(Object*, PyType_GenericAlloc, (TypeObject*, ssize_t))                                \
  X(void, PyObject_Free, (void*))                                                        \
  X(Object*, PyErr_Occurred, (void))                                                     \
  X(void, PyErr_Fetch, (Object**, Object**, Object**))                                   \
  X(void, PyErr_NormalizeException, (Object**, Object**, Object**))                      \
  X(int, PyException_SetTraceback, (Object*, Object*))                                   \
  X(int, PyErr_GivenExceptionMatches, (Object*, Object*))                                \
  X(void, PyErr_SetInterrupt, (void))                                                    \
  X(void, PyErr_WriteUnraisable, (Object*))                                              \
  X(void, PyErr_Clear, (void))

// Borrowed references that live as long as the interpreter.
#define NEURON_PYTHON_EXCEPTIONS(X) \
  X(PyExc_RuntimeError)             \
  X(PyExc_ValueError)               \
  X(PyExc_NotImplementedError)      \
  X(PyExc_KeyboardInterrupt)

struct Api {
#define NEURON_DECLARE(result, name, arguments) result(*name) arguments;
  NEURON_PYTHON_FUNCTIONS(NEURON_DECLARE)
#undef NEURON_DECLARE
#define NEURON_DECLARE(name) Object* name;
  NEURON_PYTHON_EXCEPTIONS(NEURON_DECLARE)
#undef NEURON_DECLARE
  bool embedded;  // the library started this interpreter
};

enum class ErrorKind { kRuntime, kValue, kNotImplemented };

// Throws what the callers of a library expect: each library that is built from this defines it.
// What it throws is a std::exception.
[[noreturn]] void raise(ErrorKind kind, const std::string& message);

// The API; the first call finds the interpreter or starts one, and raises if it cannot.
const Api& api();

// Whether this thread may enter Python: it has not begun to exit (what runs may finish), and this
// is not the forked child of a process whose interpreter the library had started. Once false for
// a thread outside Python it stays false, and what Python owns is left to the operating system.
bool alive() noexcept;

// Arranges, once, that a Python that exits first waits for the calls that run: it would end their
// threads where they stand, and with them the process. If the library started Python, it also has
// Python's exit handlers run when the program ends. Called with the GIL held, after the first load:
// exit handlers run last come first, so this one goes before those of what the runtime imported.
void prepare_for_exit();

// Holds the GIL; raises where Python may not be entered.
class Gil {
 public:
  Gil();
  explicit Gil(std::nothrow_t) noexcept;  // for destructors: ask `held`
  ~Gil();
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;

  bool held() const { return held_; }

 private:
  bool held_;
  int state_ = 0;
};

// An owned reference; made and dropped only while the GIL is held.
class Ref {
 public:
  Ref() = default;
  explicit Ref(Object* owned) : object_(owned) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) {
      api().Py_DecRef(object_);
    }
  }
  Object* get() const { return object_; }
  Object* release() { return std::exchange(object_, nullptr); }

 private:
  Object* object_ = nullptr;
};

// Takes a new reference, or raises the Python error that is set: a ValueError, RuntimeError or
// NotImplementedError with its own message; any other type, which nobody raised on purpose, with
// the whole Python traceback.
Ref checked(Object* object);

[[noreturn]] void throw_python_error();

Ref borrowed(Object* object);  // takes a reference of its own
Ref attribute(const Ref& object, const char* name);
Ref item(const Ref& sequence, ssize_t index);
ssize_t length(const Ref& sequence);
std::string text(const Ref& unicode);
Ref text_of(const std::string& text);
long long integer(const Ref& number);
Ref number(long long value);

}  // namespace neuron::python
