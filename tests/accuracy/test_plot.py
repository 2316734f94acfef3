"""The picture: files that open, with the names a reader needs."""

from __future__ import annotations

import itertools
import math
import struct
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from torch_neuronx.accuracy import AccuracyReport, Difference, LayerError, SettingReport

SVG = "{http://www.w3.org/2000/svg}"


def off(relative: float) -> Difference:
    return Difference(relative, relative, relative)


def setting(label: str, errors: list[float]) -> SettingReport:
    layers = tuple(
        LayerError(f"model.block.{n}.dense", "", 1, off(2 * e), e, off(e), None, None)
        for n, e in enumerate(errors)
    )
    return SettingReport(f"--auto-cast={label}", label, 16, (), layers)


def report(*settings: SettingReport) -> AccuracyReport:
    return AccuracyReport("Sample", "fp32", 1e-2, settings)


HUNDRED = report(
    setting("matmult bf16", [1e-3 * (1 + n % 7) for n in range(100)]),
    setting("all bf16", [2e-3 * (1 + n % 5) for n in range(99)] + [math.inf]),
    SettingReport("--auto-cast=most", "most", 32, refusal="no such cast"),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A hundred layers as SVG."""
    path = tmp_path_factory.mktemp("plot") / "errors.svg"
    HUNDRED.plot(path)
    return path


def texts(path) -> list[str]:
    return [t.text or "" for t in ElementTree.parse(path).iter(f"{SVG}text")]


def test_an_svg_names_every_layer_and_setting(drawn):
    found = texts(drawn)
    assert {f"model.block.{n}.dense" for n in range(100)} <= set(found)
    assert {"matmult bf16", "all bf16"} <= set(found)
    assert "most" not in found  # it was refused: there is nothing to draw
    assert "Sample: error of each layer against fp32" in found
    assert "relative error (dashed: tolerance 0.01; 1000: infinite)" in found


def test_layers_do_not_run_into_each_other(drawn):
    heights = []
    for text in ElementTree.parse(drawn).iter(f"{SVG}text"):
        if (text.text or "").startswith("model.block."):
            heights.append(float(text.attrib["y"]))
    assert heights == sorted(heights)
    assert min(b - a for a, b in itertools.pairwise(heights)) > 8  # points of a line


def test_one_report_is_one_file(drawn, tmp_path):
    again = tmp_path / "again.svg"
    HUNDRED.plot(again)
    assert again.read_bytes() == drawn.read_bytes()


def test_a_png_is_as_high_as_its_layers_need(tmp_path):
    sizes = []
    few = report(setting("all bf16", [1e-3, 1e-2]))
    for n, drawn in enumerate((few, HUNDRED)):
        path = tmp_path / f"{n}.png"
        drawn.plot(str(path))
        data = path.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
        sizes.append(struct.unpack(">II", data[16:24]))
    assert sizes[0][0] == sizes[1][0] > 1000
    assert sizes[0][1] < 500 < 1500 < sizes[1][1]


def test_where_nothing_is_off_the_layers_are_still_named(tmp_path):
    path = tmp_path / "none.svg"
    report(setting("none", [0.0, 0.0])).plot(path)
    assert {"model.block.0.dense", "model.block.1.dense"} <= set(texts(path))


def test_only_png_and_svg_are_drawn(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg, got '.*errors\.pdf'"):
        HUNDRED.plot(tmp_path / "errors.pdf")


def test_refusals_alone_cannot_be_drawn(tmp_path):
    with pytest.raises(ValueError, match="a setting must have run, got refusals only"):
        replace(HUNDRED, settings=HUNDRED.settings[2:]).plot(tmp_path / "errors.svg")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib\n  try: pip install .*\[plot\]"):
        HUNDRED.plot(tmp_path / "errors.svg")
    assert not (tmp_path / "errors.svg").exists()
