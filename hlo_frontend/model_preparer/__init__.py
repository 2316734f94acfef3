"""Makes a PyTorch model's graph explicit: functions and reused modules become named modules."""

from hlo_frontend.model_preparer.errors import (
    ControlFlowError,
    PrepareError,
    UntraceableCallError,
    UntraceableLengthError,
)
from hlo_frontend.model_preparer.prepare import prepare_model
from hlo_frontend.model_preparer.report import Change, Report

__all__ = [
    "Change",
    "ControlFlowError",
    "PrepareError",
    "Report",
    "UntraceableCallError",
    "UntraceableLengthError",
    "prepare_model",
]
