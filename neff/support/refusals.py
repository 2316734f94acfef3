"""Asks the rules of support about a module, and refuses what the documents refuse."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hlo_frontend.hlo.errors import DynamicShapeError, HloError
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.verify import quote, verify_module
from neff.errors import RefusedError
from neff.options import OPTIONS, CompileOptions
from neff.support.codes import CODES
from neff.support.custom_calls import check_custom_call
from neff.support.listed import describe, unlisted
from neff.support.rules import RULES, Rule
from neff.support.site import Site, live_sites
from neff.targets import TARGETS

logger = logging.getLogger("Neuron")

_ANY = tuple(rule for rule in RULES if not rule.opcodes)
_BY_OPCODE: dict[str, tuple[Rule, ...]] = {
    opcode: tuple(rule for rule in RULES if opcode in rule.opcodes)
    for opcode in frozenset[str]().union(*(rule.opcodes for rule in RULES))
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing the documents refuse: the code, why it applies, and the instruction it is about.

    `computation` and `position` say where the instruction is, `source` is its line (`model.py:41`)
    and `quoted` shows both; they are empty (and -1) for a refusal of the options. `allowed_by` is
    the value of `--implicit-integer-downcast` that makes it a warning, where the options have it.
    """

    code: str
    why: str
    computation: str = ""
    position: int = -1
    source: str = ""
    quoted: str = ""
    allowed_by: str = ""

    def __str__(self) -> str:
        code = CODES[self.code]
        remedy = f"\n  try: {code.remedy}" if code.remedy else ""
        return f"[{code.name}] {code.message}\n  {self.why}{self.quoted}{remedy}"

    def error(self, also: str = "") -> RefusedError:
        """The error that says all this, and `also` below."""
        return RefusedError(f"{self}{also}", self.code)


def refusals(module: HloModule, options: CompileOptions) -> tuple[Refusal, ...]:
    """Everything the documents refuse of a verified module for the options' target, in order.

    Only instructions that a result depends on count. Raises nothing: the compiler, the partitioner
    and the report of support each decide what a refusal means.
    """
    return tuple(r for r in _all(live_sites(module, options), options) if not r.allowed_by)


def _all(sites: Iterable[Site], options: CompileOptions) -> Iterator[Refusal]:
    target = TARGETS[options.target]
    if options.logical_cores not in target.logical_cores:
        allowed = " or ".join(map(str, target.logical_cores))
        yield Refusal(
            "NCC_EARG001", f"{target.name} takes --lnc={allowed}, got {options.logical_cores}"
        )
    for site in sites:
        yield from _of_site(site)


def _of_site(site: Site) -> Iterator[Refusal]:
    opcode = site.instruction.opcode
    for rule in (*_ANY, *_BY_OPCODE.get(opcode, ())):
        why = rule.check(site)
        if why is not None:
            allowed = rule.downcast if rule.downcast in site.options.downcasts else ""
            yield _refusal(site, rule.code, why, allowed)
    if opcode == "custom-call":
        yield from (_refusal(site, code, why) for code, why in check_custom_call(site))


def _refusal(site: Site, code: str, why: str, allowed: str = "") -> Refusal:
    where = site.instruction.metadata
    source = f"{where.source_file}:{where.source_line}" if where.source_file else ""
    quoted = quote(site.computation, site.position)
    return Refusal(code, why, site.computation.name, site.position, source, quoted, allowed)


def refusal_of_file(error: HloError) -> Refusal | None:
    """The documented refusal of a file that cannot be read because of what it holds, if any."""
    return Refusal("NCC_EMOD025", str(error)) if isinstance(error, DynamicShapeError) else None


def check_support(module: HloModule, options: CompileOptions) -> None:
    """Verify a module, refuse what the documents refuse, and warn of what they do not mention.

    Raises RefusedError with the first refusal. One warning, on the logger "Neuron", names the ops
    and types that are neither listed nor refused; another the integer ops that lose precision.
    """
    try:
        verify_module(module)
    except HloError as error:
        raise Refusal("NCC_EVRF064", str(error)).error() from error
    sites = tuple(live_sites(module, options))
    found = tuple(_all(sites, options))
    refused = [r for r in found if not r.allowed_by]
    if refused:
        raise refused[0].error(_others(refused[1:]))
    _warn_of_downcasts(found, options)
    counts, lines = unlisted(sites)
    if counts and options.target in OPTIONS["--target"].choices:  # the list is neuronx-cc's
        logger.warning(
            "compiled for %s, though the documents do not list: %s (docs/refusals.md)",
            options.target,
            describe(counts, lines),
        )


def _others(refused: list[Refusal]) -> str:
    counts = Counter(r.code for r in refused)
    others = ", ".join(f"{code} \N{MULTIPLICATION SIGN}{n}" for code, n in sorted(counts.items()))
    return f"\n  also refused: {others}" if others else ""


def _warn_of_downcasts(found: tuple[Refusal, ...], options: CompileOptions) -> None:
    counts = Counter(r.code for r in found)
    lines: dict[str, str] = {}
    for refusal in found:
        lines.setdefault(refusal.code, refusal.source)
    if counts:
        logger.warning(
            "integers may lose precision, as --implicit-integer-downcast=%s allows: %s",
            options.implicit_integer_downcast,
            describe(counts, lines),
        )
