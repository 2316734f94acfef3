// Products of bf16 by the processor's matrix unit (Intel AMX): tiles of 16 rows and 16 columns, over
// up to 16 pairs of the depth at a time. Its sums are f32; denormals are zero, as in AVX-512 BF16.
#pragma once

#include <cstdint>
#include <vector>

#include "contract.h"
#include "vector.h"

#if defined(__AMX_BF16__) && defined(__linux__)
#define NEURON_AMX 1
#else
#define NEURON_AMX 0
#endif

namespace neuron::kernels {

struct Panel;

// Whether the processor has the unit and the system lets this process use it; asked once.
bool has_amx();

// Rows of two tiles above each other.
constexpr int kAmxRows = 32;

// Pairs that each of equal parts of a depth has: as many as the unit takes, as far as they divide.
int64_t pairs_at_once(int64_t pairs);

// The least number of pairs from this one on, zeros at the end, that has few such parts.
int64_t padded_pairs(int64_t pairs);

#if NEURON_AMX

// Rows of the first operand that lie at equal steps: what one tile of the unit takes.
struct Stretch {
  const char* data;
  int64_t step;  // bytes
  int64_t row;   // the first, in its group
  int height;
};

// The rows of a range in pairs of stretches: tiles of up to 32 rows, and what makes their sums. The
// unit is this thread's, set for their shapes, while one is there.
class AmxTiles {
 public:
  // What a thread keeps from one to the next.
  struct Memory {
    std::vector<Stretch> stretches;
    std::vector<int64_t> ahead;  // bytes from the first tap to each
  };

  // Of an operand without padding, of pairs, of which the first is at `data`; `depth` counts the
  // pairs of a tap.
  AmxTiles(const Contraction& c, const char* data, int64_t depth, int64_t first, int64_t last,
           Memory& memory);
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  int64_t count() const { return (static_cast<int64_t>(stretches_.size()) + 1) / 2; }
  // Where a tile begins, of count() + 1: a row of the group.
  int64_t row(int64_t tile) const;
  int64_t steps() const;  // of the depth and all taps, that a sum takes
  // The sums of a tile and a panel, of which `width` columns count, in rows of `ld` floats. The row
  // before `out` is written, too, where the tile before has that row: with the same.
  void multiply(int64_t tile, const Panel& panel, float* out, int64_t ld);

 private:
  void configure(int first, int second);

  const std::vector<Stretch>& stretches_;
  const std::vector<int64_t>& ahead_;
  const int64_t first_, last_;
  const int64_t parts_, pairs_;  // of the depth of a tap
  int heights_[2] = {};          // what the unit is set for
};

#endif

}  // namespace neuron::kernels
