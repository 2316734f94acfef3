#include "parallel.h"

#if defined(__linux__)
#include <sched.h>
#endif

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
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

// This process's processors.
struct Processors {
  std::vector<int64_t> numbers;  // of each of the machine's: which of this process's it is
  int64_t count = 0;

  static const Processors& get() {
    static const Processors made;
    return made;
  }

 private:
  Processors() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
      for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        numbers.push_back(CPU_ISSET(cpu, &set) ? count++ : 0);
      }
    }
#endif
    if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
  }
};

// Which of this process's processors the thread is on, from 0 on.
int64_t processor() {
#if defined(__linux__)
  const std::vector<int64_t>& numbers = Processors::get().numbers;
  const int cpu = sched_getcpu();
  return cpu >= 0 && cpu < static_cast<int>(numbers.size()) ? numbers[cpu] : 0;
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

// Threads that run tasks, in turn. Never freed: when the process ends a task may still run.
class Pool {
 public:
  explicit Pool(int64_t threads) {
    for (; threads > 0; --threads) std::thread([this] { work(); }).detach();
  }

  void schedule(std::function<void()> task) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    there_.notify_one();
  }

 private:
  [[noreturn]] void work() {
    const AsXlaComputes mode;
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      there_.wait(lock, [this] { return !tasks_.empty(); });
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<std::function<void()>> tasks_;
};

unsigned control() {
#if defined(__SSE2__)
  return _mm_getcsr();
#else
  return 0;
#endif
}

void set_control(unsigned value) {
#if defined(__SSE2__)
  _mm_setcsr(value);
#endif
}

}  // namespace

AsXlaComputes::AsXlaComputes() : before_(control()) {
  constexpr unsigned kFlush = 0x8040, kRounding = 0x6000;
  set_control((before_ | kFlush) & ~kRounding);
}

AsXlaComputes::~AsXlaComputes() { set_control(before_); }

Threads own_threads() {
  const int64_t helpers = Processors::get().count - 1;
  static Pool* const pool = new Pool(helpers);
  return {helpers, [](std::function<void()> task) { pool->schedule(std::move(task)); }};
}

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
