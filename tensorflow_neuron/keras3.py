"""What Keras 3 lacks: saving a traced model as a SavedModel, and loading it as a Keras model.

This is imported right after the module of Keras that saves and loads models.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

SAVING = "keras.src.saving.saving_api"


def teach_loading() -> None:
    """Have Keras 3's `load_model` and `save_model` know traced models; all else is as it was.

    Keras gives the functions out under several names. Where Keras is not imported, nothing is done.
    """
    saving = sys.modules.get(SAVING)
    own_load, own_save = (getattr(saving, n, None) for n in ("load_model", "save_model"))
    if own_load is None or own_save is None or hasattr(own_load, "reads_traced_models"):
        return

    @functools.wraps(own_load)
    def load_model(filepath: Any, *arguments: Any, **keywords: Any) -> Any:
        restored = _restored(filepath)
        return own_load(filepath, *arguments, **keywords) if restored is None else restored

    @functools.wraps(own_save)
    def save_model(model: Any, filepath: Any, *arguments: Any, **keywords: Any) -> Any:
        if hasattr(model, "aws_neuron_function"):
            return model.save(filepath, *arguments, **keywords)
        return own_save(model, filepath, *arguments, **keywords)

    load_model.reads_traced_models = True  # type: ignore[attr-defined]
    for name, own, ours in (
        ("load_model", own_load, load_model),
        ("save_model", own_save, save_model),
    ):
        for module in list(sys.modules.values()):
            if getattr(module, "__dict__", {}).get(name) is own:
                setattr(module, name, ours)


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
