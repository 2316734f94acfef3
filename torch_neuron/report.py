"""The documented lines of the logger "Neuron": what is compiled, what is not, and how much."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from hlo_frontend.partition import Segment, Site
from torch_neuron.operators import is_supported

logger = logging.getLogger("Neuron")
LIST = (
    "https://github.com/aws/aws-neuron-sdk/blob/master/release-notes/neuron-cc-ops/"
    "neuron-cc-ops-pytorch.md"
)


@contextmanager
def shown() -> Iterator[None]:
    """Show the lines on standard error, as AWS's package does, where no logging is set up."""
    if logger.hasHandlers() or logger.level != logging.NOTSET:
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    handler.addFilter(lambda line: not hasattr(line, "record"))  # the compiler's passes
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)


def arithmetic(sites: Iterable[Site]) -> list[Site]:
    """The operators that are no primitives of TorchScript."""
    return [site for site in sites if site.kind.startswith("aten::")]


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 100.0


def before(sites: Sequence[Site], segments: Sequence[Segment]) -> None:
    """What the partitioner decided."""
    fused = _indices(segments)
    left = [site for site in arithmetic(sites) if site.index not in fused]
    if left:
        kinds = sorted({site.kind for site in left})
        logger.info(
            "There are %d ops of %d different types in the TorchScript that are not compiled by "
            "neuron-cc: %s, (For more information see %s)",
            *(len(left), len(kinds), ", ".join(kinds), LIST),
        )
    else:
        logger.info(
            "All operators are compiled by neuron-cc (this does not guarantee that neuron-cc will "
            "successfully compile)"
        )
    _count("pre", "fused", sites, fused)


def after(sites: Sequence[Site], segments: Sequence[Segment], compiled: Collection[int]) -> None:
    """What the compiler made of it."""
    done = [segment for segment in segments if segment.number in compiled]
    inside = _indices(done)
    _count("post", "compiled", sites, inside)
    logger.info("The neuron partitioner created %d sub-graphs", len(segments))
    logger.info(
        "Neuron successfully compiled %d sub-graphs, Total fused subgraphs = %d, Percent of model "
        "sub-graphs successfully compiled = %s%%",
        *(len(done), len(segments), percent(len(done), len(segments))),
    )
    found = arithmetic(sites)
    logger.info("Compiled these operators (and operator counts) to Neuron:")
    for kind, number in _counted(site for site in found if site.index in inside):
        logger.info(" => %s: %d", kind, number)
    outside = [site for site in found if site.index not in inside]
    if outside:
        logger.info("Not compiled operators (and operator counts) to Neuron:")
    supported = {site.kind: is_supported(site.node) for site in outside}
    for kind, number in _counted(outside):
        answer = "supported" if supported[kind] else "not supported"
        logger.info(" => %s: %d [%s]", kind, number, answer)


def failed(name: str, error: Exception) -> None:
    """Why a segment stays on the CPU."""
    logger.warning(
        "torch.neuron.trace failed on %s; falling back to native python function call", name
    )
    logger.error("%s: %s", type(error).__name__, error)


def _indices(segments: Iterable[Segment]) -> set[int]:
    return {site.index for segment in segments for site in segment.sites}


def _count(when: str, what: str, sites: Sequence[Site], inside: Collection[int]) -> None:
    found = arithmetic(sites)
    number = sum(site.index in inside for site in found)
    logger.info(
        "Number of arithmetic operators (%s-compilation) before = %d, %s = %d, percent %s = %s%%",
        *(when, len(found), what, number, what, percent(number, len(found))),
    )


def _counted(sites: Iterable[Site]) -> list[tuple[str, int]]:
    return sorted(Counter(site.kind for site in sites).items())
