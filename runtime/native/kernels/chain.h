// Two contractions with rows between them, such as an attention: what the first makes of some rows
// goes through the rows' program to the second, and is written nowhere else.
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
  const void* left;  // not looked at in the second
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

// Throws std::invalid_argument if the two do not fit.
void chain(const Link& first, const Between& between, const Link& second, const Buffer& output,
           const Threads& threads);

}  // namespace neuron::kernels
