"""Where an operator comes from: the layer that runs and the user's line."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType, FrameType

import torch

_CALL = torch.nn.Module._call_impl.__code__  # every call of a layer has this frame
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARIES = tuple(
    os.path.join(directory, "")
    for directory in (
        os.path.dirname(torch.__file__),
        os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "torch_xla"),
        _OWN,
    )
)
_SITE = sysconfig.get_path("purelib")
_STANDARD = os.path.join(sysconfig.get_path("stdlib"), "")


@dataclass(frozen=True, slots=True)
class Place:
    """The path of a layer (`encoder.layer.0`), and the line of the user's that called it."""

    layer: str = ""
    file: str = ""
    line: int = 0
    function: str = ""

    @property
    def source(self) -> str:
        """`model.py:41`, or an empty string where no line of the user's is known."""
        return f"{os.path.basename(self.file)}:{self.line}" if self.file else ""

    def __str__(self) -> str:
        where = f"from {self.source} in {self.function}" if self.file else ""
        layer = f"in layer {self.layer}" if self.layer else ""
        return ", ".join(part for part in (where, layer) if part)


class Places:
    """Finds the place of the operator that runs now, and numbers the places found.

    The user's line is that of the innermost frame outside torch, torch_xla, this package and the
    standard library. Models of `transformers` or `timm` count as the user's: their line says most.
    """

    def __init__(self, layers: Mapping[int, str], boundary: CodeType) -> None:
        """`layers` has a path for the id of each module; frames beyond `boundary` do not count."""
        self._layers = layers
        self._boundary = boundary
        self._numbers: dict[Place, int] = {}
        self.found: list[Place] = []

    def here(self) -> Place:
        """The place that the current call stack comes from."""
        layer, user = None, None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not self._boundary:
            code = frame.f_code
            if code is _CALL:
                layer = self._layers.get(id(frame.f_locals["self"])) if layer is None else layer
            elif user is None and _is_user(code.co_filename):
                user = frame
            if layer is not None and user is not None:
                break
            frame = frame.f_back
        if user is None:
            return Place(layer or "")
        code = user.f_code
        return Place(layer or "", _short(code.co_filename), user.f_lineno, code.co_name)

    def number(self) -> int:
        """The index in `found` of the current place."""
        place = self.here()
        number = self._numbers.setdefault(place, len(self.found))
        if number == len(self.found):
            self.found.append(place)
        return number


@functools.cache
def _is_user(file: str) -> bool:
    if file.startswith("<"):
        return file.startswith(("<stdin", "<ipython"))
    file = os.path.abspath(file)
    if file.startswith(_LIBRARIES):
        return False
    return not file.startswith(_STANDARD) or file.startswith(_SITE)


@functools.cache
def _short(file: str) -> str:
    """The file relative to where Python found it, so that a module is the same on any machine."""
    if file.startswith("<"):
        return file
    path = os.path.abspath(file)
    roots = [os.path.join(os.path.abspath(entry or "."), "") for entry in sys.path]
    best = max((root for root in roots if path.startswith(root)), key=len, default="")
    return path[len(best) :] if best else os.path.basename(path)
