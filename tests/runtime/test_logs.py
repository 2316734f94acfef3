"""The runtime's log: line format, levels and locations."""

from __future__ import annotations

import os
import re

import pytest

from runtime.logs import Level, level_of, log

LINE = re.compile(
    r"\d{4}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6} (\d+):(\d+) "
    r"ERROR  NRT:nrt_load +no such core\n"
)


def test_the_documented_line(capfd):
    log(Level.ERROR, "NRT", "nrt_load", "no such core")
    said = capfd.readouterr().err
    match = LINE.fullmatch(said)
    assert match, said
    assert int(match[1]) == os.getpid()


def test_only_errors_by_default(capfd):
    log(Level.WARNING, "NRT", "nrt_load", "hm")
    assert capfd.readouterr().err == ""


def test_a_level_for_all_and_for_one_component(capfd, monkeypatch):
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL", "WARN")
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL_TDRV", "INFO")
    assert level_of("NRT") is Level.WARNING
    assert level_of("TDRV") is Level.INFO
    assert level_of("NEFF") is Level.WARNING  # a component that cannot be set apart
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL", "QUIET")
    log(Level.ERROR, "NRT", "nrt_load", "no such core")
    assert capfd.readouterr().err == ""


def test_a_file_for_one_component(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("NEURON_RT_LOG_LOCATION_NRT", str(tmp_path / "nrt.log"))
    log(Level.ERROR, "NRT", "nrt_load", "two\nlines")
    log(Level.ERROR, "TDRV", "log_dev_mem", "elsewhere")
    lines = (tmp_path / "nrt.log").read_text().splitlines()
    assert len(lines) == 2 and all(" ERROR  NRT:nrt_load" in line for line in lines)
    assert "elsewhere" in capfd.readouterr().err


def test_syslog_says_more_by_default(monkeypatch):
    monkeypatch.setenv("NEURON_RT_LOG_LOCATION", "syslog")
    assert level_of("NRT") is Level.INFO


def test_an_unknown_level_is_refused(monkeypatch):
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL", "LOUD")
    with pytest.raises(ValueError, match="NEURON_RT_LOG_LEVEL: must be one of QUIET, ERROR"):
        level_of("NRT")
