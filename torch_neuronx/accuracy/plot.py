"""The picture of a report: the error of every layer, for every setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch_neuronx.accuracy.report import AccuracyReport, SettingReport
from torch_neuronx.accuracy.table import NOWHERE, elided

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
FLOOR = 1e-9  # errors below are not drawn: a logarithm has no zero
INFINITE = 1e3  # larger errors, and those without bound, are drawn here
LAYER_INCHES = 0.19
LABEL_CHARACTERS = 48
# Colours that are told apart also by the colour-blind (after Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A00")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def draw(report: AccuracyReport, path: Path) -> None:
    """Draw into a file. Raises ImportError, or ValueError (see `AccuracyReport.plot`)."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"plot: the file must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    ran = [s for s in report.settings if s.layers]
    if not ran:
        raise ValueError("plot: a setting must have run, got refusals only")
    figure_class, settings_of = _matplotlib()
    # Text stays text in SVG, and two drawings of one report are the same file.
    with settings_of({"svg.fonttype": "none", "svg.hashsalt": "accuracy", "font.size": 8}):
        layers = _layers(report, ran)
        height = 2.4 + LAYER_INCHES * len(layers)
        figure = figure_class(figsize=(13, height), layout="constrained")
        own, leaving = figure.subplots(1, 2, sharey=True, sharex=True)
        own.set_xscale("log")
        own.set_xlim(*_limits(report, ran))
        _panel(own, report, ran, layers, own_error=True)
        _panel(leaving, report, ran, layers, own_error=False)
        own.set_yticks(range(len(layers)), [elided(y or NOWHERE, LABEL_CHARACTERS) for y in layers])
        own.set_ylim(len(layers) - 0.5, -0.5)
        handles, labels = own.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
        figure.suptitle(f"{report.model}: error of each layer against {report.reference}")
        metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=110, metadata=metadata)


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot: drawing needs matplotlib\n  try: pip install 'torch-neuronx[plot]'"
        ) from error
    return Figure, rc_context


def _layers(report: AccuracyReport, ran: list[SettingReport]) -> list[str]:
    """The layers that any setting touches, in the order in which they end."""
    order = {y.layer: n for n, y in enumerate(ran[0].layers)}
    touched = {y.layer for s in ran for y in s.layers if y.own.relative or y.error.relative}
    return sorted(touched or order, key=lambda layer: order.get(layer, len(order)))


def _limits(report: AccuracyReport, ran: list[SettingReport]) -> tuple[float, float]:
    """The errors that are drawn, and the tolerance, with room on both sides."""
    found = (e.relative for s in ran for y in s.layers for e in (y.own, y.error))
    errors = [min(e, INFINITE) for e in found if e > FLOOR]
    return min(*errors, report.tolerance, 1) / 2, max(*errors, report.tolerance, 0) * 2


def _panel(
    axes: Axes,
    report: AccuracyReport,
    ran: list[SettingReport],
    layers: list[str],
    *,
    own_error: bool,
) -> None:
    style = _Style(ran)
    for setting in ran:
        found = {y.layer: (y.own if own_error else y.error).relative for y in setting.layers}
        rows = [n for n, layer in enumerate(layers) if found.get(layer, 0.0) > FLOOR]
        errors = [min(found[layers[n]], INFINITE) for n in rows]
        line = 0.0 if own_error else 0.8
        axes.plot(errors, rows, label=setting.label, linewidth=line, **style.of(setting))
    axes.axvline(report.tolerance, color="black", linestyle="--", linewidth=0.8)
    infinite = axes.get_xlim()[1] >= INFINITE
    note = f"; {INFINITE:g}: infinite" if infinite else ""
    axes.set_xlabel(f"relative error (dashed: tolerance {report.tolerance:g}{note})")
    title = (
        "this layer cast alone, its inputs exact" if own_error else "all cast: leaving the layer"
    )
    axes.set_title(title, fontsize=9)
    axes.grid(True, which="major", linewidth=0.3)
    axes.set_axisbelow(True)


class _Style:
    """Settings of one operand type share a colour; casts differ by their marker."""

    def __init__(self, settings: list[SettingReport]) -> None:
        self.types = list(dict.fromkeys(s.label.split()[-1] for s in settings))
        self.casts = list(dict.fromkeys(s.label.split()[0] for s in settings))

    def of(self, setting: SettingReport) -> dict[str, Any]:
        kind = self.types.index(setting.label.split()[-1])
        cast = self.casts.index(setting.label.split()[0])
        return {
            "color": COLOURS[kind % len(COLOURS)],
            "marker": MARKERS[cast % len(MARKERS)],
            "fillstyle": "none" if cast % 2 else "full",
            "markersize": 4 + kind % 3,  # so that equal errors do not hide each other
        }
