#include "parallel.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <chrono>
#include <thread>
#include <utility>

namespace neuron::kernels {
namespace {

using Clock = std::chrono::steady_clock;

// How long a helper waits for another loop before it gives its thread back. To wake a thread takes
// 2 to 20 us, in a virtual machine above all, which is what many a kernel takes; what lies between
// two kernels is mostly less than this.
constexpr std::chrono::microseconds kLinger{50};

void pause() {
#if defined(__SSE2__)
  __builtin_ia32_pause();
#endif
}

// Which of this process's processors the thread is on, from 0 on.
int64_t processor() {
#if defined(__linux__)
  static const std::vector<int64_t> numbers = [] {
    std::vector<int64_t> made(CPU_SETSIZE);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return made;
    int64_t count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) made[cpu] = CPU_ISSET(cpu, &set) ? count++ : 0;
    return made;
  }();
  const int cpu = sched_getcpu();
  return cpu >= 0 && cpu < CPU_SETSIZE ? numbers[cpu] : 0;
#else
  return 0;
#endif
}

// Where a helper waits. Whoever has a loop claims it, then hands the loop over.
class alignas(64) Seat {
 public:
  bool take() { return change(State::empty, State::waiting); }
  bool hand(const std::shared_ptr<Loop>& loop) {
    if (!change(State::waiting, State::claimed)) return false;
    loop_ = loop;
    state_.store(State::handed, std::memory_order_release);
    return true;
  }
  // What was handed over; null, and the seat is left, if nothing was in time.
  std::shared_ptr<Loop> wait() {
    const auto end = Clock::now() + kLinger;
    while (state_.load(std::memory_order_acquire) != State::handed) {
      for (int n = 0; n < 8; ++n) pause();
      if (Clock::now() > end && change(State::waiting, State::empty)) return nullptr;
    }
    auto loop = std::move(loop_);
    state_.store(State::empty, std::memory_order_release);
    return loop;
  }

 private:
  enum class State { empty, waiting, claimed, handed };

  bool change(State from, State to) {
    return state_.load(std::memory_order_relaxed) == from &&
           state_.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }

  std::atomic<State> state_{State::empty};
  std::shared_ptr<Loop> loop_;
};

// More than processors that share a cache; a helper without a seat does not wait.
constexpr int kSeats = 64;
// Never freed: when the process ends a helper may still be there.
Seat* seats() {
  static Seat* const made = new Seat[kSeats];
  return made;
}

void serve(std::shared_ptr<Loop> loop) {
  while (loop != nullptr) {
    loop->help();
    loop.reset();
    for (int n = 0; n < kSeats; ++n) {
      if (!seats()[n].take()) continue;
      loop = seats()[n].wait();
      break;
    }
  }
}

}  // namespace

void Loop::help() {
  const auto count = static_cast<int64_t>(shares_.size()), own = processor() % count;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t share = (own + n) % count;
    const int64_t first = chunks_ * share / count, last = chunks_ * (share + 1) / count;
    for (;;) {
      const int64_t chunk =
          first + shares_[share].claimed.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= last) break;
      run_(body_, chunk);
      done_.fetch_add(1, std::memory_order_release);
    }
  }
}

void Loop::wait() const {
  for (int64_t spins = 0; done_.load(std::memory_order_acquire) < chunks_; ++spins) {
    if (spins < 4096) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void call_helpers(const Threads& threads, int64_t count, const std::shared_ptr<Loop>& loop) {
  for (int n = 0; n < kSeats && count > 0; ++n) {
    if (seats()[n].hand(loop)) --count;
  }
  for (; count > 0; --count) threads.schedule([loop] { serve(loop); });
}

}  // namespace neuron::kernels
