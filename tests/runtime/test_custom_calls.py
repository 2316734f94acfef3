"""Custom calls against PyTorch, and what is refused of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from runtime.kernels.custom_call import TARGETS
from runtime.kernels.kind import UnsupportedInstructionError
from tests.runtime.test_kernels import run

SPEC = Path(__file__).parents[2].parent / "shared" / "spec" / "neuron_api.md"
torch.manual_seed(0)
X, G = torch.randn(3, 5), torch.randn(3, 5)


def call(target: str, shape: str, *operands: torch.Tensor, config: str = "") -> list[np.ndarray]:
    """The results of a custom call."""
    from hlo_frontend.hlo.literal import Literal

    arrays = [o.numpy() for o in operands]
    lines = [f"p{n} = {Literal.of(a).shape} parameter({n})" for n, a in enumerate(arrays)]
    names = ", ".join(f"p{n}" for n in range(len(arrays)))
    quoted = config.replace('"', r"\"")
    extra = f', backend_config="{quoted}"' if config else ""
    lines.append(f'ROOT r = {shape} custom-call({names}), custom_call_target="{target}"{extra}')
    return run("ENTRY e {\n" + "\n".join(lines) + "\n}", *arrays)


def gradient(function, x: torch.Tensor, upstream: torch.Tensor) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    function(leaf).backward(upstream)
    return leaf.grad


S = X.softmax(-1)
IMAGE = torch.randn(2, 4, 6, 3)  # batch, height, width, channels


def resized(mode: str, size: tuple[int, int], aligned: bool | None = None) -> torch.Tensor:
    image = IMAGE.permute(0, 3, 1, 2)
    return F.interpolate(image, size, mode=mode, align_corners=aligned).permute(0, 2, 3, 1)


CASES = {
    "AwsNeuronErf": [((X,), "", X.erf())],
    "AwsNeuronGelu": [((X,), "", F.gelu(X))],
    "AwsNeuronGeluApprxTanh": [((X,), "", F.gelu(X, approximate="tanh"))],
    "AwsNeuronGeluBackward": [((G, X), "", gradient(F.gelu, X, G))],
    "AwsNeuronSilu": [((X,), "", F.silu(X))],
    "AwsNeuronSiluBackward": [((G, X), "", gradient(F.silu, X, G))],
    "AwsNeuronSoftmax": [((X,), "", S), ((X,), "1", S), ((X,), "0", X.softmax(0))],
    "AwsNeuronSoftmaxBackward": [((G, S), "", gradient(lambda x: x.softmax(-1), X, G))],
    "AwsNeuronRmsNorm": [
        ((X, G[0], torch.tensor(1e-5)), "1", F.rms_norm(X, (5,), G[0], 1e-5)),
    ],
    "AwsNeuronIntMatmult": [
        ((torch.arange(6, dtype=torch.int8).view(2, 3), torch.ones(3, 2, dtype=torch.int8)), "",
         torch.tensor([[3, 3], [12, 12]], dtype=torch.int32)),
    ],
    "AwsNeuronArgMax": [
        ((X,), "", X.argmax(1).int()),
        ((X,), "0", X.argmax(0, keepdim=True).int()),
    ],
    "AwsNeuronArgMin": [((X,), "1", X.argmin(1).int())],
    "ResizeBilinear": [
        ((IMAGE,), '"10"', resized("bilinear", (7, 9), True)),
        ((IMAGE,), "01", resized("bilinear", (8, 3), False)),
    ],
    "ResizeNearest": [
        ((IMAGE,), '"00"', resized("nearest", (8, 9))),
        ((IMAGE,), "01", resized("nearest-exact", (8, 9))),
    ],
    "ResizeNearestGrad": [
        ((torch.ones(2, 8, 9, 3),), "00",
         gradient(lambda x: F.interpolate(x, (8, 9)), IMAGE.permute(0, 3, 1, 2),
                  torch.ones(2, 3, 8, 9)).permute(0, 2, 3, 1)),
    ],
    "AwsNeuronLNCShardingConstraint": [((X,), "", X)],
    "AwsNeuronTransferWithStaticRing": [((X,), "", X)],
    "NeuronBoundaryMarker-Start": [((X,), "", X)],
    "Sharding": [((X,), "", X)],
    "mhlo.erf": [((X,), "", X.erf())],
    "mhlo.sinh": [((X,), "", X.sinh())],
}  # fmt: skip


def shape_of(t: torch.Tensor) -> str:
    dtype = {torch.float32: "f32", torch.int32: "s32"}[t.dtype]
    return f"{dtype}[{','.join(map(str, t.shape))}]"


@pytest.mark.parametrize(
    ("target", "operands", "config", "expected"),
    [
        pytest.param(target, *case, id=f"{target}-{n}")
        for target, cases in CASES.items()
        for n, case in enumerate(cases)
    ],
)
def test_a_target_computes_what_torch_does(target, operands, config, expected):
    (made,) = call(target, shape_of(expected), *operands, config=config)
    np.testing.assert_allclose(made, expected.contiguous().numpy(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("target", ["AwsNeuronTopK", "TopK", "mhlo.topk"])
def test_top_k(target):
    values, positions = call(target, "(f32[3,2], s32[3,2])", X)
    expected = X.topk(2)
    np.testing.assert_array_equal(values, expected.values.numpy())
    np.testing.assert_array_equal(positions, expected.indices.int().numpy())
    values, _ = call(target, "(f32[3,2], s32[3,2])", X, config="{largest = false}")
    np.testing.assert_array_equal(values, X.topk(2, largest=False).values.numpy())


def test_qr_is_a_factorization():
    a = torch.randn(4, 3)
    packed, tau = call("Qr", "(f32[4,3], f32[3])", a)
    q = call("ProductOfElementaryHouseholderReflectors", "f32[4,3]",
             torch.tensor(packed), torch.tensor(tau))[0]  # fmt: skip
    np.testing.assert_allclose(q @ np.triu(packed[:3]), a.numpy(), atol=1e-5)


def test_eigh_is_a_factorization():
    a = torch.randn(4, 4)
    a = a + a.T
    vectors, values = call("Eigh", "(f32[4,4], f32[4])", a, config="1,1,100,0.000001")
    np.testing.assert_allclose(vectors * values @ vectors.T, a.numpy(), atol=1e-4)


def test_device_print_shows_its_operand(capfd):
    (made,) = call("AwsNeuronDevicePrint", "f32[2]", torch.tensor([1.5, 2.5]), config="here")
    assert made.tolist() == [1.5, 2.5]
    assert "AwsNeuronDevicePrint here[0]: [1.5 2.5]" in capfd.readouterr().out


REFUSED = [
    ("AwsNeuronGelu", "f32[3,5]", (X, X), "", "there must be 1 operands, got 2"),
    ("AwsNeuronSoftmax", "f32[3,5]", (X,), "2", "a dimension of 2, or nothing, got 2"),
    ("AwsNeuronRmsNorm", "f32[3,5]", (X, X, X[0, 0]), "", r"hold 5 numbers and epsilon 1, got"),
    ("AwsNeuronIntMatmult", "f32[3,5]", (X, X), "", "two matrices that multiply"),
    ("AwsNeuronArgMax", "s32[4]", (X,), "", r"result must hold \[3\], got s32\[4\]"),
    ("AwsNeuronTopK", "f32[3,2]", (X,), "", "result must be values and positions"),
    ("AwsNeuronTopK", "(f32[3,2], s32[3,2])", (X,), "3", "must be the 2 of the result, got 3"),
    ("Sharding", "f32[5]", (X,), "", r"results must be its operands, \[\[3, 5\]\], got f32\[5\]"),
    ("ResizeNearest", "f32[2,2,2,2]", (IMAGE,), "11", "backend_config must be 00, 01 .* got '11'"),
    ("ResizeNearest", "f32[3,5]", (X,), "00", "there must be one image of 4 dimensions"),
    ("AwsNeuronCollectiveMatmul", "f32[3,5]", (X,), "", "not built: it needs several NeuronCores"),
    ("AwsNeuronDropoutMaskV1", "f32[3,5]", (X,), "", "not built: no document says what its op"),
]


@pytest.mark.parametrize(("target", "shape", "operands", "config", "message"), REFUSED)
def test_a_call_of_another_form_is_refused(target, shape, operands, config, message):
    with pytest.raises(UnsupportedInstructionError, match=f"{target}.*{message}"):
        call(target, shape, *operands, config=config)


def test_every_documented_target_is_computed_or_refused_by_name():
    (line,) = [t for t in SPEC.read_text().splitlines() if t.startswith("Recognised custom-call")]
    names = re.findall(r"[\w-]+", line.split("`")[3])
    documented = set()
    for name in names:
        if name in ("Start", "End", "-", "Forward", "Backward"):
            continue
        if name.startswith("AwsNeuronModuleMarker"):
            ends = ("Start-Forward", "Start-Backward", "End-Forward", "End-Backward")
            documented |= {f"AwsNeuronModuleMarker{end}" for end in ends}
        elif name.startswith("NeuronBoundaryMarker"):
            documented |= {"NeuronBoundaryMarker-Start", "NeuronBoundaryMarker-End"}
        else:
            documented.add(name)
    assert len(documented) > 25 and documented <= TARGETS.keys()
