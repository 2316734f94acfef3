"""Captured modules, made once for all tests of the data model."""

from __future__ import annotations

import pytest

from tests.hlo import captured

_CAPTURED: dict[str, bytes] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `captured_proto` runs once per captured program."""
    if "captured_proto" in metafunc.fixturenames:
        names = [*(f"torch-{n}" for n in captured.TORCH), *(f"jax-{n}" for n in captured.JAX)]
        metafunc.parametrize("captured_proto", names, indirect=True)


@pytest.fixture
def captured_proto(request: pytest.FixtureRequest) -> bytes:
    """The serialized module of a captured program."""
    name: str = request.param
    if name not in _CAPTURED:
        framework, _, program = name.partition("-")
        if framework == "torch":
            _CAPTURED[name] = captured.of_torch(captured.TORCH[program])
        else:
            function, inputs = captured.JAX[program]
            _CAPTURED[name] = captured.of_jax(function, *inputs)
    return _CAPTURED[name]
