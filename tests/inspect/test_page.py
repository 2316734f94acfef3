"""The page in a browser: it opens, finds, opens layers and tells; nothing leaves the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.inspect.graph import graph_of_module
from hlo_frontend.inspect.page import page, write_page
from neff.container import read_neff
from neff.inspect.graph import graph_of_program
from tests.inspect import chromium
from tests.inspect.files import MODEL, layered, module, run_tool

EVIL = '</script><img src=x onerror="document.title=1">'


def evil_module():
    text = MODEL.replace('op_name="head/aten__mm"', 'op_name="<b>head/aten__mm"')
    text = text.replace('source_file="model.py" source_line=13', f"source_file={quoted(EVIL)}")
    return parse_module(text)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Page]:
    program = chromium.find()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(
                "the page must be tested where CI is set: scripts/bootstrap installs Chromium"
            )
        pytest.skip("no Chromium on PATH; scripts/bootstrap installs it where it runs as root")
    made = chromium.Page(program)
    yield made
    made.close()


def show(browser, path, graph):
    write_page(path, graph)
    browser.requests.clear()
    browser.errors.clear()
    browser.open(path)
    browser.wait("typeof state === 'object' && state.drawn.size > 0")


def search(browser, text):
    browser.press("/")
    browser.evaluate("document.getElementById('search').select()")
    browser.type(text)
    browser.wait("!document.getElementById('found').hidden")


def shapes(browser) -> list[str]:
    return browser.evaluate(
        "[...document.querySelectorAll('.item')].map(g => g.getAttribute('aria-label'))"
    )


def test_names_cannot_leave_their_place():
    made = page(graph_of_module(evil_module()))
    assert EVIL not in made
    assert made.count("</script>") == 2
    assert "<b>head" not in made


def test_the_page_is_one_file():
    made = page(graph_of_module(module()))
    assert not re.search(
        r"<(script|img|iframe)[^>]+src|<link|@import|url\((?!#)|fetch\(|https?://(?!www.w3.org)",
        made,
    )
    assert "default-src 'none'" in made


def test_the_command(hlo_file, neff_file, tmp_path):
    made = run_tool("hlo_frontend", "graph", hlo_file, "-o", tmp_path / "a.html")
    assert made.stdout == f"{tmp_path / 'a.html'}\n"
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert run_tool("neff", "stats", neff_file, "--html", tmp_path / "b.html").returncode == 0
    assert "<title>model</title>" in (tmp_path / "b.html").read_text()


def test_search_select_and_follow(browser, tmp_path):
    show(browser, tmp_path / "model.html", graph_of_module(module()))
    assert (
        browser.text("#summary")
        == "HLO module · 8 instructions · 1.48 kFLOP · 176 parameters (704 B)"
    )
    search(browser, "head dot")
    assert browser.text("#found").split() == ["dot", "f32[4,3]dot.2", "head"]
    browser.press("Enter")
    panel = browser.text("#panel")
    for text in ("dot.2", "head", "f32[4,3]", "aten__mm", "model.py:13", "384 FLOP", "{1}"):
        assert text in panel
    browser.click("[...document.querySelectorAll('#panel a')].find(a => a.textContent === 'tanh')")
    assert browser.text("#panel").startswith("tanh\ntanh.1\nencoder › 1\n")
    browser.press("ArrowUp")
    assert browser.text("#panel").startswith("dot\ndot.1\n")
    browser.press("Escape")
    assert browser.text("#panel").startswith("model\nfunction main\n")
    assert browser.requests == [(tmp_path / "model.html").as_uri()]
    assert browser.errors == []


def test_layers_open_and_close(browser, tmp_path):
    show(browser, tmp_path / "deep.html", graph_of_module(parse_module(layered(40, 30))))
    before = shapes(browser)
    assert len(before) <= 60
    assert "model.block, 1200 instructions · 76.8 kFLOP" in before
    assert "7, 30 instructions · 1.92 kFLOP" in before
    box = "[...document.querySelectorAll('.item')].find(g => g.ariaLabel.startsWith('7, '))"
    browser.evaluate(f"centre([...state.drawn].find(([i, g]) => g === {box})[0])")
    browser.click(f"{box}.querySelector('.box')")
    opened = shapes(browser)
    assert "attention, 15 instructions · 960 FLOP" in opened
    assert "7\n" in browser.text("#panel") and "30\n" in browser.text("#panel")
    browser.press("Enter")
    assert shapes(browser) == before
    search(browser, "v216")
    browser.press("Enter")
    assert "tanh, f32[8,8]" in shapes(browser)
    assert "deep.py:216" in browser.text("#panel")
    assert browser.errors == []


def test_a_layer_that_runs_twice_stands_twice(browser, tmp_path):
    lines = ['  v0 = f32[8] parameter(0), metadata={op_name="x"}']
    for n, layer in enumerate(("relu", "dense", "relu", "dense"), start=1):
        root = "ROOT " if n == 4 else ""
        place = f'metadata={{op_name="net.{layer}/aten__tanh"}}'
        lines.append(f"  {root}v{n} = f32[8] tanh(v{n - 1}), {place}")
    text = "HloModule twice\nENTRY main {\n" + "\n".join(lines) + "\n}\n"
    show(browser, tmp_path / "twice.html", graph_of_module(parse_module(text)))
    layers = {label.partition(",")[0] for label in shapes(browser) if "instruction" in label}
    assert layers == {"net", "relu", "relu (2)", "dense", "dense (2)"}
    assert browser.evaluate("document.querySelectorAll('.edge.back').length") == 0


def test_a_neff_tells_engine_region_and_memory(browser, neff_file, tmp_path):
    graph = graph_of_program(read_neff(neff_file.read_bytes()).program)
    show(browser, tmp_path / "neff.html", graph)
    assert "NEFF for inf2" in browser.text("#summary")
    search(browser, "encoder.0 dot")
    browser.press("Enter")
    panel = browser.text("#panel").splitlines()
    assert panel[panel.index("engine") + 1] == "PE"
    assert re.fullmatch(r"(HBM|PSUM)\+\d+, 256 bytes", panel[panel.index("buffer") + 1])
    assert "region" in panel and "weight" not in shapes(browser)


def test_evil_names_are_text(browser, tmp_path):
    show(browser, tmp_path / "evil.html", graph_of_module(evil_module()))
    search(browser, "dot.2")
    browser.press("Enter")
    assert EVIL in browser.text("#panel") and "<b>head" in browser.text("#panel")
    assert browser.evaluate("document.title") == "model"
    assert browser.evaluate("document.images.length") == 0


@pytest.mark.parametrize(
    "text", [layered(25, 200), re.sub(r"op_name=\"model[^\"]*\" ", "", layered(25, 200))]
)
def test_five_thousand_instructions(text, browser, tmp_path):
    show(browser, tmp_path / "large.html", graph_of_module(parse_module(text)))
    assert len(shapes(browser)) <= 60
    assert (
        browser.evaluate(
            "(() => { const t = performance.now(); draw(); return performance.now() - t; })()"
        )
        < 2000
    )
    search(browser, "v4321")
    browser.press("Enter")
    assert "v4321" in browser.text("#panel") and "deep.py:4321" in browser.text("#panel")
    assert len(shapes(browser)) < 400
    assert (
        browser.evaluate(
            "(() => { const t = performance.now(); expand(); return performance.now() - t; })()"
        )
        < 10_000
    )
