// Finds Python in the process or starts it, and carries Python errors to C++.
#include "python_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

namespace neuron::python {
namespace {

// How long an exit waits for calls that run.
constexpr auto kExitPatience = std::chrono::seconds(10);

std::atomic<bool> forked_from_embedding{false};
std::atomic<bool> exiting{false};
std::atomic<int> threads_inside{0};  // that hold or wait for the GIL on this library's behalf
thread_local int depth = 0;          // of Gil in this thread

std::string setting(const char* variable, const char* built_in) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? value : built_in;
}

[[noreturn]] void refuse(const std::string& message) {
  raise(ErrorKind::kRuntime, "neuron: " + message);
}

void require(bool condition, const std::string& message) {
  if (!condition) {
    refuse(message);
  }
}

void* open_libpython() {
  const std::string remedy = "; try: NEURON_EMULATOR_LIBPYTHON=/path/to/libpython3.X.so";
  const std::string path = setting("NEURON_EMULATOR_LIBPYTHON", NEURON_LIBPYTHON);
  require(!path.empty(),
          "a program without Python needs a shared libpython to run models, and the Python that "
          "built this library has none" + remedy);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    refuse(std::string("libpython must be loadable, got ") + dlerror() + remedy);
  }
  return library;
}

void* symbol(void* scope, const char* name) {
  void* address = dlsym(scope, name);
  if (address == nullptr) {
    refuse(std::string("needs Python 3.11 or newer, got one without the symbol ") + name);
  }
  return address;
}

void append_to_path(const Api& python, const char* directory, size_t size) {
  Object* text = python.PyUnicode_FromStringAndSize(directory, static_cast<ssize_t>(size));
  Object* path = python.PySys_GetObject("path");  // borrowed
  if (text == nullptr || path == nullptr || python.PyList_Append(path, text) != 0) {
    python.PyErr_Clear();
    refuse(std::string("Python's sys.path must be a list to add ") + directory);
  }
  python.Py_DecRef(text);
}

// Starts Python as the executable of the environment would start: its pyvenv.cfg and site-packages
// are found from its path. The calling thread does not keep the GIL.
void start_interpreter(const Api& python) {
  const std::string executable = setting("NEURON_EMULATOR_PYTHON", NEURON_PYTHON);
  require(access(executable.c_str(), X_OK) == 0,
          "a program without Python needs the Python environment this library was built in, got no "
          "executable at " + executable + "; try: NEURON_EMULATOR_PYTHON=/path/to/venv/bin/python");
  const wchar_t* name = python.Py_DecodeLocale(executable.c_str(), nullptr);
  require(name != nullptr, "cannot decode the path " + executable);
  python.Py_SetProgramName(name);  // kept by Python for its whole life
  python.Py_InitializeEx(0);
  append_to_path(python, NEURON_SOURCE_ROOT, sizeof(NEURON_SOURCE_ROOT) - 1);
  python.PyEval_SaveThread();
  pthread_atfork(nullptr, nullptr, [] { forked_from_embedding = true; });
}

