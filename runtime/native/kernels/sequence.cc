#include "sequence.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

#include "walk.h"

namespace neuron::kernels {
namespace {

void refuse(const char* sentence) { throw std::invalid_argument(sentence); }

// How many sequences run: each has a processor of its own, its caller's, and only others can help.
std::atomic<int64_t> running{0};

struct Running {
  Running() { running.fetch_add(1, std::memory_order_relaxed); }
  ~Running() { running.fetch_sub(1, std::memory_order_relaxed); }
  int64_t others() const { return running.load(std::memory_order_relaxed) - 1; }
};

}  // namespace

void Sequence::add(const std::string& kernel, Words words, std::vector<ArrayPlace> places) {
  if (places.empty()) refuse("sequence: a call must have a result");
  for (const ArrayPlace& p : places) {
    if (p.pointer < 0 || p.start < 0 || p.bytes < 0) {
      refuse("sequence: a place must be a pointer, a byte and a size");
    }
    if (p.pointer == 0 && p.start + p.bytes > bytes_) {
      refuse("sequence: what is between calls must lie in the memory for it");
    }
  }
  const ArrayPlace result = places.back();
  places.pop_back();
  steps_.push_back({std::move(places), result,
                    std::make_unique<CallSite>(kernel_named(kernel), words)});
}

void Sequence::run(void* const* given) const {
  const AsXlaComputes mode;
  const Running self;
  Threads threads = own_threads();
  const int64_t helpers = threads.helpers;
  std::unique_ptr<Arena> arena = take();
  char* const between = arena->get(bytes_);
  const auto buffer = [&](const ArrayPlace& p) -> Buffer {
    char* const data = p.pointer == 0 ? between : static_cast<char*>(given[p.pointer - 1]);
    return {data + p.start, p.type, p.bytes / bytes_of(p.type)};
  };
  std::vector<Buffer> operands;
  for (const Step& step : steps_) {
    operands.clear();
    for (const ArrayPlace& p : step.operands) operands.push_back(buffer(p));
    threads.helpers = std::max<int64_t>(helpers - self.others(), 0);
    step.site->run(operands, buffer(step.result), threads);
  }
  give_back(std::move(arena));
}

std::unique_ptr<Arena> Sequence::take() const {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!arenas_.empty()) {
      auto last = std::move(arenas_.back());
      arenas_.pop_back();
      return last;
    }
  }
  auto made = std::make_unique<Arena>();
  in_large_pages(made->get(bytes_), bytes_);
  return made;
}

void Sequence::give_back(std::unique_ptr<Arena> arena) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  arenas_.push_back(std::move(arena));
}

}  // namespace neuron::kernels

namespace {

// A sentence that holds until the thread's next.
const char* sentence(const char* text) {
  static thread_local std::string kept;
  kept = text;
  return kept.c_str();
}

}  // namespace

extern "C" {

neuron::kernels::Sequence* neuron_sequence_new(int64_t bytes) {
  return new neuron::kernels::Sequence(bytes);
}

void neuron_sequence_free(neuron::kernels::Sequence* sequence) { delete sequence; }

// Four words are a place: see ArrayPlace. Returns null, or why it is refused.
const char* neuron_sequence_add(neuron::kernels::Sequence* sequence, const char* kernel,
                                const int64_t* words, size_t count, const int64_t* places,
                                size_t place_count) {
  using neuron::kernels::Type;
  try {
    std::vector<neuron::kernels::ArrayPlace> made;
    for (const int64_t* p = places; p < places + place_count; p += 4) {
      if (p[2] < 0 || p[2] > static_cast<int64_t>(Type::s32)) {
        throw std::invalid_argument("sequence: a place must have a type");
      }
      made.push_back({p[0], p[1], static_cast<Type>(p[2]), p[3]});
    }
    sequence->add(kernel, {words, count}, std::move(made));
    return nullptr;
  } catch (const std::exception& error) {
    return sentence(error.what());
  }
}

// Returns null, or why it has not run to its end; nothing where a number was out of bounds.
const char* neuron_sequence_run(const neuron::kernels::Sequence* sequence, void* const* given) {
  try {
    sequence->run(given);
    return nullptr;
  } catch (const neuron::kernels::OutOfBounds&) {
    return "";
  } catch (const std::exception& error) {
    return sentence(error.what());
  }
}

}  // extern "C"
