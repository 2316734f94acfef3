// Arrays made of whole stretches of others: concatenations, and rows picked by their numbers.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernel.h"
#include "walk.h"

namespace neuron::kernels {
namespace {

// Work that is not worth another thread: about 10 us.
constexpr int64_t kSmall = 128 * 1024;  // bytes

void refuse(const char* sentence) { throw std::invalid_argument(sentence); }

// Calls body(first, last) for parts of [0, count), each of so many bytes.
template <class Body>
void in_parts(const Threads& threads, int64_t count, int64_t bytes, Body&& body) {
  const int64_t most = count * bytes < kSmall ? 1 : 4 * (threads.helpers + 1);
  const int64_t parts = std::min(count, most);
  parallel_for(threads, parts, [&](int64_t part) {
    body(count * part / parts, count * (part + 1) / parts);
  });
}

// The words are how often a stretch of each operand follows that of the last one, then the elements
// of each operand's.
class Concatenation : public Kernel {
 public:
  explicit Concatenation(Words words) {
    if (words.size() < 2 || *std::min_element(words.begin(), words.begin() + words.size()) < 0) {
      refuse("concatenation: sizes must be there, and not negative");
    }
    times_ = *words.begin();
    sizes_.assign(words.begin() + 1, words.begin() + words.size());
    for (const int64_t size : sizes_) whole_ += size;
  }

  void run(const std::vector<Buffer>& operands, const Buffer& result,
           const Threads& threads) const override {
    bool fits = operands.size() == sizes_.size() && result.count == times_ * whole_;
    for (size_t n = 0; fits && n < operands.size(); ++n) {
      fits = operands[n].type == result.type && operands[n].count == times_ * sizes_[n];
    }
    if (!fits) refuse("concatenation: operands must be of the result's type and make it up");
    const int64_t element = bytes_of(result.type);
    in_parts(threads, times_, whole_ * element, [&](int64_t first, int64_t last) {
      char* to = static_cast<char*>(result.data) + first * whole_ * element;
      for (int64_t time = first; time < last; ++time) {
        for (size_t n = 0; n < operands.size(); ++n) {
          const int64_t bytes = sizes_[n] * element;
          std::memcpy(to, static_cast<const char*>(operands[n].data) + time * bytes, bytes);
          to += bytes;
        }
      }
    });
  }

 private:
  int64_t times_, whole_ = 0;
  std::vector<int64_t> sizes_;
};

// The words are the rows of the first operand and the elements of each; how many rows are picked;
// where in the second operand, of s32, the number of the first one is, and the step from that to the
// next; whether a number is unsigned; whether one that is no row's is refused, not moved to the next
// that is.
class PickedRows : public Kernel {
 public:
  explicit PickedRows(Words words) {
    if (words.size() != 7) refuse("picked rows: seven numbers must be there");
    const int64_t* w = words.begin();
    rows_ = w[0], size_ = w[1], count_ = w[2], start_ = w[3], step_ = w[4];
    is_unsigned_ = w[5] != 0, checked_ = w[6] != 0;
    if (rows_ < 1 || size_ < 0 || count_ < 0 || start_ < 0 || step_ < 0) {
      refuse("picked rows: rows must be there, and sizes and steps not negative");
    }
  }

  void run(const std::vector<Buffer>& operands, const Buffer& result,
           const Threads& threads) const override {
    const int64_t last_number = count_ > 0 ? start_ + (count_ - 1) * step_ : -1;
    if (operands.size() != 2 || operands[0].type != result.type ||
        operands[0].count != rows_ * size_ || result.count != count_ * size_ ||
        operands[1].type != Type::s32 || operands[1].count <= last_number) {
      refuse("picked rows: operands must be rows of the result's type, and numbers");
    }
    const int64_t bytes = size_ * bytes_of(result.type);
    const char* const from = static_cast<const char*>(operands[0].data);
    const int32_t* const numbers = static_cast<const int32_t*>(operands[1].data) + start_;
    if (checked_) {
      for (int64_t n = 0; n < count_; ++n) {
        if (row(numbers[n * step_]) != number(numbers[n * step_])) throw OutOfBounds();
      }
    }
    in_parts(threads, count_, bytes, [&](int64_t first, int64_t last) {
      for (int64_t n = first; n < last; ++n) {
        std::memcpy(static_cast<char*>(result.data) + n * bytes,
                    from + row(numbers[n * step_]) * bytes, bytes);
      }
    });
  }

 private:
  int64_t number(int32_t bits) const {
    return is_unsigned_ ? int64_t{static_cast<uint32_t>(bits)} : int64_t{bits};
  }
  int64_t row(int32_t bits) const {
    return std::clamp(number(bits), int64_t{0}, rows_ - 1);
  }

  int64_t rows_, size_, count_, start_, step_;
  bool is_unsigned_, checked_;
};

const KernelName concatenation("neuron_concatenation", make_kernel<Concatenation>);
const KernelName picked_rows("neuron_picked_rows", make_kernel<PickedRows>);

}  // namespace
}  // namespace neuron::kernels
