"""The version of the compiler, which names a directory of the compile cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import hlo_frontend.hlo
import neff

EMULATED = "2.27.0.0"  # the compiler's numbers, in step with the SDK's: 2.32 has compiler 2.27


def _digest() -> str:
    """Eight hex digits of the sources that decide what comes out of the compiler."""
    digest = hashlib.sha256()
    for package in (hlo_frontend.hlo, neff):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


# A change of the compiler's code is another version: nothing it compiled before is taken for new.
__version__ = f"{EMULATED}+{_digest()}"
