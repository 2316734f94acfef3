"""The folder that a compilation keeps of its stages, read back as graphs: `NN-<pass>.txt`."""

from __future__ import annotations

import re
from pathlib import Path

from hlo_frontend.inspect.graph import Block, Graph, Node
from neff.errors import NeffError
from neff.inspect.stage import Stage

LOG = "log-neuron-cc.txt"
_STAGE = re.compile(r"(\d\d)-(\w+)\.txt")
_SECONDS = re.compile(r"(\w+) finished after ([\d.]+) seconds")
_PROGRAM = re.compile(r"program ([^,]*), target=(\w+)")
_FUNCTION = re.compile(r"(\S+) \{")
_INSTRUCTION = re.compile(r"  %(\d+) = (.+?) ([a-z][a-z0-9-]*)\(((?:%\d+(?:, )?)*)\)(?:, (.*))?")
_RETURN = re.compile(r"  return (.*)")
_ENGINE = re.compile(r"(?:, )?engine=(\w+)$")
_CALLS = re.compile(r"(?:, )?calls=\{([^}]*)\}$")


def read_dump(folder: Path) -> list[Stage]:
    """The stages in order. Their text keeps no layer or source line.

    Raises NeffError for a folder without stages, or a line that is not of a program.
    """
    files = sorted(path for path in folder.iterdir() if _STAGE.fullmatch(path.name))
    if not files:
        raise NeffError(f"passes: {folder} must hold NN-<pass>.txt files, got none")
    seconds = _seconds(folder / LOG)
    stages = []
    for path in files:
        found = _STAGE.fullmatch(path.name)
        assert found
        name = found[2]
        took = seconds.get(name, [])
        stages.append(Stage(name, took.pop(0) if took else None, _read(path)))
    return stages


def _seconds(log: Path) -> dict[str, list[float]]:
    """What the log, if there is one, says each pass took, in the order they ran."""
    taken: dict[str, list[float]] = {}
    if log.is_file():
        for name, text in _SECONDS.findall(log.read_text("utf-8", "replace")):
            taken.setdefault(name, []).append(float(text))
    return taken


def _read(path: Path) -> Graph:
    lines = path.read_text("utf-8", "replace").splitlines()
    head = _PROGRAM.match(lines[0]) if lines else None
    if head is None:
        raise NeffError(f"passes: {path} must begin with a program's name and target")
    blocks: list[Block] = []
    name, nodes = "", list[Node]()
    for number, line in enumerate(lines[1:], start=2):
        if not line.startswith("  ") or not name:
            if opened := _FUNCTION.fullmatch(line):
                name, nodes = opened[1], []
            continue
        if returned := _RETURN.fullmatch(line):
            results = tuple(int(r[1:]) for r in returned[1].split(", ") if r.startswith("%"))
            blocks.append(Block(name, tuple(nodes), results))
            name = ""
        elif (made := _node(line)) is not None:
            nodes.append(made)
        else:
            raise NeffError(f"passes: {path}:{number} must be an instruction, got {line[:80]!r}")
    if not blocks:
        raise NeffError(f"passes: {path} must hold a function, got none")
    return Graph("neff", head[1], tuple(blocks), target=head[2])


def _node(line: str) -> Node | None:
    found = _INSTRUCTION.fullmatch(line)
    if found is None:
        return None
    position, type_, op, operands, rest = found.groups()
    rest = rest or ""
    engine = _ENGINE.search(rest)
    rest = _ENGINE.sub("", rest)
    calls = _CALLS.search(rest)
    rest = _CALLS.sub("", rest)
    return Node(
        f"%{position}",
        op,
        type_,
        tuple(int(o[1:]) for o in operands.split(", ") if o),
        (("attributes", rest),) if rest else (),
        tuple(calls[1].split(", ")) if calls else (),
        engine=engine[1] if engine else "",
    )
