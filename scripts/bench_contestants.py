"""What each contestant makes of a PyTorch module: a function of the module's inputs."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

Inputs = tuple[torch.Tensor, ...]
Ready = Callable[[], Any]  # a call with the inputs it was made for


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to run a model, the distribution it is of, and how far it may be from eager fp32."""

    name: str
    distribution: str
    make: Callable[[nn.Module, Inputs], Ready]
    tolerance: float
    ours: bool = False

    @property
    def version(self) -> str | None:
        """Which is installed, if any."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


def threads() -> int:
    return torch.get_num_threads()


def _eager(module: nn.Module, inputs: Inputs) -> Ready:
    return lambda: module(*inputs)


def _inductor(module: nn.Module, inputs: Inputs) -> Ready:
    import torch._inductor.config as config

    config.freezing = True
    compiled = torch.compile(module)
    return lambda: compiled(*inputs)


def _inductor_bf16(module: nn.Module, inputs: Inputs) -> Ready:
    compiled = _inductor(module, inputs)

    def call() -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return compiled()

    return call


def _onnx_runtime(module: nn.Module, inputs: Inputs) -> Ready:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    with tempfile.TemporaryDirectory(prefix="neuron-bench-") as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(module, inputs, file, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    return lambda: session.run(None, feed)


def _openvino(module: nn.Module, inputs: Inputs, precision: str) -> Ready:
    import openvino

    if any(isinstance(m, nn.LSTM) for m in module.modules()):  # an exported one is taken apart
        graph = openvino.convert_model(module, example_input=inputs)
    else:
        graph = openvino.convert_model(torch.export.export(module, inputs))
    for node, tensor in zip(graph.inputs, inputs, strict=True):
        node.get_node().set_partial_shape(openvino.PartialShape(list(tensor.shape)))
    graph.validate_nodes_and_infer_types()
    hints = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads(),
    }
    request = openvino.Core().compile_model(graph, "CPU", hints).create_infer_request()
    given = [tensor.numpy() for tensor in inputs]

    def call() -> Any:
        made = request.infer(given, share_inputs=True, share_outputs=True)
        return [made[n] for n in range(len(made))]

    return call


def _ours(module: nn.Module, inputs: Inputs, cast: str) -> Ready:
    import torch_neuronx

    traced = torch_neuronx.trace(module, inputs, compiler_args=f"--auto-cast={cast}")
    return lambda: traced(*inputs)


# Of the largest magnitude of an output: a ResNet with random weights magnifies roundings a lot.
FP32, BF16 = 1e-3, 0.25
CONTESTANTS: dict[str, Contestant] = {
    c.name: c
    for c in (
        Contestant("eager", "torch", _eager, FP32),
        Contestant("inductor", "torch", _inductor, FP32),
        Contestant("inductor-bf16", "torch", _inductor_bf16, BF16),
        Contestant("onnxruntime", "onnxruntime", _onnx_runtime, FP32),
        Contestant("openvino", "openvino", lambda m, i: _openvino(m, i, "f32"), FP32),
        Contestant("openvino-bf16", "openvino", lambda m, i: _openvino(m, i, "bf16"), BF16),
        Contestant("ours", "torch-neuronx", lambda m, i: _ours(m, i, "none"), FP32, True),
        Contestant("ours-bf16", "torch-neuronx", lambda m, i: _ours(m, i, "matmult"), BF16, True),
    )
}