Api find_python() {
  const bool present = dlsym(RTLD_DEFAULT, "Py_IsInitialized") != nullptr;
  void* scope = present ? RTLD_DEFAULT : open_libpython();
  symbol(scope, "Py_Version");  // new in 3.11
  Api found{};
#define NEURON_FIND(result, name, arguments) \
  found.name = reinterpret_cast<result(*) arguments>(symbol(scope, #name));
  NEURON_PYTHON_FUNCTIONS(NEURON_FIND)
#undef NEURON_FIND
  found.embedded = found.Py_IsInitialized() == 0;
  if (found.embedded) {
    start_interpreter(found);
  }
#define NEURON_FIND(name) found.name = *static_cast<Object**>(symbol(scope, #name));
  NEURON_PYTHON_EXCEPTIONS(NEURON_FIND)
#undef NEURON_FIND
  return found;
}

// What Python would print for the exception, traceback included.
std::string formatted(const Ref& value) {
  const Api& python = api();
  Ref module = checked(python.PyImport_ImportModule("traceback"));
  Ref format = attribute(module, "format_exception");
  Ref lines = checked(python.PyObject_CallFunctionObjArgs(format.get(), value.get(), nullptr));
  Ref empty = checked(python.PyUnicode_FromStringAndSize("", 0));
  return text(checked(python.PyUnicode_Join(empty.get(), lines.get())));
}

void call(const Ref& object, const char* method) {
  checked(api().PyObject_CallFunctionObjArgs(attribute(object, method).get(), nullptr));
}

// A handler of Python's atexit: from here on no thread enters, and those inside get to leave.
Object* wait_for_calls(Object*, Object*) {
  const auto deadline = std::chrono::steady_clock::now() + kExitPatience;
  const int own = depth > 0 ? 1 : 0;
  exiting = true;
  void* thread = api().PyEval_SaveThread();
  while (threads_inside > own && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  api().PyEval_RestoreThread(thread);
  return api().PyTuple_New(0);
}

void run_python_exit_handlers() {
  const Gil gil(std::nothrow);
  if (!gil.held()) {
    return;
  }
  try {
    call(checked(api().PyImport_ImportModule("atexit")), "_run_exitfuncs");
    for (const char* name : {"stdout", "stderr"}) {
      call(borrowed(api().PySys_GetObject(name)), "flush");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "neuron: at exit: %s\n", error.what());
  }
}

// The end of a program that started Python through this library. The thread that exits has
// destroyed its thread-local variables, which extension modules rely on: another one calls them.
void end_of_program() { std::thread(run_python_exit_handlers).join(); }

}  // namespace

const Api& api() {
  static const Api found = find_python();
  return found;
}

bool alive() noexcept {
  return depth > 0 || (!exiting && !forked_from_embedding && api().Py_IsInitialized() != 0);
}

void prepare_for_exit() {
  static std::atomic<bool> prepared{false};
  if (prepared.exchange(true)) {
    return;
  }
  static MethodDef handler{"wait_for_neuron_calls", wait_for_calls, kMethodNoArguments, nullptr};
  Ref function = checked(api().PyCFunction_NewEx(&handler, nullptr, nullptr));
  Ref add = attribute(checked(api().PyImport_ImportModule("atexit")), "register");
  checked(api().PyObject_CallFunctionObjArgs(add.get(), function.get(), nullptr));
  pthread_atfork(nullptr, nullptr, [] { threads_inside = depth > 0 ? 1 : 0; });
  if (api().embedded) {
    std::atexit(end_of_program);
  }
}

Gil::Gil(std::nothrow_t) noexcept : held_(true) {
  if (depth == 0) {
    ++threads_inside;  // before the check: whoever sets `exiting` then waits for this thread
    if (!alive()) {
      --threads_inside;
      held_ = false;
      return;
    }
  }
  ++depth;
  state_ = api().PyGILState_Ensure();
}

Gil::Gil() : Gil((api(), std::nothrow)) {  // the first call of api() may raise
  require(held_, forked_from_embedding
                     ? "Incompatible runtime state: NRT_STATE_CHILD (this process was forked from "
                       "the one that started Python)"
                     : "Python must be running to run the model, got one that is exiting");
}

Gil::~Gil() {
  if (!held_) {
    return;
  }
  api().PyGILState_Release(state_);
  if (--depth == 0) {
    --threads_inside;
  }
}

Ref checked(Object* object) {
  if (object == nullptr) {
    throw_python_error();
  }
  return Ref(object);
}

void throw_python_error() {
  const Api& python = api();
  Object* fetched[3] = {nullptr, nullptr, nullptr};
  python.PyErr_Fetch(&fetched[0], &fetched[1], &fetched[2]);
  python.PyErr_NormalizeException(&fetched[0], &fetched[1], &fetched[2]);
  Ref type(fetched[0]), value(fetched[1]), traceback(fetched[2]);
  if (traceback.get() != nullptr) {
    python.PyException_SetTraceback(value.get(), traceback.get());
  }
  const auto is = [&](Object* other) {
    return python.PyErr_GivenExceptionMatches(type.get(), other) != 0;
  };
  const auto message = [&] { return text(checked(python.PyObject_Str(value.get()))); };
  if (is(python.PyExc_KeyboardInterrupt)) {
    python.PyErr_SetInterrupt();  // C++ cannot carry it: have it raised again once Python goes on
    raise(ErrorKind::kRuntime, "KeyboardInterrupt");
  }
  if (is(python.PyExc_NotImplementedError)) {
    raise(ErrorKind::kNotImplemented, message());
  }
  if (is(python.PyExc_ValueError)) {
    raise(ErrorKind::kValue, message());
  }
  if (is(python.PyExc_RuntimeError)) {
    raise(ErrorKind::kRuntime, message());
  }
  raise(ErrorKind::kRuntime, formatted(value));
}

Ref borrowed(Object* object) {
  api().Py_IncRef(object);
  return Ref(object);
}

Ref attribute(const Ref& object, const char* name) {
  return checked(api().PyObject_GetAttrString(object.get(), name));
}

Ref item(const Ref& sequence, ssize_t index) {
  return checked(api().PySequence_GetItem(sequence.get(), index));
}

ssize_t length(const Ref& sequence) {
  const ssize_t size = api().PySequence_Size(sequence.get());
  if (size < 0) {
    throw_python_error();
  }
  return size;
}

std::string text(const Ref& unicode) {
  ssize_t size = 0;
  const char* data = api().PyUnicode_AsUTF8AndSize(unicode.get(), &size);
  if (data == nullptr) {
    throw_python_error();
  }
  return {data, static_cast<size_t>(size)};
}

long long integer(const Ref& number) {
  const long long value = api().PyLong_AsLongLong(number.get());
  if (value == -1 && api().PyErr_Occurred() != nullptr) {
    throw_python_error();
  }
  return value;
}

Ref text_of(const std::string& text) {
  return checked(
      api().PyUnicode_FromStringAndSize(text.data(), static_cast<ssize_t>(text.size())));
}

Ref number(long long value) { return checked(api().PyLong_FromLongLong(value)); }

}  // namespace neuron::python
