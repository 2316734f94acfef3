// Splits the work of a kernel over threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

namespace neuron::kernels {

// Starts a task on some other thread; may be called from any thread.
using Schedule = std::function<void(std::function<void()>)>;

// The threads a kernel may use beside the one that called it.
struct Threads {
  int64_t helpers = 0;
  Schedule schedule;
};

// Threads of the kernels' own, for calls that XLA does not make: one for each processor but the
// caller's. They begin when they are first asked for.
Threads own_threads();

// While there is one, the thread takes denormals for zeros and rounds to nearest, as XLA's do.
class AsXlaComputes {
 public:
  AsXlaComputes();
  ~AsXlaComputes();
  AsXlaComputes(const AsXlaComputes&) = delete;
  AsXlaComputes& operator=(const AsXlaComputes&) = delete;

 private:
  const unsigned before_;
};

// A loop whose chunks threads claim one by one. Each processor begins with a share of its own, the
// same in each loop of so many threads: what it wrote or read there before, its caches may have yet.
class Loop {
 public:
  using Run = void (*)(const void* body, int64_t chunk);

  Loop(int64_t chunks, int64_t threads, const void* body, Run run)
      : chunks_(chunks), body_(body), run_(run), shares_(threads) {}

  // Runs chunks until all are claimed. Where all are, the body may be gone: it is not looked at.
  void help();
  // Until each chunk that was claimed is done.
  void wait() const;

 private:
  struct alignas(64) Share {
    std::atomic<int64_t> claimed{0};
  };

  const int64_t chunks_;
  const void* const body_;
  const Run run_;
  std::vector<Share> shares_;
  std::atomic<int64_t> done_{0};
};

// Has up to so many helpers work on the loop: those that still wait for one, then new ones.
void call_helpers(const Threads& threads, int64_t count, const std::shared_ptr<Loop>& loop);

// Calls body(chunk) once for each chunk in [0, chunks), on the calling thread and on helpers that
// come in time. The caller takes part and waits only for chunks that a running thread has claimed,
// so kernels that run at once on one pool cannot block each other. `body` must not throw.
template <typename Body>
void parallel_for(const Threads& threads, int64_t chunks, Body&& body) {
  const int64_t helpers = chunks - 1 < threads.helpers ? chunks - 1 : threads.helpers;
  if (helpers <= 0) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  const auto loop = std::make_shared<Loop>(chunks, helpers + 1, &body, [](const void* at, int64_t chunk) {
    (*static_cast<Plain*>(const_cast<void*>(at)))(chunk);
  });
  call_helpers(threads, helpers, loop);
  loop->help();
  loop->wait();
}

}  // namespace neuron::kernels
