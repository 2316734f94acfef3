"""A JAX user lowers a function, compiles it with `neuronx-cc` and runs the NEFF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax import lax

from neff.container import read_neff
from neuronxcc.driver.CommandDriver import main
from runtime.__main__ import main as runtime


def attention(q, k, v):
    return jax.nn.softmax(q @ k.T / np.sqrt(q.shape[-1]).astype(q.dtype), axis=-1) @ v


def newton(x):
    """A while loop whose end depends on the data."""

    def step(state):
        n, y = state
        return n + 1, y - (y * y - x) / (2 * y)

    return lax.while_loop(lambda s: jnp.any(jnp.abs(s[1] ** 2 - x) > 1e-5), step, (0, x))


@jax.custom_jvp
def softplus(x):
    return jnp.log1p(jnp.exp(-jnp.abs(x))) + jnp.maximum(x, 0)


@softplus.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    return softplus(x), jax.nn.sigmoid(x) * t


@jax.jit
def inner(x):
    return jnp.where(x > 0, softplus(x), lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x))


def nested(x):
    """Calls in calls, a derivative, a condition, a scan."""
    total, each = lax.scan(lambda c, row: (c + inner(row), row.max()), jnp.zeros(x.shape[1:]), x)
    return {"total": total, "each": each, "slope": jax.grad(lambda a: inner(a).sum())(x[0])}


def normals(seed):
    """Threefry, as jax.random makes it."""
    return jax.random.normal(jax.random.wrap_key_data(seed), (8,))


def array(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


BF16 = ml_dtypes.bfloat16
# For each function its arguments, and how far the NEFF may be from JAX: other kernels, other order.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], float]] = {
    "attention": (attention, tuple(array(6, 8, seed=n) for n in range(3)), 1e-5),
    "attention in bf16": (
        attention,
        tuple(array(6, 8, dtype=BF16, seed=n) for n in range(3)),
        2e-2,
    ),
    "while loop": (newton, (np.abs(array(5)) + 1,), 1e-5),
    "nested": (nested, (array(3, 4),), 1e-5),
    "random": (normals, (np.array([1, 2], np.uint32),), 1e-6),
    "integers": (lambda x, i: x[i], (array(7, 2), np.array([6, 0, 3], np.int32)), 0),
}


def lowered(function: Callable[..., Any], arguments: tuple[np.ndarray, ...], form: str) -> bytes:
    """The file a JAX user writes, in each form JAX has."""
    jitted = jax.jit(function)
    if form == "portable artifact":
        return bytes(jax.export.export(jitted)(*arguments).mlir_module_serialized)
    stages = jitted.lower(*arguments)
    if form == "StableHLO":
        return stages.as_text().encode()
    if form == "HLO text":
        return stages.as_text(dialect="hlo").encode()
    return bytes(stages.compiler_ir(dialect="hlo").as_serialized_hlo_module_proto())


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def compiled_and_run(data: bytes, arguments: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    Path("f").write_bytes(data)
    assert main(["compile", "f", "--framework=XLA", "--target=trn2", "--output=f.neff"]) == 0
    outputs = read_neff(Path("f.neff").read_bytes()).program.outputs
    words = ["run", "f.neff"]
    for n, value in enumerate(arguments):
        np.save(f"x{n}.npy", value)
        words.append(f"--input=x{n}.npy")
    files = [f"y{n}.npy" for n in range(len(outputs))]
    assert runtime([*words, *(f"--output={f}" for f in files)]) == 0
    return [np.load(f).view(v.shape.numpy) for f, v in zip(files, outputs, strict=True)]


def check(form: str, name: str) -> None:
    function, arguments, tolerance = FUNCTIONS[name]
    expected = jax.tree.leaves(jax.jit(function)(*arguments))
    made = compiled_and_run(lowered(function, arguments, form), arguments)
    for got, wanted in zip(made, expected, strict=True):
        assert got.dtype == wanted.dtype
        wide = np.asarray(wanted, np.float64)
        np.testing.assert_allclose(np.asarray(got, np.float64), wide, tolerance, tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_lowered_function_runs(name):
    check("HLO proto", name)


@pytest.mark.parametrize("form", ["StableHLO", "portable artifact", "HLO text"])
def test_every_form_jax_writes(form):
    check(form, "nested")


def test_a_function_that_jax_leaves_to_lapack_on_the_cpu(capfd):
    x = array(4, 4)
    x = x @ x.T + 4 * np.eye(4, dtype=np.float32)
    Path("cpu").write_bytes(lowered(jnp.linalg.cholesky, (x,), "StableHLO"))
    assert main(["compile", "cpu", "--framework=XLA", "--target=trn2"]) == 1
    assert "the target is 'lapack_" in capfd.readouterr().err
    elsewhere = jax.jit(jnp.linalg.cholesky).trace(x).lower(lowering_platforms=("tpu",))
    (made,) = compiled_and_run(elsewhere.as_text().encode(), (x,))
    np.testing.assert_allclose(made, np.linalg.cholesky(x), 1e-5, 1e-5)


def test_a_symbolic_dimension_is_refused(capfd):
    size = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n"), np.float32)
    exported = jax.export.export(jax.jit(lambda x: x * 2))(size)
    Path("symbolic").write_bytes(exported.mlir_module_serialized)
    assert main(["compile", "symbolic", "--framework=XLA", "--target=trn2"]) == 1
    err = capfd.readouterr().err
    assert err.startswith("[NCC_EMOD025] Dynamic shape is not supported.")
    assert "stablehlo: dimensions must be static: " in err


def test_donated_arguments_are_plain_inputs():
    f = jax.jit(lambda state, x: (state + x, state * x), donate_argnums=0)
    x = array(4)
    data = f.lower(x, x).compiler_ir(dialect="hlo").as_serialized_hlo_module_proto()
    total, product = compiled_and_run(bytes(data), (x, x))
    np.testing.assert_array_equal(total, x + x)
    np.testing.assert_array_equal(product, x * x)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--input must be given for input0, input1"),
        (["--input=x.npy"], "--input must be given for input1"),
        (["--input=x.npy"] * 3, "each --input must be one of input0, input1, got x.npy"),
        (["--input=other=x.npy"], "each --input must be one of input0, input1, got other=x.npy"),
        (["--input=x.npy", "--input=i.npy"], "input input1 must be float32[4], got int32[4]"),
        (["--input=x.npy", "--input=bad"], "bad: must be a .npy file"),
        (["--input=input1=x.npy", "--input=input0=x.npy", "--output=a", "--output=b"],
         "1 --output must be given, or none, got 2"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(words, message, capsys):
    np.save("x.npy", array(4))
    np.save("i.npy", np.zeros(4, np.int32))
    Path("bad").write_text("not an array")
    data = lowered(jnp.add, (array(4), array(4)), "HLO proto")
    Path("f").write_bytes(data)
    assert main(["compile", "f", "--framework=XLA", "--target=inf2", "--output=f.neff"]) == 0
    assert runtime(["run", "f.neff", *words]) == 1
    assert message in capsys.readouterr().err


def test_what_is_no_neff(capsys):
    Path("f").write_bytes(b"no NEFF")
    assert runtime(["run", "f"]) == 1
    assert "python -m runtime: neff: " in capsys.readouterr().err
