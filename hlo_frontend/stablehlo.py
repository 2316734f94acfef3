"""StableHLO, as text or bytecode, turned into an HLO proto by jaxlib in a process of its own.

MLIR's reader of bytecode may crash on damaged input. The child that runs it (this module as a
program: StableHLO in, HLO proto out) takes nothing down with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hlo_frontend.hlo.errors import DynamicShapeError, HloError

_CONVERT = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); "
    "from hlo_frontend.stablehlo import convert; convert()"
)
_PLACED = re.compile(r"\w+: (?:([^:\n]*):(\d+):\d+|[^\n]*?): error: ([^\n]*)")
# Operations whose sizes are values: there are none where every dimension is static.
_DYNAMIC = re.compile(r"stablehlo\.dynamic_(?!slice|update_slice)|stablehlo\.real_dynamic_slice")
_REFUSED = 3  # exit status: the reason is on stdout


def hlo_of_stablehlo(data: bytes) -> bytes:
    """The serialized HloModuleProto of a StableHLO module. Raises HloError with MLIR's reason."""
    command = [sys.executable, "-c", _CONVERT]
    child = subprocess.run(command, input=data, capture_output=True, check=False)
    if child.returncode == 0:
        return child.stdout
    if child.returncode == _REFUSED:
        reason = child.stdout.decode(errors="replace")
        if _DYNAMIC.search(reason):
            raise DynamicShapeError(f"stablehlo: dimensions must be static: {reason}")
        raise HloError(f"stablehlo: {reason}")
    if child.returncode < 0:
        raise HloError("stablehlo: damaged: MLIR's reader does not survive it")
    last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    raise HloError(f"stablehlo: jaxlib must be installed and able to read it, got {last}")


def convert() -> None:
    """Read StableHLO from stdin, write the HLO proto to stdout; or the reason why not."""
    from jaxlib import _jax

    data = sys.stdin.buffer.read()
    try:
        computation = _jax.mlir.mlir_module_to_xla_computation(
            data, use_tuple_args=False, return_tuple=False
        )
        made = computation.as_serialized_hlo_module_proto()
    except _jax.JaxRuntimeError as error:
        sys.stdout.write(_reason(str(error)))
        sys.stdout.flush()
        sys.exit(_REFUSED)
    sys.stdout.buffer.write(made)


def _reason(message: str) -> str:
    """The first line, and where it is: of `UNKNOWN: -:1:7: error: what`, `line 1: what`."""
    found = _PLACED.match(message)
    if not found:
        return message.splitlines()[0]
    file, line, what = found.groups()
    if line in (None, "0"):
        return what
    return f"line {line}: {what}" if file == "-" else f"{file}:{line}: {what}"
