// Checks what a model is given, and registers the class and its operators with TorchScript.
#include "model.h"

#include <ATen/ops/from_blob.h>
#include <torch/library.h>

#include <memory>
#include <sstream>
#include <utility>

#include "low_level.h"

namespace neuron {
namespace {

at::Tensor tensor_of(std::string bytes) {
  auto owned = std::make_shared<std::string>(std::move(bytes));
  return at::from_blob(owned->data(), {static_cast<int64_t>(owned->size())},
                       [owned](void*) {}, at::kByte);
}

at::Tensor file_tensor(const char* name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.scalar_type() == at::kByte && tensor.dim() == 1, "neuron::Model: ", name,
              " must be a one-dimensional uint8 tensor, got ",
              type_text(tensor.scalar_type(), tensor.sizes()));
  TORCH_CHECK(!tensor.is_meta(), "neuron::Model: ", name,
              " must have data, got a tensor on the meta device");
  return tensor.detach().cpu().contiguous();  // torch.jit.load(map_location=...) may have moved it
}

std::string type_of(const at::Tensor& tensor) {
  return type_text(tensor.scalar_type(), tensor.sizes());
}

std::string list(const std::vector<TensorSpec>& specs) {
  std::ostringstream text;
  for (const TensorSpec& spec : specs) {
    text << (&spec == specs.data() ? "" : ", ") << spec.name << " "
         << type_text(spec.dtype, spec.shape);
  }
  return text.str();
}

[[noreturn]] void refuse_input(const char* who, size_t position, const TensorSpec& spec,
                               const std::string& got) {
  TORCH_CHECK_VALUE(false, who, ": input ", position, " ('", spec.name, "') was compiled for ",
                    type_text(spec.dtype, spec.shape), ", got ", got);
}

// The tensor as contiguous CPU memory of the declared type; with `any_batch`, of any size in
// dimension 0.
at::Tensor admit(const char* who, size_t position, const TensorSpec& spec, const at::Tensor& given,
                 bool any_batch) {
  if (!given.defined()) {
    refuse_input(who, position, spec, "None");
  }
  if (given.layout() != at::kStrided || !given.device().is_cpu()) {
    refuse_input(who, position, spec,
                 c10::str(type_of(given), " on device ", given.device(), " with layout ",
                          given.layout(), "; inputs must be dense CPU tensors"));
  }
  at::IntArrayRef declared = spec.shape;
  at::IntArrayRef sizes = given.sizes();
  if (any_batch && sizes.size() == declared.size()) {
    declared = declared.slice(1);
    sizes = sizes.slice(1);
  }
  if (given.scalar_type() != spec.dtype || sizes != declared) {
    TORCH_CHECK_VALUE(!any_batch, who, ": dynamic batching: input ", position, " ('", spec.name,
                      "') was compiled for ", type_text(spec.dtype, spec.shape),
                      " and may differ from it in dimension 0 only, got ", type_of(given));
    refuse_input(who, position, spec, type_of(given));
  }
  if (given.is_contiguous() && !given.is_conj() && !given.is_neg()) {
    return given;
  }
  return given.detach().resolve_conj().resolve_neg().contiguous();
}

std::vector<at::Tensor> forward_v2(at::TensorList inputs, const c10::intrusive_ptr<Model>& model) {
  return model->forward("neuron::forward_v2", inputs);
}

at::Tensor forward_v2_1(at::TensorList inputs, const c10::intrusive_ptr<Model>& model) {
  std::vector<at::Tensor> outputs = model->forward("neuron::forward_v2_1", inputs);
  TORCH_CHECK(outputs.size() == 1,
              "neuron::forward_v2_1: the model must have one output, got ", outputs.size(),
              "; try: neuron::forward_v2");
  return std::move(outputs[0]);
}

c10::intrusive_ptr<Model> model_from_tensors(const at::Tensor& neff, const at::Tensor& metaneff,
                                             std::string options) {
  return c10::make_intrusive<Model>(neff, metaneff, options);
}

}  // namespace

Model::Model(at::Tensor neff, at::Tensor metaneff, const std::string& options)
    : neff_(file_tensor("neff", neff)),
      metaneff_(file_tensor("metaneff", metaneff)),
      loaded_(neff_, metaneff_, options) {}

c10::intrusive_ptr<Model> Model::from_bytes(std::string neff, std::string metaneff) {
  return c10::make_intrusive<Model>(tensor_of(std::move(neff)), tensor_of(std::move(metaneff)),
                                    "{}");
}

