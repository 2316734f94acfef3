"""Models that are traced, saved and loaded under both Kerases, by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.tfn.judged import normal

DOCUMENT = Path(__file__).parents[3] / "shared/spec/documents/tensorflow_neuron_trace.rst"
K, L = tf.keras, tf.keras.layers
X, Y, Z = (normal(3, 3, seed=seed) for seed in (0, 1, 2))


@dataclass(frozen=True)
class Model:
    """What makes a function and its inputs, and the operators of what is traced of it.

    `large` models, which are the same under both Kerases, are traced under Keras 3 alone.
    """

    make: Callable[[], tuple[Any, Any]]
    operators: tuple[str, ...] = ("NeuronOp",)
    large: bool = False


def on_cpu(x: Any) -> Any:
    """`x` by way of text, which no compiler has; its shape stays known."""
    return tf.ensure_shape(tf.strings.to_number(tf.strings.as_string(x, precision=9)), x.shape)


def encoder(words: int = 16, width: int = 32) -> Any:
    """A block of a transformer's encoder, with the embedding of its words."""
    given = K.Input((words,), dtype="int32")
    embedded = L.Embedding(100, width)(given)
    attended = L.LayerNormalization()(embedded + L.MultiHeadAttention(4, 8)(embedded, embedded))
    wide = L.Dense(64, activation="gelu")(attended)
    return K.Model(given, L.LayerNormalization()(attended + L.Dense(width)(wide)))


def recurrent(cell: str, *, unroll: bool) -> Any:
    given = K.Input((5, 4), batch_size=2)
    made = getattr(L, cell)(6, unroll=unroll, return_sequences=True)(given)
    return K.Model(given, L.Dense(2)(made))


def application(name: str, size: int = 64) -> tuple[Any, Any]:
    """A model of `keras.applications` with random weights, and an image."""
    model = getattr(K.applications, name)(
        weights=None, classifier_activation=None, input_shape=(size, size, 3), classes=10
    )
    image = tf.random.stateless_uniform([1, size, size, 3], [1, 2]) * 255
    return model, image


def three_inputs(a: Any, b: Any, c: Any) -> Any:
    return [a + b, tf.nn.relu(b @ c), a, tf.reduce_sum(c), tf.split(a * c, 3)[1]]


def middle(x: Any) -> Any:
    first = tf.nn.relu(x @ x)
    return on_cpu(first) @ first + first


def diamond(x: Any) -> Any:
    top = tf.nn.relu(x @ x)
    left, right = on_cpu(top), tf.sin(top) @ top
    return left @ right, right


def loop(x: Any) -> Any:
    total = tf.zeros_like(x)
    for step in tf.range(3):
        total += x * tf.cast(step, tf.float32)
    if tf.reduce_sum(total) > 0:
        total = total @ x
    else:
        total -= 1
    return total


WORDS = tf.constant(np.random.default_rng(0).integers(0, 100, (2, 16)), tf.int32)
SPLIT = ("AsString", "NeuronOp", "NeuronOp", "StringToNumber")
MODELS: dict[str, Model] = {
    "a CPU's operator in the middle": Model(lambda: (middle, X), SPLIT),
    "a diamond": Model(lambda: (diamond, X), SPLIT),
    "a loop": Model(lambda: (loop, X)),
    "three inputs and five outputs": Model(lambda: (three_inputs, (X, Y, Z))),
    "a transformer's encoder": Model(lambda: (encoder(), WORDS)),
    **{
        f"{cell}, {'' if unroll else 'not '}unrolled": Model(
            lambda cell=cell, unroll=unroll: (recurrent(cell, unroll=unroll), normal(2, 5, 4))
        )
        for cell in ("LSTM", "GRU")
        for unroll in (True, False)
    },
    **{
        name: Model(lambda name=name: application(name), large=large)
        for name, large in (
            ("ResNet50", True),
            ("MobileNetV3Small", False),
            ("EfficientNetB0", False),
            ("ConvNeXtTiny", True),
        )
    },
}


def models(keras: str) -> dict[str, Model]:
    """Those that are traced under a Keras."""
    return {name: model for name, model in MODELS.items() if keras == "3" or not model.large}


EXAMPLES = ("the document's example", "the document's example that chooses")


def document() -> dict[str, str]:
    """The programs of the document, as they stand."""
    text = DOCUMENT.read_text()
    blocks = re.findall(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", text)
    programs = [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]
    return dict(zip(EXAMPLES, programs, strict=True))
