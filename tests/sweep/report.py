"""What a sweep found, as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.sweep.verdict import COMPILER_ARGS, Verdict


def line(verdict: Verdict) -> str:
    """One verdict as a line of text."""
    why = f"  {verdict.reason}: {verdict.message}" if verdict.reason else ""
    pair = f"{verdict.name} {verdict.kind}"
    return f"{verdict.outcome:8} {pair:50} {verdict.passed}/{verdict.samples}{why}"


def document(verdicts: Sequence[Verdict]) -> str:
    return str(Counter(v.outcome for v in verdicts)) + COMPILER_ARGS
