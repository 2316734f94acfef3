// What a C++ program may call in libtorchneuron besides TorchScript itself.
//
// Linking the library (or dlopen-ing it) registers `neuron::Model` and the `neuron::forward*`
// operators, after which torch::jit::load reads a saved model. Nothing here needs to be called.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Names the Python module that loads and runs NEFFs; "runtime.bridge" unless set.
// Holds for models made or loaded afterwards, in every thread. The text is copied.
void neuron_set_bridge(const char* module_name);

#ifdef __cplusplus
}
#endif
