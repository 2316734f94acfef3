// Calls of kernels one after the other: a program that kernels compute entirely.
//
//   Sequence sequence(bytes);                // of memory for what is between the calls
//   sequence.add(name, words, places);       // for each call: its operands', then its result's
//   sequence.run(pointers);                  // as often as wanted, from any thread
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel.h"
#include "scratch.h"

namespace neuron::kernels {

// Where an array lies: from a byte on of one of the pointers that a run is given, or of the memory
// between the calls, which is pointer 0 (those given begin with 1).
struct ArrayPlace {
  int64_t pointer, start;
  Type type;
  int64_t bytes;
};

class Sequence {
 public:
  explicit Sequence(int64_t bytes) : bytes_(bytes) {}

  // Throws std::invalid_argument for words or places that say nothing.
  void add(const std::string& kernel, Words words, std::vector<ArrayPlace> places);

  // `given` are as many as the places name, each with as many bytes as they say. Throws OutOfBounds,
  // and what is computed is then left undone.
  void run(void* const* given) const;

 private:
  struct Step {
    std::vector<ArrayPlace> operands;
    ArrayPlace result;
    std::unique_ptr<const CallSite> site;
  };

  std::unique_ptr<Arena> take() const;
  void give_back(std::unique_ptr<Arena> arena) const;

  const int64_t bytes_;
  std::vector<Step> steps_;
  // As many as there were runs at once; kept, for new memory costs more than what is written there.
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Arena>> arenas_;
};

}  // namespace neuron::kernels
