"""Every layer of `tf.keras.layers`, by name: argument sets, and what it is called with.

A shape is that of a float input; `Ints` are integers below a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ints:
    """An input of whole numbers from 0 to `below`."""

    shape: tuple[int, ...]
    below: int


@dataclass(frozen=True)
class Layer:
    """Argument sets of a layer, its inputs, and where it runs.

    `where` is `neuron` (nothing is left to TensorFlow), `cpu` (nothing can be compiled), `both`,
    or `nothing` (in inference the layer hands its input on).
    """

    inputs: tuple[Any, ...]
    arguments: tuple[dict[str, Any], ...] = ({},)
    where: str = "neuron"
    listed: bool = False  # whether it takes a list of its inputs


def _layer(*inputs: Any, **keywords: Any) -> Layer:
    return Layer(inputs, **keywords)


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
                *("gelu", "exponential", "hard_sigmoid", "silu", "relu6", "leaky_relu", "mish"),
                *("log_softmax", "hard_silu", "celu", "glu", "log_sigmoid", "hard_tanh"),
                *("soft_shrink", "hard_shrink", "tanh_shrink", "squareplus", "sparse_plus"),
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
            {"bin_boundaries": [0.0], "output_mode": "one_hot"},
        ),
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
    "LeakyReLU": _layer(LINE, arguments=({}, {"negative_slope": 0.1})),
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

# Images are drawn, shifted or coloured at random while a model learns; else they are handed on.
AUGMENTATIONS = (
    *("AugMix", "AutoContrast", "CutMix", "Equalization", "MixUp", "RandAugment"),
    *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast"),
    *("RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"),
    *("RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization"),
    *("RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear"),
    *("RandomTranslation", "RandomZoom"),
)

# By reason: what has no forward of one tensor in inference, or is tested otherwise.
ELSEWHERE = {
    "another name of a layer": (
        *(f"{g}{k}{n}D" for g in ("", "Global") for k in ("AvgPool", "MaxPool") for n in (1, 2, 3)),
        *(f"Convolution{n}D{t}" for n in (1, 2, 3) for t in ("", "Transpose")),
        *(f"SeparableConvolution{n}D" for n in (1, 2)),
    ),
    "not a layer, or the class of all layers": ("Input", "InputLayer", "InputSpec", "Layer"),
    "wraps a layer, a cell or a function: in test_wrappers": (
        *("Bidirectional", "GRUCell", "LSTMCell", "Lambda", "Pipeline", "RNN", "SimpleRNNCell"),
        *("SpectralNormalization", "StackedRNNCells", "TimeDistributed", "Wrapper"),
    ),
    "reads text or looks a table up: in test_text": (
        *("HashedCrossing", "Hashing", "IntegerLookup", "StringLookup", "TextVectorization"),
    ),
    "another framework's": ("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),
    "of bounding boxes": ("MaxNumBoundingBoxes",),
    "draws in inference too": ("RandomCrop", "RandomHeight", "RandomWidth", "Solarization"),
    "made for eager images": ("ContrastLimitedAdaptiveHistogramEqualization",),
}
