// neuron::Model, the TorchScript object that holds a NEFF and runs it.
#pragma once

#include <torch/custom_class.h>

#include <string>
#include <tuple>
#include <vector>

#include "bridge.h"

namespace neuron {

// What torch.jit.save writes: the layout's version, options as JSON text, NEFF, metaneff.
// The tensors are one-dimensional uint8. New facts go into the options; the version goes up only
// when an older library could not run the model rightly.
using ModelState = std::tuple<int64_t, std::string, at::Tensor, at::Tensor>;

class Model : public torch::CustomClassHolder {
 public:
  static constexpr int64_t kStateVersion = 1;

  // Loads on a NeuronCore. The tensors are shared, not copied, and must not change.
  Model(at::Tensor neff, at::Tensor metaneff, const std::string& options);
  static c10::intrusive_ptr<Model> from_bytes(std::string neff, std::string metaneff);
  static c10::intrusive_ptr<Model> from_state(ModelState state);
  ModelState state() const { return {kStateVersion, options(), neff_, metaneff_}; }

  at::Tensor neff() const { return neff_; }
  at::Tensor metaneff() const { return metaneff_; }
  std::string options() const { return loaded_.options(); }
  std::vector<std::string> input_names() const { return names(loaded_.inputs()); }
  std::vector<std::string> output_names() const { return names(loaded_.outputs()); }

  // How calls and loads go on, as JSON; saved with the model.
  void set_options(const std::string& options) { loaded_.configure(options); }

  int64_t batch() const { return loaded_.batch(); }
  std::vector<int64_t> cores() const { return loaded_.cores(); }
  void load() const { loaded_.load(); }
  void unload() const { loaded_.unload(); }
  void set_neuron_devices(int64_t start, int64_t count) const { loaded_.place(start, count); }

  // Checks count, device, dtype and shape, then runs. `who` is the operator to name in errors.
  std::vector<at::Tensor> forward(const char* who, at::TensorList inputs) const;

 private:
  static std::vector<std::string> names(const std::vector<TensorSpec>& specs);
  int64_t batch_of(const char* who, at::TensorList inputs) const;

  at::Tensor neff_;
  at::Tensor metaneff_;
  LoadedModel loaded_;
};

}  // namespace neuron