c10::intrusive_ptr<Model> Model::from_state(ModelState state) {
  auto& [version, options, neff, metaneff] = state;
  TORCH_CHECK(version == kStateVersion, "neuron::Model: this library reads models of version ",
              kStateVersion, ", got one saved as version ", version);
  return c10::make_intrusive<Model>(std::move(neff), std::move(metaneff), options);
}

std::vector<std::string> Model::names(const std::vector<TensorSpec>& specs) {
  std::vector<std::string> result;
  for (const TensorSpec& spec : specs) {
    result.push_back(spec.name);
  }
  return result;
}

std::vector<at::Tensor> Model::forward(const char* who, at::TensorList inputs) const {
  const std::vector<TensorSpec>& specs = loaded_.inputs();
  TORCH_CHECK_VALUE(inputs.size() == specs.size(), who, ": the model was compiled for ",
                    specs.size(), " inputs (", list(specs), "), got ", inputs.size());
  std::vector<at::Tensor> admitted;
  admitted.reserve(inputs.size());
  const bool any_batch = loaded_.dynamic_batch();
  for (size_t i = 0; i < inputs.size(); ++i) {
    admitted.push_back(admit(who, i, specs[i], inputs[i], any_batch));
  }
  if (any_batch) {
    const int64_t batch = batch_of(who, admitted);
    if (batch != loaded_.batch()) {
      return loaded_.execute_batch(admitted, batch);
    }
  }
  return loaded_.execute(admitted);
}

// The size of dimension 0, which all inputs must share.
int64_t Model::batch_of(const char* who, at::TensorList inputs) const {
  const int64_t batch = inputs[0].size(0);
  for (size_t i = 1; i < inputs.size(); ++i) {
    TORCH_CHECK_VALUE(inputs[i].size(0) == batch, who,
                      ": dynamic batching: Inconsistent batch sizes found on inputs: input 0 ('",
                      loaded_.inputs()[0].name, "') has ", batch, ", input ", i, " ('",
                      loaded_.inputs()[i].name, "') has ", inputs[i].size(0));
  }
  return batch;
}

// The runtime of this process, as programs hold it; it has no state of its own.
struct Runtime : torch::CustomClassHolder {
  void initialize() const { initialize_runtime(); }
  void set_default_neuron_cores(int64_t start, int64_t count) const {
    neuron::set_default_neuron_cores(start, count);
  }
};

TORCH_LIBRARY(neuron, library) {
  library.class_<Runtime>("Runtime")
      .def(torch::init<>())
      .def("initialize", &Runtime::initialize)
      .def("set_default_neuron_cores", &Runtime::set_default_neuron_cores);
  library.class_<Model>("Model")
      .def(torch::init(&Model::from_bytes))
      .def("neff", &Model::neff)
      .def("metaneff", &Model::metaneff)
      .def("options", &Model::options)
      .def("input_names", &Model::input_names)
      .def("output_names", &Model::output_names)
      .def("set_options", &Model::set_options)
      .def("batch", &Model::batch)
      .def("cores", &Model::cores)
      .def("load", &Model::load)
      .def("unload", &Model::unload)
      .def("set_neuron_devices", &Model::set_neuron_devices)
      .def_pickle([](const c10::intrusive_ptr<Model>& model) { return model->state(); },
                  [](ModelState state) { return Model::from_state(std::move(state)); });

  // A model may keep state on its device between calls: no call may be dropped, merged with an
  // equal one, moved across another, or run while a graph is being simplified.
  constexpr auto kHasSideEffects = c10::AliasAnalysisKind::CONSERVATIVE;
  // Below Python's dispatch modes, so that a tracer can answer in the model's place.
  constexpr auto kKernel = c10::DispatchKey::CompositeExplicitAutograd;
  library.def(torch::schema("forward_v2(Tensor[] _0, __torch__.torch.classes.neuron.Model _1)"
                            " -> Tensor[]", kHasSideEffects),
              torch::dispatch(kKernel, forward_v2));
  library.def(torch::schema("forward_v2_1(Tensor[] _0, __torch__.torch.classes.neuron.Model _1)"
                            " -> Tensor", kHasSideEffects),
              torch::dispatch(kKernel, forward_v2_1));
  library.def("_model_from_tensors(Tensor neff, Tensor metaneff, str options='{}')"
              " -> __torch__.torch.classes.neuron.Model",
              model_from_tensors);
  register_low_level(library);
}

// Results never require grad: autograd has nothing to record, not even that it could not.
TORCH_LIBRARY_IMPL(neuron, Autograd, library) {
  for (const char* name : {"forward_v2", "forward_v2_1", "_execute_neuron", "_to_neuron",
                           "_from_neuron"}) {
    library.impl(name, torch::CppFunction::makeFallthrough());
  }
}

}  // namespace neuron
