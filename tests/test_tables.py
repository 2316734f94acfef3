"""One table says what an op is; the others are total over it, or say what they leave out."""

from __future__ import annotations

from pathlib import Path

from hlo_frontend.hlo.ops import OPS
from neff.expand import EXPANSIONS
from neff.fold import FOLDS
from neff.lower import INLINED
from neff.metaneff import DATA_TYPES
from neff.ops import ENGINES
from neff.passes.simplify import RULES
from runtime.executable import TORCH_TYPES
from runtime.kernels.table import KERNELS
from runtime.settings import document

ROOT = Path(__file__).parents[1]

# Ops that lowering inlines or expands, or the interpreter handles itself.
NEVER_A_KERNEL = {*INLINED, *EXPANSIONS, "parameter"}


def test_every_op_has_an_engine():
    assert ENGINES.keys() == OPS.keys()


def test_every_op_has_a_kernel_or_never_reaches_one():
    assert KERNELS.keys() | NEVER_A_KERNEL == OPS.keys()
    assert not KERNELS.keys() & NEVER_A_KERNEL


def test_rules_are_for_ops_that_exist():
    assert FOLDS.keys() <= OPS.keys() and RULES.keys() <= OPS.keys()


def test_every_tensor_type_has_a_place_in_the_metaneff():
    assert TORCH_TYPES.keys() <= DATA_TYPES.keys()


def test_the_page_of_settings_is_the_table():
    assert (ROOT / "docs" / "env.md").read_text() == document()


def test_the_environment_is_read_in_one_place():
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in ("hlo_frontend", "neff", "runtime", "torch_neuronx")
        for path in (ROOT / package).rglob("*.py")
        if "environ.get" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers == {"runtime/settings.py"}
