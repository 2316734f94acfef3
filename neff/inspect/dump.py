"""The folder that a compilation keeps of its stages, read back as graphs: `NN-<pass>.txt`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hlo_frontend.inspect.graph import Block, Graph, Node, Port
from neff.errors import NeffError
from neff.inspect.stage import Stage

LOG = "log-neuron-cc.txt"
_STAGE = re.compile(r"(\d\d)-(\w+)\.txt")
_SECONDS = re.compile(r"(\w+) finished after ([\d.]+) seconds")
_PROGRAM = re.compile(r"program ([^,]*), target=(\w+)")
_FUNCTION = re.compile(r"(\S+) \{")
_INSTRUCTION = re.compile(r"  %(\d+) = (.+?) ([a-z][a-z0-9-]*)\(((?:%\d+(?:, )?)*)\)(?:, (.*))?")
_PORT = re.compile(r"(input|output) \d+: (\S+) (\w+) (.*?)(?: = ([0-9a-f]{12}))?")
_REGION = re.compile(r"region (\d+) \S+: (.*)")
_BUFFER = re.compile(r"buffer %(\d+): (.*)")
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
    ports: dict[str, list[Port]] = {"input": [], "output": []}
    name, nodes = "", list[Node]()
    for number, line in enumerate(lines[1:], start=2):
        if not name:
            if opened := _FUNCTION.fullmatch(line):
                name, nodes = opened[1], []
            elif port := _PORT.fullmatch(line):
                ports[port[1]].append(_port(port))
            elif blocks:
                blocks[-1] = _placed(blocks[-1], line)
        elif returned := _RETURN.fullmatch(line):
            blocks.append(Block(name, tuple(nodes), _positions(returned[1])))
            name = ""
        elif (made := _node(line)) is not None:
            nodes.append(made)
        elif line != "}":
            raise NeffError(f"passes: {path}:{number} must be an instruction, got {line[:80]!r}")
    if not blocks:
        raise NeffError(f"passes: {path} must hold a function, got none")
    inputs, outputs = map(tuple, ports.values())
    _check(blocks, path)
    blocks[-1] = _named(blocks[-1], inputs)
    return Graph("neff", head[1], tuple(blocks), inputs, outputs, (), head[2])


def _check(blocks: Sequence[Block], path: Path) -> None:
    """Raise NeffError for operands and results that are not there."""
    for block in blocks:
        late = [n.name for p, n in enumerate(block.nodes) if any(o >= p for o in n.operands)]
        if late or any(r >= len(block.nodes) for r in block.results):
            place = late[0] if late else "the results"
            raise NeffError(f"passes: {path}: {block.name} must define values first, see {place}")


def _named(main: Block, inputs: Sequence[Port]) -> Block:
    """The entry function, its parameters called after the inputs they are."""

    def named(node: Node) -> Node:
        number = next((int(text) for key, text in node.attributes if key == "number"), -1)
        known = node.op == "parameter" and 0 <= number < len(inputs)
        return replace(node, operator=inputs[number].name) if known else node

    return replace(main, nodes=tuple(map(named, main.nodes)))


def _positions(text: str) -> tuple[int, ...]:
    """The numbers in `%0, %4`."""
    return tuple(int(part[1:]) for part in text.split(", ") if part.startswith("%"))


def _port(found: re.Match[str]) -> Port:
    way, type_, kind, name, digest = found.groups()
    return Port(name, type_, kind if way == "input" else "output", 0, 0, digest or "")


def _placed(main: Block, line: str) -> Block:
    """The entry function with what a line after it says of regions and buffers."""
    nodes = list(main.nodes)
    if region := _REGION.fullmatch(line):
        changes: dict[int, dict[str, Any]] = {
            p: {"region": int(region[1])} for p in _positions(region[2])
        }
    elif buffer := _BUFFER.fullmatch(line):
        changes = {int(buffer[1]): {"buffer": buffer[2]}}
    else:
        return main
    for position, change in changes.items():
        if position < len(nodes):
            nodes[position] = replace(nodes[position], **change)
    return replace(main, nodes=tuple(nodes))


def _attributes(text: str) -> tuple[tuple[str, str], ...]:
    """The number of a parameter by itself, all else as it is written."""
    key, _, value = text.partition("=")
    if key == "number":
        return ((key, value),)
    return (("attributes", text),) if text else ()


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
        _positions(operands),
        _attributes(rest),
        tuple(calls[1].split(", ")) if calls else (),
        engine=engine[1] if engine else "",
    )
