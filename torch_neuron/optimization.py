"""`torch_neuron.Optimization`: what may be done to a compiled model beyond the compiler."""

from __future__ import annotations

from enum import StrEnum


class Optimization(StrEnum):
    """FLOAT32_TO_FLOAT16: what goes to Neuron and comes from it does so in 16 bits.

    The traced model takes float32 or float16 where float32 was traced; what it returns has the
    type that was traced, and the precision of float16.
    Source: AWS Neuron documentation, PyTorch Neuron trace API.
    """

    FLOAT32_TO_FLOAT16 = "float32_to_float16"
