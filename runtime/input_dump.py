"""The inputs of an execution that failed, in a folder: NEURON_RT_DBG_DUMP_INPUTS_ON_ERR."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.logs import Level, log


def dump_inputs(model: str, execution: int, arrays: Sequence[np.ndarray]) -> Path:
    """Write `input<N>.bin`, the bytes of each input, and `model_name.txt` to a new folder of the
    working directory. Source: AWS Neuron documentation, runtime troubleshooting."""
    folder = Path(f"input_dump_{secrets.token_hex(4)}_h_nn_{execution}")
    folder.mkdir()
    (folder / "model_name.txt").write_text(model + "\n", encoding="utf-8")
    for n, array in enumerate(arrays):
        (folder / f"input{n}.bin").write_bytes(array.tobytes())
    log(Level.ERROR, "NRT", "nrt_infodump", f"the inputs are in {folder.resolve()}")
    return folder
