// The operators below neuron::forward*, which frameworks that drive the runtime themselves use.
#pragma once

#include <torch/library.h>

namespace neuron {

// Adds them to the library, in which the class Model must be registered already.
void register_low_level(torch::Library& library);

}  // namespace neuron
