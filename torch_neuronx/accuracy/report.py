"""What an accuracy report holds: for every setting, the errors of outputs, layers, instructions."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch_neuronx.accuracy.difference import Difference


@dataclass(frozen=True, slots=True)
class InstructionError:
    """An instruction as the dump of the lowered program prints it, and the error of its value.

    `operator` is PyTorch's name for what it belongs to, `source` the user's line (`model.py:41`);
    either may be empty. `incoming` is the largest relative error among its operands.
    """

    text: str
    operator: str
    source: str
    layer: str
    error: Difference
    incoming: float


@dataclass(frozen=True, slots=True)
class LayerError:
    """A layer, by its path in the model; empty for what runs outside every layer.

    `error` is that of the value furthest off (by `relative`) among those that leave the layer.
    `incoming` is the largest relative error among the values that enter it. `own` is as `error`,
    with this layer cast alone and every value that enters it exact: what keeping the layer in
    float32 would save. `origin` is the first instruction whose own error is at least half of it.
    `drift` is the first that exceeds the tolerance while its operands did not, everything cast.
    """

    layer: str
    source: str
    instructions: int
    error: Difference
    incoming: float
    own: Difference
    origin: InstructionError | None
    drift: InstructionError | None


@dataclass(frozen=True, slots=True)
class OutputError:
    """An output of the compiled model, as `trace` would return it."""

    name: str
    shape: str
    error: Difference
    argmax_agreement: float | None


@dataclass(frozen=True, slots=True)
class SettingReport:
    """What a cast setting does to the model. `refusal` says why it does not compile, if so.

    `layers` are in the order in which they end. `compile_seconds` and `run_seconds` are of this
    machine; they say nothing about the chip.
    """

    setting: str
    label: str
    bits: int  # of an operand of the PE array
    outputs: tuple[OutputError, ...] = ()
    layers: tuple[LayerError, ...] = ()
    first_drift: InstructionError | None = None
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    refusal: str = ""

    @property
    def error(self) -> float:
        """The largest relative error of an output; infinite where nothing ran."""
        if self.refusal:
            return math.inf
        return max((o.error.relative for o in self.outputs), default=0.0)

    def worst_layers(self) -> tuple[LayerError, ...]:
        """The layers, that with the largest error of its own first."""
        return tuple(sorted(self.layers, key=lambda y: (-y.own.relative, -y.error.relative)))


@dataclass(frozen=True, slots=True)
class AccuracyReport:
    """Cast settings of one model against one reference.

    `reference` is `fp32`, the captured graph as it is, or `fp64`, the same graph with every
    float widened. `tolerance` bounds relative errors.
    """

    model: str
    reference: str
    tolerance: float
    settings: tuple[SettingReport, ...]

    def within(self) -> tuple[SettingReport, ...]:
        """The settings whose every output stays within the tolerance, the best choice first.

        Best is what takes the fewest bits, then what has the smallest error.
        """
        good = [s for s in self.settings if s.error <= self.tolerance]
        return tuple(sorted(good, key=lambda s: (s.bits, s.error)))

    def recommendation(self) -> str:
        """One or two sentences: which setting stays within the tolerance, else what to mend."""
        good = self.within()
        bound = f"within {self.tolerance:g} of {self.reference}"
        if good and (good[0].bits < 32 or len(self.settings) == 1):
            best, others = good[0], [s.label for s in good[1:]]
            also = f" Also within it: {', '.join(others)}." if others else ""
            return (
                f"{best.setting or 'The default options'} (largest output error "
                f"{best.error:.1e}) stays {bound} in the fewest bits.{also}"
            )
        return f"No cast stays {bound}.{self._obstacle()}"

    def _obstacle(self) -> str:
        """The layer that spoils the cast which comes nearest."""
        casts = [s for s in self.settings if s.bits < 32 and s.layers]
        if not casts:
            return ""
        nearest = min(casts, key=lambda s: s.error)
        worst = nearest.worst_layers()[0]
        where = f" ({worst.source})" if worst.source else ""
        return (
            f" The nearest is {nearest.label}, with {nearest.error:.1e}; by itself the layer "
            f"{worst.layer or 'outside all modules'}{where} is off by {worst.own.relative:.1e}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a number that is not finite is the string `inf` or `nan`."""
        made: dict[str, Any] = _plain(dataclasses.asdict(self))
        for plain, setting in zip(made["settings"], self.settings, strict=True):
            plain["error"] = _plain(setting.error)
        return {**made, "recommendation": self.recommendation()}

    def json(self) -> str:
        return json.dumps(self.as_dict(), indent=2)

    def table(self, layers: int = 5) -> str:
        """The report as text, with the worst `layers` of every setting."""
        from torch_neuronx.accuracy.table import as_text

        return as_text(self, layers)

    def plot(self, path: str | Path) -> None:
        """Draw the error of every layer into a `.png` or `.svg` file.

        Raises ImportError without matplotlib (the extra `plot`), ValueError for another suffix or
        where no setting ran.
        """
        from torch_neuronx.accuracy.plot import draw

        draw(self, Path(path))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
