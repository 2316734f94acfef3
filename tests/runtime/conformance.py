"""The conformance table, read, and turned into one module for each element type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from hlo_frontend.hlo.types import ELEMENT_TYPES

SIGNED = ("s2", "s4", "s8", "s16", "s32", "s64")
UNSIGNED = ("u2", "u4", "u8", "u16", "u32", "u64")
FLOAT8 = ("f8e3m4", "f8e4m3", "f8e4m3fn", "f8e5m2")
FLOAT = (*FLOAT8, "bf16", "f16", "f32", "f64")
COMPLEX = ("c64", "c128")
SETS = {
    "PRED": ("pred",),
    "SIGNED": SIGNED,
    "UNSIGNED": UNSIGNED,
    "INTEGER": SIGNED + UNSIGNED,
    "BITS": ("pred", *SIGNED, *UNSIGNED),
    "FLOAT8": FLOAT8,
    "FLOAT16": ("bf16", "f16"),
    "FLOAT": FLOAT,
    "REAL": SIGNED + UNSIGNED + FLOAT,
    "COMPLEX": COMPLEX,
    "NUMBER": SIGNED + UNSIGNED + FLOAT + COMPLEX,
    "ANY": ("pred", *SIGNED, *UNSIGNED, *FLOAT, *COMPLEX),
    "WIDE": ("f32", "f64"),
    "FACTORED": ("f32", "f64", *COMPLEX),
    # One of each kind, for what XLA computes alike for all of a kind.
    "FEW": ("pred", "s8", "u32", "s64", "bf16", "f32", "c64"),
    "FEWNUMBERS": ("s8", "u32", "s64", "bf16", "f32", "c64"),
}
PARTS = {"c64": "f32", "c128": "f64"}
WHOLE = {part: whole for whole, part in PARTS.items()}

# Computations that rows call, for each element type; those a type does not have are not called.
BODIES = {
    "sum": "ROOT r = {t}[] add(a, b)",
    "product": "ROOT r = {t}[] multiply(a, b)",
    "largest": "ROOT r = {t}[] maximum(a, b)",
    "last": "ROOT r = {t}[] copy(b)",
    "mixed": "s = {t}[] subtract(b, a) m = {t}[] multiply(s, b) ROOT r = {t}[] add(a, m)",
    "at_least": "ROOT r = pred[] compare(a, b), direction=GE",
}
FULL_BODIES = {
    "down": """{ a = {t}[] parameter(0) b = {t}[] parameter(1) c = s32[] parameter(2)
        d = s32[] parameter(3) ROOT r = pred[] compare(a, b), direction=GT{order} }""",
    "arg": """{ v = {t}[] parameter(0) i = s32[] parameter(1) w = {t}[] parameter(2)
        j = s32[] parameter(3) m = pred[] compare(v, w), direction=GE x = {t}[] select(m, v, w)
        k = s32[] select(m, i, j) ROOT r = ({t}[], s32[]) tuple(x, k) }""",
    "both": """{ a = {t}[] parameter(0) b = {t}[] parameter(1) c = {t}[] parameter(2)
        d = {t}[] parameter(3) x = {t}[] add(a, c) y = {t}[] multiply(b, d)
        ROOT r = ({t}[], {t}[]) tuple(x, y) }""",
    "below": """{ s = (s32[], {t}[4]) parameter(0) i = s32[] get-tuple-element(s), index=0
        n = s32[] constant(3) ROOT r = pred[] compare(i, n), direction=LT }""",
    "step": """{ s = (s32[], {t}[4]) parameter(0) i = s32[] get-tuple-element(s), index=0
        o = s32[] constant(1) x = {t}[4] get-tuple-element(s), index=1 j = s32[] add(i, o)
        y = {t}[4] add(x, x) ROOT r = (s32[], {t}[4]) tuple(j, y) }""",
    "twice": "{ x = {t}[4] parameter(0) ROOT r = {t}[4] add(x, x) }",
    "same": "{ x = {t}[4] parameter(0) ROOT r = {t}[4] copy(x) }",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One instruction of one element type: parameters, lines (the result's last), their values."""

    dtype: str
    shapes: tuple[str, ...]
    lines: tuple[str, ...]
    values: str

    @property
    def op(self) -> str:
        """The opcode of the result."""
        match = re.search(r"([\w-]+)\(", re.sub(r"^\(.*?\) ", "", self.lines[-1]))
        assert match is not None
        return match[1]

    @property
    def text(self) -> str:
        return f"{self.lines[-1]} of {', '.join(self.shapes)}"


def read_cases() -> list[Case]:
    """All cases of the table."""
    text = (Path(__file__).parent / "conformance.txt").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("  "):
            rows[-1][1].append(line.strip())
        else:
            rows.append((line, []))
    return [case for head, code in rows for case in _expanded(head, code)]


def _expanded(head: str, code: list[str]) -> Iterator[Case]:
    types, shapes, values, *words = (part.strip() for part in head.split("|"))
    root, *rest = code
    for name in types.split():
        for dtype in SETS.get(name, (name,)):
            for word in words[0].split() if words else [""]:
                lines = [_filled(line, dtype, word) for line in (*_needed_first(rest), root)]
                given = _filled(shapes, dtype, word).split()
                yield Case(dtype, tuple(given), tuple(lines), values)


def _filled(text: str, dtype: str, word: str) -> str:
    parts = {"{t}": dtype, "{v}": PARTS.get(dtype, ""), "{c}": WHOLE.get(dtype, ""), "{w}": word}
    return re.sub(r"\{[tvcw]\}", lambda m: parts[m[0]], text)


