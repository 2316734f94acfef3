// The functions of nrt.h: each hands its arguments to runtime.nrt.capi, and its status back.
#include "nrt.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "python_api.h"

namespace neuron {
namespace {

using python::api;
using python::Gil;
using python::Ref;

constexpr char kModule[] = "runtime.nrt.capi";

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Result {
  NRT_STATUS status;
  Ref value;
};

// Memory of the caller's, as a flat memoryview that lasts for the call, or, of an attached buffer,
// for as long as the tensor.
struct Memory {
  const void* data;
  size_t size;
  int flags;
};

Ref argument(int value) { return python::number(value); }
Ref argument(uint32_t value) { return python::number(value); }
// Beyond 2^63 it turns negative, which the runtime refuses.
Ref argument(size_t value) { return python::number(static_cast<int64_t>(value)); }
Ref argument(const void* handle) { return argument(reinterpret_cast<size_t>(handle)); }
Ref argument(const std::string& text) { return python::text_of(text); }
Ref argument(const Memory& memory) {
  static char nowhere;  // Python takes no null pointer
  auto* data = const_cast<char*>(static_cast<const char*>(memory.data));
  return python::checked(api().PyMemoryView_FromMemory(
      data == nullptr ? &nowhere : data, static_cast<ssize_t>(memory.size), memory.flags));
}

template <typename... Arguments>
Result call(const char* function, const Arguments&... arguments) {
  const Ref module = python::checked(api().PyImport_ImportModule(kModule));
  const Ref run = python::attribute(module, "call");
  const Ref answer = python::checked(api().PyObject_CallFunctionObjArgs(
      run.get(), argument(std::string(function)).get(), argument(arguments).get()..., nullptr));
  const auto status = static_cast<NRT_STATUS>(python::integer(python::item(answer, 0)));
  return {status, python::item(answer, 1)};
}

// Runs under the GIL; no exception leaves.
template <typename Body>
NRT_STATUS guarded(const char* function, Body body) noexcept {
  try {
    Gil gil;
    return body();
  } catch (const std::bad_alloc&) {
    return NRT_FAIL_HOST_MEM_ALLOC;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "libnrt: %s: %s\n", function, error.what());
    return NRT_FAILURE;
  }
}

// A call that gives nothing but its status.
template <typename... Arguments>
NRT_STATUS plain(const char* function, const Arguments&... arguments) noexcept {
  return guarded(function, [&] { return call(function, arguments...).status; });
}

// A call whose result, where it succeeds, `take` puts where the caller wants it.
template <typename Take, typename... Arguments>
NRT_STATUS taking(const char* function, Take take, const Arguments&... arguments) noexcept {
  return guarded(function, [&] {
    const Result result = call(function, arguments...);
    if (result.status == NRT_SUCCESS) {
      take(result.value);
    }
    return result.status;
  });
}

template <typename... Arguments>
NRT_STATUS counting(const char* function, uint32_t* count, const Arguments&... arguments) noexcept {
  if (count == nullptr) {
    return NRT_INVALID;
  }
  const auto take = [&](const Ref& value) {
    *count = static_cast<uint32_t>(python::integer(value));
  };
  return taking(function, take, arguments...);
}

// A call that makes something, whose number is the handle.
template <typename Handle, typename... Arguments>
NRT_STATUS making(const char* function, Handle** made, const Arguments&... arguments) noexcept {
  if (made == nullptr) {
    return NRT_INVALID;
  }
  *made = nullptr;
  const auto take = [&](const Ref& value) {
    *made = reinterpret_cast<Handle*>(python::integer(value));
  };
  return taking(function, take, arguments...);
}

// A call that ends what a handle stands for.
template <typename Handle>
void ending(const char* function, Handle** handle) noexcept {
  if (handle != nullptr && *handle != nullptr) {
    plain(function, *handle);
    *handle = nullptr;
  }
}

bool possible(const void* data, size_t size) {
  return size <= static_cast<size_t>(PTRDIFF_MAX) && (data != nullptr || size == 0);
}

std::string named(const char* name) { return name == nullptr ? "" : name; }

// As much of a structure as the caller, who may know a shorter one, has room for.
template <typename Structure>
NRT_STATUS hand_over(const Structure& filled, Structure* target, size_t size) {
  std::memcpy(static_cast<void*>(target), &filled, std::min(size, sizeof(Structure)));
  return NRT_SUCCESS;
}

template <size_t N>
void copy_text(char (&target)[N], const std::string& text) {
  std::snprintf(target, N, "%s", text.c_str());
}

// `room` is where the shape goes, and afterwards where the next one may.
void fill(nrt_tensor_info_t& info, const Ref& entry, uint32_t*& room) {
  copy_text(info.name, python::text(python::item(entry, 0)));
  info.usage = static_cast<nrt_tensor_usage_t>(python::integer(python::item(entry, 1)));
  info.size = static_cast<size_t>(python::integer(python::item(entry, 2)));
  info.dtype = static_cast<nrt_dtype_t>(python::integer(python::item(entry, 3)));
  const Ref dims = python::item(entry, 4);
  info.ndim = static_cast<uint32_t>(python::length(dims));
  info.shape = room;
  for (uint32_t i = 0; i < info.ndim; ++i) {
    *room++ = static_cast<uint32_t>(python::integer(python::item(dims, i)));
  }
}

// One block of memory: the array, then all its shapes.
nrt_tensor_info_array_t* info_array(const Ref& entries) {
  const auto count = static_cast<size_t>(python::length(entries));
  size_t dims = 0;
  for (size_t i = 0; i < count; ++i) {
    dims += static_cast<size_t>(
        python::length(python::item(python::item(entries, static_cast<ssize_t>(i)), 4)));
  }
  const size_t head = sizeof(nrt_tensor_info_array_t) + count * sizeof(nrt_tensor_info_t);
  void* block = std::calloc(1, head + dims * sizeof(uint32_t));
  if (block == nullptr) {
    throw std::bad_alloc();
  }
  auto* array = static_cast<nrt_tensor_info_array_t*>(block);
  array->tensor_count = count;
  auto* room = reinterpret_cast<uint32_t*>(static_cast<char*>(block) + head);
  for (size_t i = 0; i < count; ++i) {
    fill(array->tensor_array[i], python::item(entries, static_cast<ssize_t>(i)), room);
  }
  return array;
}

}  // namespace

