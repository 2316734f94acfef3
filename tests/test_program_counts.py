"""The compiler leaves in the programs of well-known models what it left before, or less."""

from __future__ import annotations

import pytest

from tests.models.program_counts import COLUMNS, FILE, MODELS, rows


def test_the_table_has_every_model():
    header, *lines = FILE.read_text().splitlines()
    assert header.split() == ["model", "cast", *COLUMNS]
    assert list(dict.fromkeys(line.split()[0] for line in lines)) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_counts_are_those_of_the_table(name):
    """If they are better, or worse for a reason: `scripts/program_counts --write`."""
    kept = [line for line in FILE.read_text().splitlines() if line.split()[0] == name]
    assert list(rows(name)) == kept