def _needed_first(lines: list[str]) -> list[str]:
    """Lines in an order in which each names only lines before it, and parameters."""
    names = {line.split(" = ")[0] for line in lines}
    ready: list[str] = []
    while len(ready) < len(lines):
        made = {line.split(" = ")[0] for line in ready}
        for line in lines:
            name, _, code = line.partition(" = ")
            if name not in made and set(re.findall(r"%\w+", code)) & names <= made:
                ready.append(line)
                break
        else:
            raise ValueError(f"a row names what it does not make: {lines}")
    return ready


def _bodies(dtype: str, used: str) -> str:
    order = ", type=TOTALORDER" if dtype in FLOAT else ""
    head = f"a = {dtype}[] parameter(0) b = {dtype}[] parameter(1) "
    texts = {name: f"{{ {head}{code} }}" for name, code in BODIES.items()} | FULL_BODIES
    made = []
    for name, body in texts.items():
        if f"{name}_{dtype}" not in used:
            continue
        body = body.replace("{t}", dtype).replace("{order}", order)
        for local in re.findall(r"(\w+) = ", body):
            body = re.sub(rf"\b{local}\b(?! *[\[=]\S)", f"{name}.{local}", body)
        made.append(f"{name}_{dtype} {body}")
    return "\n".join(made)


NARROW = {"s2": "s8", "s4": "s8", "u2": "u8", "u4": "u8"}


def in_whole_bytes(case: Case) -> Case:
    """The case in 8 bits, for what XLA does not do in fewer: its results, cut off, are the same."""
    shapes, lines = (
        tuple(re.sub(rf"\b{case.dtype}\b", NARROW[case.dtype], text) for text in texts)
        for texts in (case.shapes, case.lines)
    )
    lines = tuple(line.replace(f"_{case.dtype}", f"_{NARROW[case.dtype]}") for line in lines)
    return Case(NARROW[case.dtype], shapes, lines, case.values)


def module_text(cases: list[Case]) -> str:
    """One module with all the cases, of one element type: its result is the tuple of theirs."""
    parameters: list[str] = []
    body: list[str] = []
    for n, case in enumerate(cases):
        for p, shape in enumerate(case.shapes):
            parameters.append(f"c{n}.p{p} = {shape} parameter({len(parameters)})")
        lines = (*case.lines[:-1], f"%root = {case.lines[-1]}")
        body += [re.sub(r"%(\w+)", rf"c{n}.\1", line) for line in lines]
    shapes = [case.lines[-1].split(f" {case.op}(")[0] for case in cases]
    roots = ", ".join(f"c{n}.root" for n in range(len(cases)))
    body.append(f"ROOT all = ({', '.join(shapes)}) tuple({roots})")
    entry = "\n".join((*parameters, *body))
    bodies = _bodies(cases[0].dtype, entry)
    return f"HloModule cases\n{bodies}\nENTRY main {{\n{entry}\n}}\n"


def arguments(case: Case) -> list[np.ndarray]:
    """Values for the parameters of a case, the same at every run."""
    random = np.random.default_rng(0)
    made = []
    for number, text in enumerate(case.shapes):
        match = re.fullmatch(r"(\w+)\[([\d,]*)\]", text)
        assert match is not None
        dims = tuple(int(d) for d in match[2].split(",") if d)
        made.append(_values(match[1], dims, case.values, number, random))
    return made


def _values(
    dtype: str, dims: tuple[int, ...], kind: str, number: int, random: np.random.Generator
) -> np.ndarray:
    element = ELEMENT_TYPES[dtype]
    size = int(np.prod(dims))
    if kind == "edges":
        # Twelve edges against twelve: one parameter runs through them, the next one slowly.
        edges = edges_of(dtype)
        places = np.arange(size) if number % 2 == 0 else np.arange(size) // 12
        return edges[places % len(edges)].reshape(dims)
    if element.kind == "pred":
        return random.integers(0, 2, dims).astype(bool)
    if element.kind in ("signed", "unsigned"):
        low = {"s2": -2, "s4": -2}.get(dtype, -2 if element.kind == "signed" else 0)
        high = {2: 2, 4: 7}.get(element.bits, 7) if kind != "positive" else 5
        whole = random.integers(low if kind != "positive" else 1, high, dims)
        return np.asarray(whole).astype(np.int8).astype(element.numpy)
    span = {"bounded": 0.5, "positive": 1.0}.get(kind, 3.0)
    real = random.uniform(-span, span, dims)
    if kind == "positive":
        real = 0.5 + np.abs(real)
    if element.kind == "complex":
        real = real + 1j * random.uniform(-span, span, dims)
    return np.asarray(real).astype(element.numpy)


def edges_of(dtype: str) -> np.ndarray:
    """Twelve values of a type, its limits among them."""
    element = ELEMENT_TYPES[dtype]
    if element.kind == "pred":
        return np.array([False, True] * 6)
    if element.kind in ("signed", "unsigned"):
        i = ml_dtypes.iinfo(element.numpy)
        low, high = int(i.min), int(i.max)
        some = [low, high, 0, 1, -1, 2, 3, element.bits, element.bits - 1, 7, low // 2, high // 2]
        kept = [v if low <= v <= high else v % (high + 1) for v in some]
        narrow = np.int8 if element.bits < 8 else element.numpy
        return np.array(kept, narrow).astype(element.numpy)
    if element.kind == "complex":
        parts = np.array([0.5, -1.5, 2.0, 0.25, -3.0, 1.0, 0.0, -0.5, 1.25, 3.0, -2.0, 0.75])
        return (parts + 1j * np.roll(parts, 5)).astype(element.numpy)
    f = ml_dtypes.finfo(element.numpy)
    some_floats = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, float(f.max), float(f.smallest_normal)]
    some_floats += [np.inf, -np.inf, np.nan]
    return np.array(some_floats, np.float64).astype(element.numpy)
