"""A SavedModel answering requests that look like those to TensorFlow Serving's REST predict API."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SIGNATURE = "serving_default"


class RequestError(Exception):
    """The request cannot be answered; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Served:
    """The versions of a model, by number."""

    name: str
    versions: Mapping[int, Any]

    def version(self, number: int | None) -> Any:
        """A version; the newest where none is asked for. Raises RequestError (404)."""
        wanted = max(self.versions) if number is None else number
        if wanted not in self.versions:
            raise RequestError(
                404, f"Servable not found for request: Specific({self.name}, {wanted})"
            )
        return self.versions[wanted]


def load(name: str, base_path: str | os.PathLike[str]) -> Served:
    """The SavedModels in the numbered folders of `base_path`, or the one that it is.

    Raises FileNotFoundError where there is none.
    """
    base = Path(base_path)
    if (base / "saved_model.pb").is_file():
        return Served(name, {1: tf.saved_model.load(str(base))})
    folders = {
        int(folder.name): folder
        for folder in sorted(base.glob("*"))
        if folder.name.isdecimal() and (folder / "saved_model.pb").is_file()
    }
    if not folders:
        raise FileNotFoundError(
            f"serve: {base} must be a SavedModel, or have some in folders named by their version"
        )
    return Served(name, {n: tf.saved_model.load(str(f)) for n, f in folders.items()})


def status(served: Served, number: int | None) -> dict[str, Any]:
    """The answer to a question for a model's state."""
    served.version(number)
    numbers = sorted(served.versions, reverse=True) if number is None else [number]
    return {
        "model_version_status": [
            {
                "version": str(n),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for n in numbers
        ]
    }


def metadata(served: Served, number: int | None) -> dict[str, Any]:
    """The answer to a question for a model's signatures."""
    model = served.version(number)
    signatures = {name: _described(made) for name, made in model.signatures.items()}
    return {
        "model_spec": {
            "name": served.name,
            "signature_name": "",
            "version": str(number or max(served.versions)),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _described(signature: Any) -> dict[str, Any]:
    return {
        "inputs": {n: _tensor(s) for n, s in _inputs(signature).items()},
        "outputs": {n: _tensor(s) for n, s in signature.structured_outputs.items()},
        "method_name": "tensorflow/serving/predict",
    }


# Element types that a DataType calls otherwise.
DATA_TYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF"}


def _tensor(spec: Any) -> dict[str, Any]:
    sizes = [{"size": str(-1 if n is None else n), "name": ""} for n in spec.shape]
    name = tf.as_dtype(spec.dtype).name
    return {
        "dtype": DATA_TYPES.get(name, f"DT_{name.upper()}"),
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": spec.name,
    }


def _inputs(signature: Any) -> Mapping[str, tf.TensorSpec]:
    found: Mapping[str, tf.TensorSpec] = signature.structured_input_signature[1]
    return found


def parsed(body: bytes) -> Any:
    """The JSON of a request. Raises RequestError (400) where it is none."""
    try:
        return json.loads(body)
    except ValueError as error:  # not JSON, or not UTF-8
        raise RequestError(400, f"JSON Parse error: {error}") from error


def predict(served: Served, number: int | None, request: Any) -> dict[str, Any]:
    """The answer to a request with `instances` (a list of rows) or `inputs` (whole tensors).

    Raises RequestError: 400 for what does not fit the signature.
    """
    if not isinstance(request, Mapping):
        raise RequestError(400, "JSON Parse error: the request must be an object")
    given = [kind for kind in ("instances", "inputs") if kind in request]
    if len(given) != 1:
        raise RequestError(400, "Missing or both of 'instances' and 'inputs': one must be given")
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError(400, "'signature_name' key must be a string value")
    name = name or SIGNATURE
    signatures = served.version(number).signatures
    if name not in signatures:
        raise RequestError(400, f"Serving signature name: {name!r} not found in signature def")
    signature = signatures[name]
    rows = given == ["instances"]
    values = request[given[0]]
    tensors = _columns(signature, _by_name(signature, values) if rows else values)
    try:
        made = signature(**tensors)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise RequestError(400, _reason(error)) from error
    except tf.errors.OpError as error:
        raise RequestError(503, _reason(error)) from error
    outputs = {n: _plain(t.numpy()) for n, t in made.items()}
    return {"predictions": _rows(outputs)} if rows else {"outputs": _alone(outputs)}


def _reason(error: Exception) -> str:
    """What went wrong, of a message that lists where in the program before it, and in the graph."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    return lines[-1]


def _by_name(signature: Any, rows: Any) -> Any:
    """Rows as columns: of objects by the names in them, of values the one input's."""
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise RequestError(400, "'instances' must be a list with at least one element")
    names = set(_inputs(signature))
    if not all(isinstance(row, Mapping) and "b64" not in row for row in rows):
        return rows
    if any(set(row) != names for row in rows):
        raise RequestError(
            400, f"every instance must have the inputs {sorted(names)}, got {sorted(rows[0])}"
        )
    return {name: [row[name] for row in rows] for name in names}


def _columns(signature: Any, values: Any) -> dict[str, tf.Tensor]:
    specs = _inputs(signature)
    if not (isinstance(values, Mapping) and "b64" not in values):
        if len(specs) != 1:
            raise RequestError(400, f"the inputs {sorted(specs)} must be given by name")
        values = {next(iter(specs)): values}
    if set(values) != set(specs):
        raise RequestError(400, f"the inputs must be {sorted(specs)}, got {sorted(values)}")
    return {name: _as_tensor(name, values[name], spec) for name, spec in specs.items()}


def _as_tensor(name: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    try:
        decoded = _decoded(value)
        _check_integers(decoded, spec.dtype)
        return tf.constant(decoded, spec.dtype)
    except (ValueError, TypeError) as error:
        raise RequestError(
            400, f"input {name!r} must be a {spec.dtype.name} tensor: {error}"
        ) from error


def _check_integers(value: Any, dtype: tf.DType) -> None:
    """TensorFlow itself cuts off the upper bits of those that do not fit."""
    if isinstance(value, list):
        for one in value:
            _check_integers(one, dtype)
    elif dtype.is_integer and isinstance(value, int) and not dtype.min <= value <= dtype.max:
        raise ValueError(f"{value} is not between {dtype.min} and {dtype.max}")


def _decoded(value: Any) -> Any:
    """JSON with the bytes that are in `{"b64": ...}`."""
    if isinstance(value, Mapping):
        if set(value) != {"b64"}:
            raise ValueError(f"an object in a tensor must be {{'b64': text}}, got {sorted(value)}")
        return base64.b64decode(value["b64"], validate=True)
    return [_decoded(v) for v in value] if isinstance(value, list) else value


def _plain(array: np.ndarray) -> Any:
    """An array as JSON has it."""
    if array.dtype.kind in "OS":  # bytes
        return [_plain(np.asarray(v)) for v in array] if array.ndim else _text(array.item())
    return array.astype(np.float32).tolist() if array.dtype.kind == "V" else array.tolist()


def _text(value: bytes) -> Any:
    """Bytes as text; those that are none in base 64, as in a request."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _rows(outputs: Mapping[str, Any]) -> list[Any]:
    if not all(isinstance(v, list) for v in outputs.values()):
        raise RequestError(400, "the outputs have no rows; try 'inputs' in place of 'instances'")
    alone = _alone(outputs)
    if alone is not outputs:
        return list(alone)
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def _alone(outputs: Mapping[str, Any]) -> Any:
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
