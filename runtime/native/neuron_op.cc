// The TensorFlow operator NeuronOp: it holds a NEFF and runs it on the emulated NeuronCores.
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "python_api.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/types.h"

namespace neuron {
namespace {

using python::api;
using python::checked;
using python::Gil;
using python::Object;
using python::Ref;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::PartialTensorShape;
using tensorflow::Tensor;
using tensorflow::TensorShape;

constexpr char kModule[] = "runtime.tensorflow_op";
constexpr size_t kAlignment = 64;  // bytes: what XLA asks of weights that it does not copy
constexpr int64_t kMostCores = 1024;
constexpr int kPythonRaised = static_cast<int>(absl::StatusCode::kInternal);

struct Failure : std::runtime_error {
  Failure(int code, const std::string& message) : std::runtime_error(message), code(code) {}
  int code;
};

// NEFF bytes where XLA can use the weights as they lie.
class AlignedCopy {
 public:
  explicit AlignedCopy(const std::string& bytes) : room_(bytes.size() + kAlignment) {
    const auto start = reinterpret_cast<uintptr_t>(room_.data());
    data_ = room_.data() + (kAlignment - start % kAlignment) % kAlignment;
    std::memcpy(data_, bytes.data(), bytes.size());
    size_ = static_cast<ssize_t>(bytes.size());
  }
  char* data() const { return data_; }
  ssize_t size() const { return size_; }

 private:
  std::vector<char> room_;
  char* data_;
  ssize_t size_;
};

Ref view_of(const void* data, size_t size) {
  static char nowhere;  // Python takes no null pointer
  auto* bytes = size == 0 ? &nowhere : const_cast<char*>(static_cast<const char*>(data));
  return checked(
      api().PyMemoryView_FromMemory(bytes, static_cast<ssize_t>(size), python::kBufferRead));
}

Ref tuple_of(std::vector<Ref> items) {
  Ref tuple = checked(api().PyTuple_New(static_cast<ssize_t>(items.size())));
  for (size_t i = 0; i < items.size(); ++i) {
    api().PyTuple_SetItem(tuple.get(), static_cast<ssize_t>(i), items[i].release());
  }
  return tuple;
}

Ref numbers(const TensorShape& shape) {
  std::vector<Ref> sizes;
  for (int d = 0; d < shape.dims(); ++d) {
    sizes.push_back(python::number(shape.dim_size(d)));
  }
  return tuple_of(std::move(sizes));
}

// What a function of the Python side returns: a status, then the value or the message.
template <typename... Arguments>
Ref call(const Ref& owner, const char* function, const Arguments&... arguments) {
  const Ref run = python::attribute(owner, function);
  const Ref answer =
      checked(api().PyObject_CallFunctionObjArgs(run.get(), arguments.get()..., nullptr));
  const auto code = static_cast<int>(python::integer(python::item(answer, 0)));
  if (code != 0) {
    throw Failure(code, python::text(python::item(answer, 1)));
  }
  return python::item(answer, 1);
}

// A Python buffer, for as long as it is looked at. Under the GIL.
class Look {
 public:
  explicit Look(const Ref& object) {
    if (api().PyObject_GetBuffer(object.get(), &view_, python::kBufferSimple) != 0) {
      python::throw_python_error();
    }
  }
  ~Look() { api().PyBuffer_Release(&view_); }
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;
  const void* data() const { return view_.data; }
  size_t size() const { return static_cast<size_t>(view_.size); }

