// Operators that place, load and run one thing at a time; those that need hardware say so.
//
// A tensor "on a NeuronCore" stays a CPU tensor, in memory of its own that counts against the
// core's. Names and arguments: AWS's transformers-neuronx, ops.py.
#include "low_level.h"

#include <ATen/ops/clone.h>
#include <ATen/ops/slice.h>
#include <c10/util/Exception.h>

#include <string>
#include <utility>

#include "bridge.h"
#include "model.h"

namespace neuron {
namespace {

// May be neither dropped nor merged nor moved, whatever their results are used for.
constexpr auto kHasSideEffects = c10::AliasAnalysisKind::CONSERVATIVE;
// Below Python's dispatch modes.
constexpr auto kKernel = c10::DispatchKey::CompositeExplicitAutograd;

at::Tensor to_neuron(const at::Tensor& tensor, int64_t ordinal) {
  TORCH_CHECK_VALUE(tensor.device().is_cpu() && tensor.layout() == at::kStrided,
                    "neuron::_to_neuron: the tensor must be a dense CPU tensor, got layout ",
                    tensor.layout(), " on device ", tensor.device());
  return to_core(tensor.detach().resolve_conj().resolve_neg().contiguous(), ordinal);
}

at::Tensor from_neuron(const at::Tensor& tensor) { return tensor.detach().clone(); }

at::Tensor slice_neuron(const at::Tensor& tensor, int64_t dim, int64_t start, int64_t end,
                        int64_t step) {
  return at::slice(tensor, dim, start, end, step);
}

void load_neuron(const c10::intrusive_ptr<Model>& model) { model->load(); }

std::vector<at::Tensor> execute_neuron(const c10::intrusive_ptr<Model>& model,
                                       at::TensorList inputs) {
  return model->forward("neuron::_execute_neuron", inputs);
}

struct Absent {
  const char* name;
  const char* arguments;
  const char* reason;
};

#define NEURON_MODEL "__torch__.torch.classes.neuron.Model model"
constexpr char kNoProfile[] = "there is no hardware whose execution could be profiled";
constexpr char kNoCollectives[] =
    "models that communicate with one another are not emulated; try: neuron::_load_neuron";
constexpr char kNoGroups[] =
    "tensors spread over the NeuronCores of one model are not emulated; "
    "try: one neuron::_to_neuron and one neuron::_execute_neuron for each core";

// The published interface names these and not their arguments: up to five of any type.
#define NEURON_ANY "Any? a=None, Any? b=None, Any? c=None, Any? d=None, Any? e=None"
constexpr Absent kAbsent[] = {
    {"_load_collectives_neuron",
     NEURON_MODEL ", int nc_id, int nc_count, int g_nc_id, int g_nc_count", kNoCollectives},
    {"_profile_start_neuron", NEURON_MODEL ", str ntff", kNoProfile},
    {"_profile_stop_neuron", "str ntff", kNoProfile},
    {"_parallel_to_neuron", NEURON_ANY, kNoGroups},
    {"_parallel_from_neuron", NEURON_ANY, kNoGroups},
    {"_parallel_write_neuron", NEURON_ANY, kNoGroups},
    {"_parallel_slice_neuron", NEURON_ANY, kNoGroups},
    {"_parallel_run_neuron", NEURON_ANY, kNoGroups},
    {"_parallel_executor_run", NEURON_ANY, kNoGroups},
    {"_parallel_profile_start_neuron", NEURON_ANY, kNoProfile},
    {"_parallel_profile_stop_neuron", NEURON_ANY, kNoProfile},
};
#undef NEURON_MODEL
#undef NEURON_ANY

// The kernel of all absent operators, whatever their arguments are.
void refuse(const c10::OperatorHandle& called, torch::jit::Stack*) {
  const std::string& name = called.schema().name();  // with "neuron::" before it
  for (const Absent& absent : kAbsent) {
    TORCH_CHECK_NOT_IMPLEMENTED(name != std::string("neuron::") + absent.name, name,
                                ": needs Neuron hardware: ", absent.reason);
  }
  TORCH_INTERNAL_ASSERT(false, name);
}

}  // namespace

void register_low_level(torch::Library& library) {
  const auto define = [&](const char* schema, auto&& kernel) {
    library.def(torch::schema(schema, kHasSideEffects),
                torch::dispatch(kKernel, std::forward<decltype(kernel)>(kernel)));
  };
  define("_init_neuron() -> ()", initialize_runtime);
  define("_to_neuron(Tensor tensor, int ordinal) -> Tensor", to_neuron);
  define("_from_neuron(Tensor tensor) -> Tensor", from_neuron);
  library.def("_slice_neuron(Tensor(a) tensor, int dim, int start, int end, int step)"
              " -> Tensor(a)", slice_neuron);
  define("_load_neuron(__torch__.torch.classes.neuron.Model model) -> ()", load_neuron);
  define("_execute_neuron(__torch__.torch.classes.neuron.Model model, Tensor[] inputs)"
         " -> Tensor[]", execute_neuron);
  for (const Absent& absent : kAbsent) {
    const std::string schema = std::string(absent.name) + "(" + absent.arguments + ") -> ()";
    define(schema.c_str(), torch::CppFunction::makeFromBoxedFunction<&refuse>());
  }
}

}  // namespace neuron
