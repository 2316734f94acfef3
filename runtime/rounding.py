"""How results become short floats: to nearest or by chance, and which ops' results do."""

from __future__ import annotations

from runtime.kernels.kind import Value
from runtime.settings import setting


class Rounding:
    """To nearest even, or, with a `seed`, up with the probability of what is cut off.

    Each run of a function of the program draws numbers of its own: they depend on the seed, on how
    often the function has run since the model was loaded, and on the instruction.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.run: Value = None  # the number of the run, a value of the program being traced

    def entered(self) -> Rounding:
        """The rounding of one run of a function."""
        return self if self.seed is None else Rounding(self.seed)


NEAREST = Rounding()
# Ops whose result, in the type of their operands, is in general no value of that type. All others
# either pick among the operands or call a function, whose own instructions round.
ROUNDED = frozenset(
    """
    acos acosh add asin asinh atan2 atanh cbrt convolution cosh cosine divide dot erf exponential
    exponential-minus-one log log-plus-one logistic multiply power remainder rsqrt sine sinh sqrt
    subtract tan tanh
    """.split()  # noqa: SIM905 - a table
)
# Ops whose bodies run as the program does; those of others combine elements, always to nearest.
CONTROL = frozenset({"call", "conditional", "while"})


def rounding_in_force() -> Rounding:
    """What the environment asks of a model that is loaded now."""
    if setting("NEURON_RT_STOCHASTIC_ROUNDING_EN") == "0":
        return NEAREST
    seed = setting("NEURON_RT_STOCHASTIC_ROUNDING_SEED")
    if not seed.isdecimal():
        raise ValueError(f"NEURON_RT_STOCHASTIC_ROUNDING_SEED: must be a number, got {seed!r}")
    return Rounding(int(seed))
