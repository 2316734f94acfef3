// A contraction in one call: its tiles, divided into chunks that threads take.
#pragma once

#include <cstdint>

#include "contract.h"
#include "multiply.h"
#include "packing.h"
#include "parallel.h"
#include "slide.h"

namespace neuron::kernels {

class Staging;

// How the tiles of a group are divided into chunks: blocks of rows, and of panels.
struct Division {
  struct Block {
    int64_t rows, panels;
  };
  int64_t row_blocks, panel_blocks;
  // Whether chunks of the same rows follow each other, not those of the same panels: each thread
  // then has rows of its own, in this call as in those before and after it.
  bool by_rows;

  Division(const Contraction& c, const Packing& p, int64_t threads);
  Block block(int64_t number) const {
    if (by_rows) return {number / panel_blocks, number % panel_blocks};
    return {number % row_blocks, number / row_blocks};
  }
};

// A stretch of rows, or of panels.
struct Range {
  int64_t first, last;
};

// What a thread keeps of one contraction from chunk to chunk.
struct Scratch {
  Arena sources, staged, packed, tile;
  Strips strips;
#if NEURON_AMX
  AmxTiles::Memory amx;
#endif
};

class Work {
 public:
  Work(const Contraction& c, const void* left, const void* right);

  const Packing& packing() const { return p_; }
  // The n-th of so many parts of a group's rows, in whole tiles.
  Range rows_of(int64_t part, int64_t parts) const;
  // Whether the products can take the first operand from where it lies.
  bool lies_ready() const;

  // Before chunks are run: what several of them read is made ready once, by all threads.
  void stage_all(const Threads& threads, Arena& memory);
  void pack_all(const Threads& threads, Arena& memory);

  // The panels of a group; where they are not ready, those of a range are packed in the scratch.
  const char* panels(int64_t group, Range panels, Scratch& scratch) const;
  // Where a panel lies that is ready; null if it is not.
  const char* ready(int64_t group, int64_t panel) const {
    return packed_ ? packed_ + group * p_.group_bytes + panel * p_.panel_bytes : nullptr;
  }
  // The tiles of a range of rows and panels of one group. The first operand is that of the call,
  // or `left`, of which no more need be there than these rows read. `after` is the panel that the
  // thread is likely to read next.
  void run(int64_t group, Range rows, Range panels, const char* packed, const TileProgram& program,
           const TileTask& task, Scratch& scratch, const void* left = nullptr,
           const char* after = nullptr) const;

 private:
  template <class Tiles>
  void multiply(int64_t group, Range rows, Range panels, const char* packed,
                const TileProgram& program, const TileTask& task, Arena& memory,
                Tiles&& tiles, const char* after) const;
  void multiply_row(int64_t row, Range panels, const char* packed, const TileProgram& program,
                    const TileTask& task, Arena& memory, const Sources* sources, int64_t taps,
                    int64_t depth) const;
  void slide(int64_t group, Range panels, const char* packed, const TileProgram& program,
             const TileTask& task, Scratch& scratch, const char* zeros) const;

  const Contraction& c_;
  const Packing p_;
  const void* const left_;
  const void* const right_;
  const Multiplies wide_, thin_;
  const char* staged_ = nullptr;  // the whole first operand
  const char* packed_ = nullptr;  // the whole second one
};

}  // namespace neuron::kernels
