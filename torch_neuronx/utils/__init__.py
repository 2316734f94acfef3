"""Facts about the machine, under the module path that AWS's packages give them."""

from __future__ import annotations

import re

from runtime.settings import setting


def get_platform_target() -> str:
    """The machine's chip as `--target` names it, such as "inf2" or "trn1".

    That of NEURON_EMULATOR_INSTANCE_TYPE; variants of a chip's instances (trn1n, trn2u) are of one
    platform.
    """
    family = setting("NEURON_EMULATOR_INSTANCE_TYPE").split(".")[0]
    return re.sub(r"(?<=\d)\D+$", "", family)