// What python_api reports; `guarded` catches it.
void python::raise(ErrorKind, const std::string& message) { throw Failure(message); }

}  // namespace neuron

using namespace neuron;

extern "C" {

NRT_STATUS nrt_init(nrt_framework_type_t framework, const char* fw_version,
                    const char* fal_version) {
  return plain("nrt_init", static_cast<int>(framework), named(fw_version), named(fal_version));
}

void nrt_close(void) { plain("nrt_close"); }

NRT_STATUS nrt_get_version(nrt_version_t* version, size_t size) {
  if (version == nullptr || size == 0) {
    return NRT_INVALID;
  }
  nrt_version_t filled{};
  const auto take = [&](const Ref& value) {
    filled.rt_major = static_cast<uint64_t>(python::integer(python::item(value, 0)));
    filled.rt_minor = static_cast<uint64_t>(python::integer(python::item(value, 1)));
    filled.rt_patch = static_cast<uint64_t>(python::integer(python::item(value, 2)));
    copy_text(filled.rt_detail, "emulated");
    hand_over(filled, version, size);
  };
  return taking("nrt_get_version", take);
}

NRT_STATUS nrt_get_instance_info(nrt_instance_info_t* info, size_t size) {
  if (info == nullptr || size == 0) {
    return NRT_INVALID;
  }
  nrt_instance_info_t filled{};
  const auto take = [&](const Ref& value) {
    filled.family = static_cast<uint32_t>(python::integer(python::item(value, 0)));
    filled.size = static_cast<uint32_t>(python::integer(python::item(value, 1)));
    copy_text(filled.arch_name, python::text(python::item(value, 2)));
    copy_text(filled.device_revision, python::text(python::item(value, 3)));
    hand_over(filled, info, size);
  };
  return taking("nrt_get_instance_info", take);
}

NRT_STATUS nrt_get_total_vnc_count(uint32_t* count) {
  return counting("nrt_get_total_vnc_count", count);
}

NRT_STATUS nrt_get_total_nc_count(uint32_t* count) {
  return counting("nrt_get_total_nc_count", count);
}

NRT_STATUS nrt_get_visible_vnc_count(uint32_t* count) {
  return counting("nrt_get_visible_vnc_count", count);
}

NRT_STATUS nrt_get_visible_nc_count(uint32_t* count) {
  return counting("nrt_get_visible_nc_count", count);
}

NRT_STATUS nrt_get_vnc_memory_stats(uint32_t vnc, nrt_vnc_memory_stats_t* stats, size_t size,
                                    size_t* written) {
  if (stats == nullptr) {
    return NRT_INVALID;
  }
  const auto take = [&](const Ref& value) {
    const nrt_vnc_memory_stats_t filled{
        static_cast<size_t>(python::integer(python::item(value, 0))),
        static_cast<size_t>(python::integer(python::item(value, 1)))};
    hand_over(filled, stats, size);
    if (written != nullptr) {
      *written = std::min(size, sizeof filled);
    }
  };
  return taking("nrt_get_vnc_memory_stats", take, vnc);
}

NRT_STATUS nrt_load(const void* neff_bytes, size_t size, int32_t vnc, int32_t vnc_count,
                    nrt_model_t** model) {
  if (!possible(neff_bytes, size)) {
    return NRT_INVALID;
  }
  const NRT_STATUS status = making("nrt_load", model, Memory{neff_bytes, size, python::kBufferRead},
                                   vnc, vnc_count);
  if (status != NRT_SUCCESS) {
    return status;
  }
  return guarded("nrt_load", [] {
    python::prepare_for_exit();
    return NRT_SUCCESS;
  });
}

NRT_STATUS nrt_unload(nrt_model_t* model) { return plain("nrt_unload", model); }

NRT_STATUS nrt_execute(nrt_model_t* model, const nrt_tensor_set_t* input_set,
                       nrt_tensor_set_t* output_set) {
  return plain("nrt_execute", model, input_set, output_set);
}

NRT_STATUS nrt_execute_repeat(nrt_model_t* model, const nrt_tensor_set_t* input_set,
                              nrt_tensor_set_t* output_set, int repeat_count) {
  return plain("nrt_execute_repeat", model, input_set, output_set, repeat_count);
}

NRT_STATUS nrt_get_model_vnc_count(const nrt_model_t* model, uint32_t* count) {
  return counting("nrt_get_model_vnc_count", count, model);
}

NRT_STATUS nrt_get_model_nc_count(const nrt_model_t* model, uint32_t* count) {
  return counting("nrt_get_model_nc_count", count, model);
}

NRT_STATUS nrt_get_model_instance_count(nrt_model_t* model, uint32_t* count) {
  return counting("nrt_get_model_instance_count", count, model);
}

NRT_STATUS nrt_get_model_info(const nrt_model_t* model, nrt_model_info_t* info, size_t size,
                              size_t* written) {
  nrt_model_info_t filled{};
  if (info == nullptr) {
    return NRT_INVALID;
  }
  const NRT_STATUS status = counting("nrt_get_model_info", &filled.vnc, model);
  if (status != NRT_SUCCESS) {
    return status;
  }
  if (written != nullptr) {
    *written = std::min(size, sizeof filled);
  }
  return hand_over(filled, info, size);
}

NRT_STATUS nrt_get_model_tensor_info(nrt_model_t* model, nrt_tensor_info_array_t** tensor_info) {
  if (tensor_info == nullptr) {
    return NRT_INVALID;
  }
  const auto take = [&](const Ref& value) { *tensor_info = info_array(value); };
  return taking("nrt_get_model_tensor_info", take, model);
}

NRT_STATUS nrt_free_model_tensor_info(nrt_tensor_info_array_t* tensor_info) {
  std::free(tensor_info);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_allocate(nrt_tensor_placement_t placement, int vnc, size_t size,
                               const char* name, nrt_tensor_t** tensor) {
  return making("nrt_tensor_allocate", tensor, static_cast<int>(placement), vnc, size,
                named(name));
}

NRT_STATUS nrt_tensor_allocate_empty(const char* name, nrt_tensor_t** tensor) {
  return making("nrt_tensor_allocate_empty", tensor, named(name));
}

NRT_STATUS nrt_tensor_allocate_slice(const nrt_tensor_t* source, size_t offset, size_t size,
                                     const char* name, nrt_tensor_t** tensor) {
  return making("nrt_tensor_allocate_slice", tensor, source, offset, size, named(name));
}

NRT_STATUS nrt_tensor_attach_buffer(nrt_tensor_t* tensor, void* buffer, size_t size) {
  if (!possible(buffer, size)) {
    return NRT_INVALID;
  }
  return plain("nrt_tensor_attach_buffer", tensor, Memory{buffer, size, python::kBufferWrite});
}

void nrt_tensor_free(nrt_tensor_t** tensor) { ending("nrt_tensor_free", tensor); }

NRT_STATUS nrt_tensor_read(const nrt_tensor_t* tensor, void* buffer, size_t offset, size_t size) {
  if (!possible(buffer, size)) {
    return NRT_INVALID;
  }
  return plain("nrt_tensor_read", tensor, Memory{buffer, size, python::kBufferWrite}, offset);
}

NRT_STATUS nrt_tensor_write(nrt_tensor_t* tensor, const void* buffer, size_t offset, size_t size) {
  if (!possible(buffer, size)) {
    return NRT_INVALID;
  }
  return plain("nrt_tensor_write", tensor, Memory{buffer, size, python::kBufferRead}, offset);
}

NRT_STATUS nrt_tensor_copy(const nrt_tensor_t* source, size_t source_offset, nrt_tensor_t* target,
                           size_t target_offset, size_t size) {
  return plain("nrt_tensor_copy", source, source_offset, target, target_offset, size);
}

NRT_STATUS nrt_tensor_memset(nrt_tensor_t* tensor, uint64_t offset, int value, size_t size) {
  return plain("nrt_tensor_memset", tensor, static_cast<size_t>(offset), value, size);
}

size_t nrt_tensor_get_size(const nrt_tensor_t* tensor) {
  size_t size = 0;
  const auto take = [&](const Ref& value) { size = static_cast<size_t>(python::integer(value)); };
  taking("nrt_tensor_get_size", take, tensor);
  return size;
}

void* nrt_tensor_get_va(const nrt_tensor_t* tensor) {
  void* address = nullptr;
  const auto take = [&](const Ref& value) {
    address = reinterpret_cast<void*>(python::integer(value));
  };
  taking("nrt_tensor_get_va", take, tensor);
  return address;
}

NRT_STATUS nrt_allocate_tensor_set(nrt_tensor_set_t** set) {
  return making("nrt_allocate_tensor_set", set);
}

void nrt_destroy_tensor_set(nrt_tensor_set_t** set) { ending("nrt_destroy_tensor_set", set); }

NRT_STATUS nrt_add_tensor_to_tensor_set(nrt_tensor_set_t* set, const char* name,
                                        nrt_tensor_t* tensor) {
  if (name == nullptr) {
    return NRT_INVALID;
  }
  return plain("nrt_add_tensor_to_tensor_set", set, std::string(name), tensor);
}

NRT_STATUS nrt_get_tensor_from_tensor_set(nrt_tensor_set_t* set, const char* name,
                                          nrt_tensor_t** tensor) {
  if (name == nullptr) {
    return NRT_INVALID;
  }
  return making("nrt_get_tensor_from_tensor_set", tensor, set, std::string(name));
}

}  // extern "C"
