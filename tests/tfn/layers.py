"""Every layer class of `tf.keras.layers`, by name: argument sets, and what it is called with.

A shape is that of a float input; other inputs say what they hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class Ints:
    """An input of whole numbers from 0 to `below`."""

    shape: tuple[int, ...]
    below: int


@dataclass(frozen=True)
class Pixels:
    """An input of numbers from 0 to 255."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Words:
    """An input of text."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Layer:
    """Argument sets of a layer, its inputs, and where it runs.

    `where` is `neuron` (nothing is left to TensorFlow), `cpu` (nothing can be compiled), `both`,
    `nothing` (in inference the layer hands its input on), or `refused` (an error says why);
    `legacy` is the same under legacy Keras where it differs.
    """

    inputs: tuple[Any, ...]
    arguments: tuple[dict[str, Any], ...] = ({},)
    where: str = "neuron"
    legacy: str = ""
    more: tuple[dict[str, Any], ...] = ()  # argument sets that only Keras 3 knows
    make: Callable[..., Any] | None = None  # of the arguments, where they are not the layer's own
    pack: Callable[[list[Any]], Any] | None = None  # the inputs as the layer takes them
    call: dict[str, Any] = field(default_factory=dict)  # further arguments of the call

    def place(self, keras: str) -> str:
        return self.legacy if keras == "legacy" and self.legacy else self.where


def _layer(*inputs: Any, listed: bool = False, **keywords: Any) -> Layer:
    return Layer(inputs, **keywords, **({"pack": list} if listed else {}))


def _augmentation(**arguments: Any) -> Layer:
    """What draws, shifts or colours images at random while a model learns, and never else."""
    return _layer(Pixels(IMAGE), arguments=(arguments,), where="nothing", call={"training": False})


def _dense_features(layers: Any) -> Any:
    return layers.DenseFeatures([tf.feature_column.numeric_column("a", shape=[3])])


def _saved_layer(layers: Any) -> Any:
    module = tf.Module()
    module.run = tf.function(lambda x: tf.nn.relu(x) * 2)
    serve = module.run.get_concrete_function(tf.TensorSpec([None, 6, 4]))
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=serve)
        return layers.TFSMLayer(folder, call_endpoint="serving_default")


def _jax_layer(layers: Any) -> Any:
    import jax.numpy as jnp

    made = layers.JaxLayer(
        call_fn=lambda params, inputs: jnp.maximum(inputs, 0) @ jnp.ones((4, 3)),
        init_fn=lambda rng, inputs: {},
    )
    made(tf.zeros((2, 8, 4)))  # it cannot be built where a model is
    return made


LINE, IMAGE, BOX = (2, 8, 4), (2, 8, 8, 3), (2, 6, 6, 6, 2)
CONVS = (
    {"filters": 4, "kernel_size": 3},
    {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"},
    {"filters": 4, "kernel_size": 2, "dilation_rate": 2, "use_bias": False},
)
TRANSPOSED = (
    {"filters": 4, "kernel_size": 3},
    {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
)
DEPTHWISE = (
    {"kernel_size": 3},
    {"kernel_size": 3, "depth_multiplier": 2, "strides": 2, "padding": "same"},
)
SEPARABLE = (
    {"filters": 4, "kernel_size": 3},
    {"filters": 4, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
)
POOLS = ({"pool_size": 2}, {"pool_size": 3, "strides": 1, "padding": "same"})
GLOBAL = ({}, {"keepdims": True})
RECURRENT = (
    {"units": 5},
    {"units": 5, "return_sequences": True, "unroll": True},
    {"units": 5, "return_sequences": True, "go_backwards": True},
)
ADAPTIVE = ({"output_size": 4},)

LAYERS: dict[str, Layer] = {
    "Activation": _layer(
        LINE,
        arguments=tuple(
            {"activation": name}
            for name in (
                *("relu", "sigmoid", "tanh", "softmax", "softplus", "softsign", "elu", "selu"),
                *("gelu", "exponential", "hard_sigmoid", "mish"),
            )
        ),
        more=tuple(
            {"activation": name}
            for name in (
                *("silu", "relu6", "leaky_relu", "log_softmax", "hard_silu", "celu", "glu"),
                *("log_sigmoid", "hard_tanh", "soft_shrink", "hard_shrink", "tanh_shrink"),
                *("squareplus", "sparse_plus"),
            )
        ),
    ),
    "ActivityRegularization": _layer(LINE, where="nothing"),
    "AdaptiveAveragePooling1D": _layer(LINE, arguments=ADAPTIVE),
    "AdaptiveAveragePooling2D": _layer(IMAGE, arguments=ADAPTIVE),
    "AdaptiveAveragePooling3D": _layer(BOX, arguments=({"output_size": 3},)),
    "AdaptiveMaxPooling1D": _layer(LINE, arguments=ADAPTIVE),
    "AdaptiveMaxPooling2D": _layer(IMAGE, arguments=ADAPTIVE),
    "AdaptiveMaxPooling3D": _layer(BOX, arguments=({"output_size": 3},)),
    "Add": _layer(LINE, LINE, listed=True),
    "AdditiveAttention": _layer(LINE, LINE, listed=True),
    "AlphaDropout": _layer(LINE, arguments=({"rate": 0.5},), where="nothing"),
    "Attention": _layer(LINE, LINE, arguments=({}, {"score_mode": "concat"}), listed=True),
    "Average": _layer(LINE, LINE, LINE, listed=True),
    "AveragePooling1D": _layer(LINE, arguments=POOLS),
    "AveragePooling2D": _layer(IMAGE, arguments=POOLS),
    "AveragePooling3D": _layer(BOX, arguments=POOLS),
    "BatchNormalization": _layer(
        IMAGE, arguments=({}, {"scale": False, "center": False}, {"axis": 1})
    ),
    "CategoryEncoding": _layer(
        Ints((2, 4), 5),
        arguments=(
            {"num_tokens": 5, "output_mode": "multi_hot"},
            {"num_tokens": 5, "output_mode": "count"},
        ),
        where="both",
    ),
    "CategoryEncoding one_hot": _layer(
        Ints((4,), 5), arguments=({"num_tokens": 5, "output_mode": "one_hot"},), legacy="both"
    ),
    "CenterCrop": _layer(IMAGE, arguments=({"height": 4, "width": 4},)),
    "Concatenate": _layer(LINE, LINE, arguments=({}, {"axis": 1}), listed=True),
    "Conv1D": _layer(LINE, arguments=(*CONVS, {**CONVS[0], "padding": "causal"})),
    "Conv1DTranspose": _layer(LINE, arguments=TRANSPOSED),
    "Conv2D": _layer((2, 8, 8, 4), arguments=(*CONVS, {**CONVS[0], "groups": 2})),
    "Conv2DTranspose": _layer(IMAGE, arguments=TRANSPOSED),
    "Conv3D": _layer(BOX, arguments=CONVS),
    "Conv3DTranspose": _layer(BOX, arguments=TRANSPOSED),
    "ConvLSTM1D": _layer((2, 3, 8, 4), arguments=CONVS[:1]),
    "ConvLSTM2D": _layer((2, 3, 6, 6, 2), arguments=CONVS[:1]),
    "ConvLSTM3D": _layer((1, 2, 4, 4, 4, 2), arguments=CONVS[:1]),
    "Cropping1D": _layer(LINE, arguments=({"cropping": 2},)),
    "Cropping2D": _layer(IMAGE, arguments=({"cropping": ((1, 2), (0, 3))},)),
    "Cropping3D": _layer(BOX, arguments=({"cropping": 1},)),
    "Dense": _layer(
        LINE,
        arguments=(
            {"units": 5},
            {"units": 5, "activation": "gelu"},
            {"units": 5, "use_bias": False},
        ),
    ),
    "DepthwiseConv1D": _layer(LINE, arguments=DEPTHWISE),
    "DepthwiseConv2D": _layer(IMAGE, arguments=DEPTHWISE),
    "Discretization": _layer(
        LINE,
        arguments=(
            {"bin_boundaries": [-0.5, 0.0, 0.5]},
            {"bin_boundaries": [0.0]},
        ),
        more=({"bin_boundaries": [0.0], "output_mode": "one_hot"},),
    ),
    "Discretization multi_hot": _layer(
        (2, 4), arguments=({"bin_boundaries": [0.0], "output_mode": "multi_hot"},), where="both"
    ),
    "Dot": _layer(LINE, LINE, arguments=({"axes": 2}, {"axes": 1, "normalize": True}), listed=True),
    "Dropout": _layer(LINE, arguments=({"rate": 0.5},), where="nothing"),
    "ELU": _layer(LINE, arguments=({}, {"alpha": 0.3})),
    "EinsumDense": _layer(
        LINE,
        arguments=(
            {"equation": "abc,cd->abd", "output_shape": (None, 5), "bias_axes": "d"},
            {"equation": "abc,cde->abde", "output_shape": (8, 2, 3)},
        ),
    ),
    "Embedding": _layer(Ints((2, 6), 10), arguments=({"input_dim": 10, "output_dim": 4},)),
    "Flatten": _layer(IMAGE),
    "GRU": _layer(LINE, arguments=(*RECURRENT, {"units": 5, "reset_after": False})),
    "GaussianDropout": _layer(LINE, arguments=({"rate": 0.5},), where="nothing"),
    "GaussianNoise": _layer(LINE, arguments=({"stddev": 0.5},), where="nothing"),
    "GlobalAveragePooling1D": _layer(LINE, arguments=GLOBAL),
    "GlobalAveragePooling2D": _layer(IMAGE, arguments=GLOBAL),
    "GlobalAveragePooling3D": _layer(BOX, arguments=GLOBAL),
    "GlobalMaxPooling1D": _layer(LINE, arguments=GLOBAL),
    "GlobalMaxPooling2D": _layer(IMAGE, arguments=GLOBAL),
    "GlobalMaxPooling3D": _layer(BOX, arguments=GLOBAL),
    "GroupNormalization": _layer(
        (2, 4, 4, 8), arguments=({"groups": 4}, {"groups": -1, "scale": False})
    ),
    "GroupQueryAttention": _layer(
        LINE,
        LINE,
        arguments=({"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},),
    ),
    "Identity": _layer(LINE, where="nothing"),
    "LSTM": _layer(LINE, arguments=RECURRENT),
    "LayerNormalization": _layer(LINE, arguments=({}, {"axis": [1, 2]}, {"center": False})),
    "LeakyReLU": _layer(LINE, more=({"negative_slope": 0.1},)),
    "Masking": _layer(LINE),
    "MaxPooling1D": _layer(LINE, arguments=POOLS),
    "MaxPooling2D": _layer(IMAGE, arguments=POOLS),
    "MaxPooling3D": _layer(BOX, arguments=POOLS),
    "Maximum": _layer(LINE, LINE, listed=True),
    "MelSpectrogram": _layer((1, 512), arguments=({"fft_length": 128, "sequence_stride": 64},)),
    "Minimum": _layer(LINE, LINE, listed=True),
    "MultiHeadAttention": _layer(
        LINE,
        LINE,
        arguments=({"num_heads": 2, "key_dim": 3}, {"num_heads": 2, "key_dim": 3, "value_dim": 5}),
    ),
    "Multiply": _layer(LINE, LINE, listed=True),
    "Normalization": _layer(
        LINE,
        arguments=(
            {"mean": 0.5, "variance": 2.0},
            {"axis": None, "mean": 1.0, "variance": 3.0, "invert": True},
        ),
    ),
    "PReLU": _layer(IMAGE, arguments=({}, {"shared_axes": [1, 2]})),
    "Permute": _layer(IMAGE, arguments=({"dims": (3, 1, 2)},)),
    "RMSNormalization": _layer(LINE),
    "ReLU": _layer(
        LINE, arguments=({}, {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2})
    ),
    "RepeatVector": _layer((2, 5), arguments=({"n": 3},)),
    "Rescaling": _layer(IMAGE, arguments=({"scale": 2.0, "offset": -1.0},)),
    "Reshape": _layer(LINE, arguments=({"target_shape": (4, 8)}, {"target_shape": (-1, 2)})),
    "Resizing": _layer(
        IMAGE,
        arguments=(
            {"height": 5, "width": 12},
            {"height": 16, "width": 16, "interpolation": "nearest"},
            {"height": 4, "width": 6, "crop_to_aspect_ratio": True},
        ),
    ),
    "ReversibleEmbedding": _layer(
        Ints((2, 6), 10), arguments=({"input_dim": 10, "output_dim": 4},)
    ),
    "STFTSpectrogram": _layer(
        (1, 512, 1), arguments=({"frame_length": 64, "frame_step": 32, "fft_length": 64},)
    ),
    "SeparableConv1D": _layer(LINE, arguments=SEPARABLE),
    "SeparableConv2D": _layer(IMAGE, arguments=SEPARABLE),
    "SimpleRNN": _layer(LINE, arguments=RECURRENT),
    "Softmax": _layer(LINE, arguments=({}, {"axis": 1})),
    "SpatialDropout1D": _layer(LINE, arguments=({"rate": 0.5},), where="nothing"),
    "SpatialDropout2D": _layer(IMAGE, arguments=({"rate": 0.5},), where="nothing"),
    "SpatialDropout3D": _layer(BOX, arguments=({"rate": 0.5},), where="nothing"),
    "Subtract": _layer(LINE, LINE, listed=True),
    "ThresholdedReLU": _layer(LINE),
    "UnitNormalization": _layer(LINE, arguments=({}, {"axis": 1})),
    "UpSampling1D": _layer(LINE, arguments=({"size": 3},)),
    "UpSampling2D": _layer(IMAGE, arguments=({}, {"interpolation": "bilinear"})),
    "UpSampling3D": _layer(BOX),
    "ZeroPadding1D": _layer(LINE, arguments=({"padding": 2},)),
    "ZeroPadding2D": _layer(IMAGE, arguments=({"padding": ((1, 0), (2, 1))},)),
    "ZeroPadding3D": _layer(BOX, arguments=({"padding": 1},)),
}

# What a layer is made of, where it is not of arguments.
SEQUENCE = (2, 6, 4)
LAYERS |= {
    "Bidirectional": _layer(SEQUENCE, make=lambda L: L.Bidirectional(L.LSTM(3))),
    "DenseFeatures": _layer((2, 3), make=_dense_features, pack=lambda given: {"a": given[0]}),
    "GRUCell": _layer(SEQUENCE, make=lambda L: L.RNN(L.GRUCell(3))),
    "LSTMCell": _layer(SEQUENCE, make=lambda L: L.RNN(L.LSTMCell(3), return_sequences=True)),
    "Lambda": _layer(SEQUENCE, make=lambda L: L.Lambda(lambda x: x * 2)),
    "Pipeline": _layer(SEQUENCE, make=lambda L: L.Pipeline([L.Rescaling(2.0), L.Rescaling(3.0)])),
    "RNN": _layer(SEQUENCE, make=lambda L: L.RNN([L.SimpleRNNCell(3), L.GRUCell(2)])),
    "SimpleRNNCell": _layer(SEQUENCE, make=lambda L: L.RNN(L.SimpleRNNCell(3))),
    "SpectralNormalization": _layer(SEQUENCE, make=lambda L: L.SpectralNormalization(L.Dense(3))),
    "StackedRNNCells": _layer(
        SEQUENCE, make=lambda L: L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.LSTMCell(2)]))
    ),
    "TFSMLayer": _layer(SEQUENCE, make=_saved_layer),
    "TimeDistributed": _layer(SEQUENCE, make=lambda L: L.TimeDistributed(L.Dense(3))),
}

# What reads text stays on the CPU; what looks a table up is refused.
TEXT, COLUMN = Words((("a b", "c"), ("d", "e f"))), Words((("a b",), ("c d",)))
LAYERS |= {
    "HashedCrossing": Layer(
        (COLUMN, Ints((2, 1), 9)),
        ({"num_bins": 5}, {"num_bins": 5, "output_mode": "one_hot"}),
        "both",
        pack=tuple,
    ),
    "Hashing": Layer((TEXT,), ({"num_bins": 7}, {"num_bins": 7, "salt": 3}), "cpu"),
    "Hashing multi_hot": Layer((TEXT,), ({"num_bins": 7, "output_mode": "multi_hot"},), "both"),
    "Hashing of numbers": Layer((Ints((2, 3), 900),), ({"num_bins": 7},), "cpu"),
    "IntegerLookup": Layer((Ints((2, 3), 9),), ({"vocabulary": [1, 7]},), "refused"),
    "StringLookup": Layer(
        (TEXT,),
        ({"vocabulary": ["c", "d"]}, {"vocabulary": ["c", "d"], "output_mode": "multi_hot"}),
        "refused",
    ),
    "StringLookup invert": Layer(
        (Ints((2, 3), 3),), ({"vocabulary": ["c", "d"], "invert": True},), "refused"
    ),
    "TextVectorization": Layer(
        (COLUMN,), ({"vocabulary": ["a", "b"], "output_sequence_length": 4},), "refused"
    ),
}

FACTOR = {"factor": 0.2}
LAYERS |= {
    "AugMix": _augmentation(),
    "AutoContrast": Layer((Pixels(IMAGE),), call={"training": False}),
    "ContrastLimitedAdaptiveHistogramEqualization": Layer(
        (Pixels(IMAGE),), ({"tile_grid_size": (2, 2)},), call={"training": False}
    ),
    "CutMix": _augmentation(),
    "Equalization": _augmentation(),
    "MaxNumBoundingBoxes": Layer(
        (Pixels(IMAGE), (2, 3, 4), (2, 3)),
        ({"max_number": 4, "bounding_box_format": "xyxy"},),
        pack=lambda given: {
            "images": given[0],
            "bounding_boxes": {"boxes": given[1], "labels": given[2]},
        },
    ),
    "MixUp": _augmentation(),
    "RandAugment": _augmentation(),
    "RandomBrightness": _augmentation(**FACTOR),
    "RandomColorDegeneration": _augmentation(**FACTOR),
    "RandomColorJitter": _augmentation(),
    "RandomContrast": _augmentation(**FACTOR),
    "RandomCrop": Layer(  # legacy Keras chooses between what it draws and the middle in the graph
        (Pixels(IMAGE),),
        ({"height": 4, "width": 6}, {"height": 12, "width": 12}),
        "nothing",
        "refused",
        call={"training": False},
    ),
    "RandomElasticTransform": _augmentation(),
    "RandomErasing": _augmentation(),
    "RandomFlip": _augmentation(),
    "RandomGaussianBlur": _augmentation(),
    "RandomGrayscale": _augmentation(),
    "RandomHeight": _augmentation(**FACTOR),
    "RandomHue": _augmentation(**FACTOR),
    "RandomInvert": _augmentation(),
    "RandomPerspective": _augmentation(),
    "RandomPosterization": _augmentation(factor=4),
    "RandomRotation": _augmentation(**FACTOR),
    "RandomSaturation": _augmentation(**FACTOR),
    "RandomSharpness": _augmentation(**FACTOR),
    "RandomShear": _augmentation(),
    "RandomTranslation": _augmentation(height_factor=0.2, width_factor=0.2),
    "RandomWidth": _augmentation(**FACTOR),
    "RandomZoom": _augmentation(height_factor=0.2),
    "Solarization": _augmentation(),
}

LAYERS |= {
    "JaxLayer": _layer((2, 8, 4), make=_jax_layer, where="cpu"),
    "LocallyConnected1D": _layer(LINE, arguments=({"filters": 3, "kernel_size": 3},)),
    "LocallyConnected2D": _layer(
        IMAGE,
        arguments=(
            {"filters": 3, "kernel_size": 3},
            {"filters": 3, "kernel_size": 3, "implementation": 2},
        ),
    ),
    "LocallyConnected2D of sparse weights": _layer(
        IMAGE, arguments=({"filters": 3, "kernel_size": 3, "implementation": 3},), where="both"
    ),
}

# Other names of layers.
ALIASES = {
    **{
        f"{g}{short}{n}D": f"{g}{full}{n}D"
        for g in ("", "Global")
        for short, full in (("AvgPool", "AveragePooling"), ("MaxPool", "MaxPooling"))
        for n in (1, 2, 3)
    },
    **{f"Convolution{n}D{t}": f"Conv{n}D{t}" for n in (1, 2, 3) for t in ("", "Transpose")},
    **{f"SeparableConvolution{n}D": f"SeparableConv{n}D" for n in (1, 2)},
}

# By reason: what has no forward in inference.
NO_FORWARD = {
    "a function that makes a tensor": ("Input",),
    "describes an input": ("InputLayer", "InputSpec"),
    "the class of other classes": ("AbstractRNNCell", "Layer", "Wrapper"),
    "needs another framework than TensorFlow and JAX": ("FlaxLayer", "TorchModuleWrapper"),
}

# What one of the Kerases has alone.
ONLY = {
    "3": (
        *(f"Adaptive{kind}Pooling{n}D" for kind in ("Average", "Max") for n in (1, 2, 3)),
        *("AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix"),
        *("Equalization", "FlaxLayer", "GroupQueryAttention", "JaxLayer", "MaxNumBoundingBoxes"),
        *("MelSpectrogram", "MixUp", "Pipeline", "RMSNormalization", "RandAugment"),
        *("RandomColorDegeneration", "RandomColorJitter", "RandomElasticTransform"),
        *("RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert"),
        *("RandomPerspective", "RandomPosterization", "RandomSaturation", "RandomSharpness"),
        *("RandomShear", "ReversibleEmbedding", "STFTSpectrogram", "Solarization", "TFSMLayer"),
        "TorchModuleWrapper",
    ),
    "legacy": ("AbstractRNNCell", "DenseFeatures", "LocallyConnected1D", "LocallyConnected2D"),
}


def layer_class(name: str) -> str:
    """The class of an entry, whose name may say more."""
    return name.partition(" ")[0]


def has(keras: str, name: str) -> bool:
    """Whether a Keras has a layer of that name."""
    return all(keras == one or layer_class(name) not in names for one, names in ONLY.items())


def cases(keras: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The entry and the arguments of each case, by its name."""
    return {
        f"{name}-{number}": (name, arguments)
        for name, layer in LAYERS.items()
        if has(keras, name)
        for number, arguments in enumerate(
            (*layer.arguments, *(layer.more if keras == "3" else ()))
        )
    }
