"""What Keras 3 lacks: loading a traced model, which is a SavedModel, as a Keras model.

This is imported right after the module of Keras that loads models.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

SAVING = "keras.src.saving.saving_api"


def teach_loading() -> None:
    """Have Keras 3's `load_model` read SavedModels of traced models; all else is as it was.

    Keras gives the function out under several names. Where Keras is not imported, nothing is done.
    """
    saving = sys.modules.get(SAVING)
    own = getattr(saving, "load_model", None)
    if own is None or hasattr(own, "reads_traced_models"):
        return

    @functools.wraps(own)
    def load_model(filepath: Any, *arguments: Any, **keywords: Any) -> Any:
        restored = _restored(filepath)
        return own(filepath, *arguments, **keywords) if restored is None else restored

    load_model.reads_traced_models = True  # type: ignore[attr-defined]
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("load_model") is own:
            module.load_model = load_model  # type: ignore[attr-defined]


def _restored(path: Any) -> Any:
    """The traced model in a folder; None where there is none."""
    if not isinstance(path, str | os.PathLike):
        return None
    if not os.path.isfile(os.path.join(path, "saved_model.pb")):
        return None
    import tensorflow as tf

    from tensorflow_neuron.model import restored_model

    loaded = tf.saved_model.load(os.fspath(path))
    return restored_model(loaded) if hasattr(loaded, "aws_neuron_function") else None


teach_loading()
