// A program without Python: loads a saved model and its inputs, and prints what the model returns.
//
//   run_model MODEL.pt INPUTS.pt [THREADS]
//
// INPUTS.pt is a list of tensors saved by torch.save. Every thread makes the same calls and must
// get the same results. NEURON_TEST_BRIDGE names another runtime than runtime.bridge.
#include <dlfcn.h>
#include <torch/script.h>
#include <torch/serialize.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include "torchneuron.h"

namespace {

std::vector<c10::IValue> read_inputs(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const c10::IValue value = torch::pickle_load(bytes);
  return value.toListRef().vec();
}

std::vector<at::Tensor> tensors_in(const c10::IValue& value) {
  if (value.isTensor()) {
    return {value.toTensor()};
  }
  std::vector<at::Tensor> found;
  if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      for (const at::Tensor& tensor : tensors_in(entry.value())) {
        found.push_back(tensor);
      }
    }
    return found;
  }
  const auto elements =
      value.isTuple() ? value.toTuple()->elements().vec() : value.toListRef().vec();
  for (const c10::IValue& element : elements) {
    for (const at::Tensor& tensor : tensors_in(element)) {
      found.push_back(tensor);
    }
  }
  return found;
}

void print(const std::vector<at::Tensor>& tensors) {
  std::cout.precision(9);
  for (const at::Tensor& tensor : tensors) {
    std::cout << tensor.sizes() << ":";
    const at::Tensor flat = tensor.to(at::kDouble).reshape(-1);
    for (int64_t i = 0; i < flat.numel(); ++i) {
      std::cout << " " << flat[i].item<double>();
    }
    std::cout << "\n";
  }
}

int run(int argc, char** argv) {
  if (const char* bridge = std::getenv("NEURON_TEST_BRIDGE")) {
    neuron_set_bridge(bridge);
  }
  torch::jit::Module model = torch::jit::load(argv[1]);
  const std::vector<c10::IValue> inputs = read_inputs(argv[2]);
  const std::vector<at::Tensor> expected = tensors_in(model.forward(inputs));

  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < (argc > 3 ? std::atoi(argv[3]) : 0); ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 20; ++call) {
        const std::vector<at::Tensor> got = tensors_in(model.forward(inputs));
        for (size_t k = 0; k < expected.size(); ++k) {
          wrong += at::equal(got.at(k), expected[k]) ? 0 : 1;
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  print(expected);
  return wrong == 0 ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  if (dlsym(RTLD_DEFAULT, "Py_IsInitialized") != nullptr) {
    std::cerr << "there must be no Python in the process\n";
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
  }
  return 1;
}
