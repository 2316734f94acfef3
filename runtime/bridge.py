"""What the C++ class `neuron::Model` calls in Python: see runtime/native/bridge.cc."""

from __future__ import annotations

from runtime.model import Model
from runtime.model import load as load_neff


def load(neff: memoryview, metaneff: memoryview, options: str) -> Model:
    """Load a NEFF whose bytes the caller keeps alive for as long as the model."""
    return load_neff(neff)
