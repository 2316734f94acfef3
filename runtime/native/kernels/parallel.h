// Splits the work of a kernel over the threads that XLA computes with.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <thread>

namespace neuron::kernels {

// Starts a task on some other thread; may be called from any thread.
using Schedule = std::function<void(std::function<void()>)>;

// The threads a kernel may use beside the one that called it.
struct Threads {
  int64_t helpers = 0;
  Schedule schedule;
};

// Calls body(chunk) once for each chunk in [0, chunks), on the calling thread and on helpers that
// come in time. Chunks are claimed one by one, and the caller takes part: it waits only for chunks
// that a running thread has claimed, so kernels that run at once on one pool cannot block each
// other. `body` must not throw.
template <typename Body>
void parallel_for(const Threads& threads, int64_t chunks, Body&& body) {
  const int64_t helpers = chunks - 1 < threads.helpers ? chunks - 1 : threads.helpers;
  if (helpers <= 0) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
    return;
  }
  // A helper may start after the work is done and this frame is gone: it then finds no chunk, and
  // must not look further than at this.
  struct Shared {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> done{0};
  };
  auto shared = std::make_shared<Shared>();
  auto* const run = &body;
  auto work = [shared, run, chunks] {
    for (;;) {
      const int64_t chunk = shared->next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= chunks) return;
      (*run)(chunk);
      shared->done.fetch_add(1, std::memory_order_release);
    }
  };
  for (int64_t helper = 0; helper < helpers; ++helper) threads.schedule(work);
  work();
  for (int64_t spins = 0; shared->done.load(std::memory_order_acquire) < chunks; ++spins) {
    if (spins < 4096) {
      __builtin_ia32_pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace neuron::kernels
