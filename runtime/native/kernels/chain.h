// Two contractions in one call: what the first makes of some rows stays in cache until the second
// has read it, and is written nowhere else.
#pragma once

#include <cstdint>
#include <vector>

#include "contract.h"
#include "parallel.h"
#include "tile.h"

namespace neuron::kernels {

// A contraction, its operands and what follows it.
struct Link {
  const Contraction& c;
  const void* left;  // not looked at in the second of a chain
  const void* right;
  const TileProgram& program;
  const Buffer* operands;
};

// What lies between them: a program whose space has the rows of both, and for columns the first's
// columns, which are the second's depth.
struct Between {
  const TileProgram& program;
  std::vector<Buffer> operands;  // without data where it reads what the first makes
};

// With rows between them, such as an attention: what the first makes goes through the rows' program
// to the second. Throws std::invalid_argument if the two do not fit.
void chain(const Link& first, const Between& between, const Link& second, const Buffer& output,
           const Threads& threads);

// Beside each other, such as a product that is added to another: those of the second's operands that
// have no data are what the first makes. Throws std::invalid_argument if the two do not fit.
void pair(const Link& first, const Link& second, const Buffer& output, const Threads& threads);

}  // namespace neuron::kernels
