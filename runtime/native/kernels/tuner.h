// Whether a call is worth more than one thread: on some machines a thread that takes part costs ten
// microseconds, on others none, so each call site finds out by itself. Results are the same bits.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace neuron::kernels {

class Tuner {
 public:
  // Calls run(alone). At some time a few calls in a row are alone, and are compared with those
  // before: after some of them, caches hold what they would if all were.
  template <class Run>
  void call(Run&& run) const {
    const int n = calls_.load(std::memory_order_relaxed);
    if (n >= end_) return run(alone_.load(std::memory_order_relaxed));
    const int trial = end_ - kTrial;
    const bool alone = n >= trial;
    const auto start = std::chrono::steady_clock::now();
    run(alone);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    // Calls may run at once: what is lost then is a measurement.
    const bool counts = alone ? n >= end_ - kCounted : n >= trial - kCounted;
    if (counts) best_[alone] = std::min(best_[alone].load(), took.count());
    const bool hopeless = n + 1 == trial ? best_[0] > kLong : alone && took.count() > 2 * best_[0];
    alone_ = n + 1 == end_ && best_[1] < kClear * best_[0];
    calls_ = hopeless ? end_ : n + 1;
  }

 private:
  static constexpr int kTrial = 8;         // calls
  static constexpr int kCounted = 4;       // the last ones of each kind; the least counts
  static constexpr int kTurns = 8;         // one of so many sites is tried at a time
  static constexpr double kLong = 200e-6;  // seconds; what takes longer is not tried
  static constexpr double kClear = 0.95;

  static inline std::atomic<int> sites_{0};
  const int end_ = 2 * kTrial + sites_.fetch_add(1, std::memory_order_relaxed) % kTurns * kTrial;
  mutable std::atomic<int> calls_{0};
  mutable std::atomic<bool> alone_{false};
  mutable std::atomic<double> best_[2] = {std::numeric_limits<double>::infinity(),
                                          std::numeric_limits<double>::infinity()};
};

}  // namespace neuron::kernels
