"""StableHLO, as text or bytecode, turned into an HLO proto by jaxlib in a process of its own.

MLIR's reader of bytecode may crash on damaged input. The child that runs it (this module as a
program: StableHLO in, HLO proto out) takes nothing down with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hlo_frontend.hlo.errors import HloError

_CONVERT = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); "
    "from hlo_frontend.stablehlo import convert; convert()"
)
_REFUSED = 3  # exit status: the reason is on stdout


def hlo_of_stablehlo(data: bytes) -> bytes:
    """The serialized HloModuleProto of a StableHLO module. Raises HloError with MLIR's reason."""
    command = [sys.executable, "-c", _CONVERT]
    child = subprocess.run(command, input=data, capture_output=True, check=False)
    if child.returncode == 0:
        return child.stdout
    if child.returncode == _REFUSED:
        raise HloError(f"stablehlo: {child.stdout.decode(errors='replace')}")
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
    """The first line, with MLIR's place in the text: `UNKNOWN: -:1:7: error: ...`."""
    line = message.splitlines()[0]
    place, error, what = line.partition(": error: ")
    where = place.removeprefix("UNKNOWN: -:").split(":")
    return f"line {where[0]}: {what}" if error and where[0] not in ("", "0") else what or line
