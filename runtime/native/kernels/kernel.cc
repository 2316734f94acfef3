#include "kernel.h"

#include <map>
#include <stdexcept>

namespace neuron::kernels {
namespace {

std::map<std::string, MakeKernel>& kernels() {
  static auto* const made = new std::map<std::string, MakeKernel>;
  return *made;
}

}  // namespace

KernelName::KernelName(const char* name, MakeKernel make) { kernels()[name] = make; }

MakeKernel kernel_named(const std::string& name) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) throw std::invalid_argument("kernels: there is none named " + name);
  return found->second;
}

}  // namespace neuron::kernels