 private:
  python::Buffer view_{};
};

absl::Status status_of(const std::string& node, int code, const std::string& message) {
  return absl::Status(static_cast<absl::StatusCode>(code), node + ": " + message);
}

// A model that the Python runtime has loaded.
class Loaded {
 public:
  Loaded(const std::string& neff, int64_t copies, int64_t group, int64_t wanted)
      : neff_(neff) {
    Gil gil;
    const Ref module = checked(api().PyImport_ImportModule(kModule));
    handle_ = call(module, "load", view_of(neff_.data(), neff_.size()), python::number(copies),
                   python::number(group), python::number(wanted));
    python::prepare_for_exit();
  }
  ~Loaded() {
    const Gil gil(std::nothrow);
    if (!gil.held()) {  // the device's memory goes with the process
      handle_.release();
      return;
    }
    Ref handle = std::move(handle_);
    Ref unload(api().PyObject_GetAttrString(handle.get(), "unload"));
    if (unload.get() == nullptr ||
        Ref(api().PyObject_CallFunctionObjArgs(unload.get(), nullptr)).get() == nullptr) {
      api().PyErr_WriteUnraisable(handle.get());
    }
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  const Ref& handle() const { return handle_; }

 private:
  AlignedCopy neff_;
  Ref handle_;
};

class NeuronOp : public OpKernel {
 public:
  explicit NeuronOp(OpKernelConstruction* context) : OpKernel(context) {
    std::vector<std::string> input_names, output_names;
    std::vector<tensorflow::DataType> input_dtypes, output_dtypes;
    OP_REQUIRES_OK(context, context->GetAttr("input_names", &input_names));
    OP_REQUIRES_OK(context, context->GetAttr("input_dtypes", &input_dtypes));
    OP_REQUIRES_OK(context, context->GetAttr("input_shapes", &input_shapes_));
    OP_REQUIRES_OK(context, context->GetAttr("output_names", &output_names));
    OP_REQUIRES_OK(context, context->GetAttr("output_dtypes", &output_dtypes));
    OP_REQUIRES_OK(context, context->GetAttr("output_shapes", &output_shapes_));
    OP_REQUIRES_OK(context, context->GetAttr("input_batch_axis", &input_batch_axis_));
    OP_REQUIRES_OK(context, context->GetAttr("output_batch_axis", &output_batch_axis_));
    OP_REQUIRES_OK(context, context->GetAttr("model_config", &model_config_));
    OP_REQUIRES_OK(context, context->GetAttr("executable", &executable_));
    if (context->HasAttr("_automatic_multicore")) {
      OP_REQUIRES_OK(context, context->GetAttr("_automatic_multicore", &multicore_));
      OP_REQUIRES(context, multicore_ >= 1,
                  tensorflow::errors::InvalidArgument(
                      "Num of cores for auto multicore replication, ", multicore_,
                      ", is below 1"));
    }
    const auto fits = [](size_t size, const std::vector<int>& axes) {
      return axes.empty() || axes.size() == size;
    };
    OP_REQUIRES(context,
                input_names.size() == input_dtypes.size() &&
                    input_shapes_.size() == input_dtypes.size() &&
                    output_names.size() == output_dtypes.size() &&
                    output_shapes_.size() == output_dtypes.size() &&
                    fits(input_dtypes.size(), input_batch_axis_) &&
                    fits(output_dtypes.size(), output_batch_axis_),
                tensorflow::errors::InvalidArgument(
                    "Invalid size found in attributes of NodeDef \"", name(), "\""));
    OP_REQUIRES(context, model_config_.empty() || valid_config(),
                tensorflow::errors::InvalidArgument("Invalid model_config found on NodeDef \"",
                                                    name(), "\""));
    OP_REQUIRES(context, !executable_.empty(),
                tensorflow::errors::InvalidArgument(
                    "Key \"executable\" of NodeDef \"", name(),
                    "\" must hold a NEFF, got nothing: the subgraph was not compiled"));
  }

