"""Capture: a PyTorch callable as an HLO module with its weights and its nested structure."""

from hlo_frontend.capture.result import (
    Capture,
    Input,
    Parameter,
    State,
    TensorSpec,
    Weight,
)
from hlo_frontend.capture.run import capture
from hlo_frontend.capture.structure import Dict, Items, Leaf, Structure, flatten, unflatten

__all__ = [
    "Capture",
    "Dict",
    "Input",
    "Items",
    "Leaf",
    "Parameter",
    "State",
    "Structure",
    "TensorSpec",
    "Weight",
    "capture",
    "flatten",
    "unflatten",
]