  // Not worth a thread of its own: a core runs one at a time, and what could run beside this is
  // part of it.
  bool IsExpensive() override { return false; }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES(context, context->num_inputs() == static_cast<int>(input_shapes_.size()),
                tensorflow::errors::InvalidArgument(
                    "Invalid number of inputs ", context->num_inputs(), " on NodeDef \"", name(),
                    "\" (expect ", input_shapes_.size(), ")."));
    int64_t batch = -1;
    for (int i = 0; i < context->num_inputs(); ++i) {
      OP_REQUIRES_OK(context, admit(context, i, &batch));
    }
    std::vector<Tensor*> outputs(output_shapes_.size(), nullptr);
    for (size_t i = 0; i < outputs.size(); ++i) {
      TensorShape shape;
      OP_REQUIRES(context, output_shapes_[i].AsTensorShape(&shape),
                  tensorflow::errors::InvalidArgument("Output #", i, " of NodeDef \"", name(),
                                                      "\" must have a known shape"));
      if (batch >= 0 && axis(output_batch_axis_, i) == 0) {
        shape.set_dim(0, batch);
      }
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(i), shape, &outputs[i]));
    }
    try {
      run(context, batch, outputs);
    } catch (const Failure& failure) {
      context->CtxFailure(status_of(name(), failure.code, failure.what()));
    } catch (const std::exception& error) {
      context->CtxFailure(status_of(name(), kPythonRaised, error.what()));
    }
  }

 private:
  static int axis(const std::vector<int>& axes, size_t i) { return axes.empty() ? -1 : axes[i]; }

  // global cores, cores of one copy (-1: as the NEFF says), copies, seconds
  bool valid_config() const {
    const auto within = [](int64_t value) { return value >= -1 && value < kMostCores; };
    return model_config_.size() >= 3 && within(model_config_[1]) && within(model_config_[2]) &&
           model_config_[2] >= 0;
  }

  // Checks an input's shape; where it has another batch, that goes to `batch`.
  absl::Status admit(OpKernelContext* context, int i, int64_t* batch) const {
    const TensorShape& given = context->input(i).shape();
    const PartialTensorShape& compiled = input_shapes_[i];
    if (compiled.IsCompatibleWith(given)) {
      return absl::OkStatus();
    }
    const auto refuse = [&](const std::string& remedy) {
      return tensorflow::errors::InvalidArgument(
          name(), ": input #", i, " was compiled for the shape ", compiled.DebugString(),
          ", got ", given.DebugString(), remedy);
    };
    if (axis(input_batch_axis_, i) != 0) {
      return refuse("; try: NEURON_CC_FLAGS=--dynamic-batch-size when tracing, for other batches");
    }
    if (compiled.dims() < 1 || given.dims() != compiled.dims()) {
      return refuse("; dimension 0 alone may differ");
    }
    for (int d = 1; d < given.dims(); ++d) {
      if (given.dim_size(d) != compiled.dim_size(d)) {
        return refuse("; dimension 0 alone may differ");
      }
    }
    if (*batch >= 0 && *batch != given.dim_size(0)) {
      return tensorflow::errors::InvalidArgument(name(), ": Inconsistent client batch sizes: ",
                                                 *batch, " and ", given.dim_size(0));
    }
    *batch = given.dim_size(0);
    return absl::OkStatus();
  }

  void run(OpKernelContext* context, int64_t batch, const std::vector<Tensor*>& outputs) {
    Gil gil;
    const Ref& handle = loaded().handle();
    std::vector<Ref> views;
    for (int i = 0; i < context->num_inputs(); ++i) {
      const tensorflow::StringPiece bytes = context->input(i).tensor_data();
      views.push_back(view_of(bytes.data(), bytes.size()));
    }
    const Ref given = tuple_of(std::move(views));
    if (batch < 0) {
      take(call(handle, "execute", given), outputs);
      return;
    }
    std::vector<Ref> shapes, axes;
    for (int i = 0; i < context->num_inputs(); ++i) {
      shapes.push_back(numbers(context->input(i).shape()));
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      axes.push_back(python::number(axis(output_batch_axis_, i)));
    }
    take(call(handle, "execute_batch", given, tuple_of(std::move(shapes)),
              tuple_of(std::move(axes)), python::number(batch)),
         outputs);
  }

  void take(const Ref& results, const std::vector<Tensor*>& outputs) const {
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Look look(python::item(results, static_cast<ssize_t>(i)));
      const tensorflow::StringPiece room = outputs[i]->tensor_data();
      if (look.size() != room.size()) {
        throw Failure(kPythonRaised, "output #" + std::to_string(i) + " must have " +
                                         std::to_string(room.size()) + " bytes, got " +
                                         std::to_string(look.size()));
      }
      if (!room.empty()) {
        std::memcpy(const_cast<char*>(room.data()), look.data(), room.size());
      }
    }
  }

  // The model, loaded at the first call. Under the GIL, which a load lets go of while it waits:
  // so another thread may have loaded it meanwhile, and only one of the two is kept.
  Loaded& loaded() {
    if (loaded_ == nullptr) {
      const int64_t group = model_config_.size() < 2 ? 1 : std::max<int64_t>(1, model_config_[1]);
      const int64_t copies = model_config_.size() < 3 ? 1 : model_config_[2];
      auto made = std::make_unique<Loaded>(executable_, copies, group, multicore_);
      if (loaded_ == nullptr) {
        loaded_ = std::move(made);
      }
    }
    return *loaded_;
  }

  std::vector<PartialTensorShape> input_shapes_, output_shapes_;
  std::vector<int> input_batch_axis_, output_batch_axis_;
  std::vector<int64_t> model_config_;
  std::string executable_;
  int64_t multicore_ = 0;
  std::unique_ptr<Loaded> loaded_;
};

absl::Status infer_shapes(tensorflow::shape_inference::InferenceContext* context) {
  std::vector<PartialTensorShape> shapes;
  std::vector<int> inputs, outputs;
  TF_RETURN_IF_ERROR(context->GetAttr("output_shapes", &shapes));
  TF_RETURN_IF_ERROR(context->GetAttr("input_batch_axis", &inputs));
  TF_RETURN_IF_ERROR(context->GetAttr("output_batch_axis", &outputs));
  if (static_cast<int>(shapes.size()) != context->num_outputs()) {
    return tensorflow::errors::InvalidArgument("Invalid size found in attributes: output_shapes");
  }
  bool any_batch = false;
  for (const int axis : inputs) {
    any_batch = any_batch || axis != -1;
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    PartialTensorShape shape = shapes[i];
    if (any_batch && i < outputs.size() && outputs[i] >= 0 && outputs[i] < shape.dims()) {
      shape.set_dim(outputs[i], -1);
    }
    tensorflow::shape_inference::ShapeHandle handle;
    TF_RETURN_IF_ERROR(context->MakeShapeFromPartialTensorShape(shape, &handle));
    context->set_output(static_cast<int>(i), handle);
  }
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("NeuronOp")
    .Attr("graph_def: string")
    .Attr("input_names: list(string)")
    .Attr("input_dtypes: list(type) >= 0")
    .Attr("input_shapes: list(shape)")
    .Attr("output_names: list(string)")
    .Attr("output_dtypes: list(type) >= 0")
    .Attr("output_shapes: list(shape)")
    .Attr("executable: string = ''")
    .Attr("input_batch_axis: list(int) = []")
    .Attr("output_batch_axis: list(int) = []")
    .Attr("model_config: list(int) = []")
    .Input("input_tensors: input_dtypes")
    .Output("output_tensors: output_dtypes")
    .SetIsStateful()
    .SetShapeFn(infer_shapes);

REGISTER_KERNEL_BUILDER(Name("NeuronOp").Device(tensorflow::DEVICE_CPU), NeuronOp);

}  // namespace neuron

// What python_api reports, as the status that the kernel ends with.
void neuron::python::raise(ErrorKind kind, const std::string& message) {
  absl::StatusCode code = absl::StatusCode::kInternal;
  if (kind == ErrorKind::kValue) {
    code = absl::StatusCode::kInvalidArgument;
  } else if (kind == ErrorKind::kNotImplemented) {
    code = absl::StatusCode::kUnimplemented;
  }
  throw neuron::Failure(static_cast<int>(code), message);
}
