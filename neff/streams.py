"""A program as the documents of a NEFF: the graph, the variables, a stream for each engine."""

from __future__ import annotations

from typing import Any

from hlo_frontend.hlo.module import Metadata
from hlo_frontend.hlo.types import Shape
from neff.encode import decode_shape, decode_value, encode_shape, encode_value
from neff.errors import NeffError
from neff.program import (
    Buffer,
    Engine,
    Function,
    Instruction,
    Kind,
    Program,
    Region,
    Space,
    Variable,
    Weight,
)

GRAPH = "kelf-a.json"
DEFINITIONS = "sg00/def.json"
Document = dict[str, Any]
# The published `type` of a variable, by what binds it.
VARIABLE_TYPES = {Kind.INPUT: "input", Kind.WEIGHT: "file", Kind.STATE: "state-buffer"}
BUFFER_TYPES = {Space.HBM: "virtual", Space.SBUF: "tmp-buf", Space.PSUM: "tmp-buf"}


def stream_file(engine: Engine) -> str:
    return f"sg00/{engine}.json"


def encode_program(program: Program) -> dict[str, Document]:
    """The documents of a program, by file name. Weights are named by digest only."""
    sources: dict[Metadata, int] = {}
    streams: dict[Engine, list[Any]] = {engine: [] for engine in Engine}
    for number, function in enumerate(program.functions):
        for position, instruction in function.numbered():
            if instruction.engine is None:
                raise NeffError(f"neff: every instruction needs an engine, got {instruction.op}")
            row = _encode_instruction(instruction, sources)
            streams[instruction.engine].append([number, position, *row])
    graph = {
        "name": program.name,
        "target": program.target,
        "nodes": ["sg00"],
        "functions": [[f.name, len(f.instructions), f.results] for f in program.functions],
        "inputs": [_encode_variable(v) for v in program.inputs],
        "outputs": [_encode_variable(v) for v in program.outputs],
        "aliases": program.aliases,
        "regions": [[r.anchor, r.members] for r in program.regions],
        "buffers": [[b.value, b.space, b.offset, b.size] for b in program.buffers],
        "sources": [[m.op_type, m.op_name, m.source_file, m.source_line] for m in sources],
    }
    documents: dict[str, Document] = {GRAPH: graph, DEFINITIONS: _definitions(program)}
    documents |= {stream_file(e): {"instructions": rows} for e, rows in streams.items()}
    return documents


def _encode_instruction(i: Instruction, sources: dict[Metadata, int]) -> list[Any]:
    source = sources.setdefault(i.metadata, len(sources))
    attrs = [[name, encode_value(value)] for name, value in i.attrs]
    return [i.op, encode_shape(i.shape), i.operands, attrs, i.bodies, source]


def _encode_variable(v: Variable) -> list[Any]:
    return [v.name, encode_shape(v.shape), v.kind, v.weight.digest if v.weight else None]


def _definitions(program: Program) -> Document:
    """The `var` object of def.json, by the published keys; sizes and offsets in bytes."""
    var: dict[str, Document] = {}

    def define(name: str, kind: str, size: int, **more: Any) -> None:
        var[name] = {"type": kind, "var_id": len(var), "size": size, "ops": [], **more}

    for n, v in enumerate(program.inputs):
        file = {"file_name": f"{v.weight.digest}.npy"} if v.weight else {}
        define(f"in{n}:{v.name}", VARIABLE_TYPES[v.kind], v.shape.bytes, **file)
    for n, v in enumerate(program.outputs):
        define(f"out{n}:{v.name}", "output", v.shape.bytes)
    for b in program.buffers:
        offset = {"backing_variable_off": b.offset} if b.space is Space.HBM else {}
        define(f"%{b.value}", BUFFER_TYPES[b.space], b.size, **offset)
    return {"var": var, "dma_queue": {}}


def decode_program(documents: dict[str, Document], weights: dict[str, Weight]) -> Program:
    """The program of a NEFF's documents, its inputs bound to `weights` by digest."""
    graph = documents[GRAPH]
    sources = [Metadata(*row) for row in graph["sources"]]
    places: list[list[Instruction | None]] = [[None] * count for _, count, _ in graph["functions"]]
    for engine in Engine:
        for number, position, *row in documents[stream_file(engine)]["instructions"]:
            if places[number][position] is not None:
                raise NeffError(f"neff: two instructions at {number}:{position}")
            places[number][position] = _decode_instruction(row, engine, sources)
    functions = tuple(
        Function(name, _complete(name, found), tuple(results))
        for (name, _, results), found in zip(graph["functions"], places, strict=True)
    )
    return Program(
        graph["name"],
        functions,
        tuple(_decode_variable(row, weights) for row in graph["inputs"]),
        tuple(_decode_variable(row, weights) for row in graph["outputs"]),
        tuple((o, i) for o, i in graph["aliases"]),
        tuple(Region(anchor, tuple(members)) for anchor, members in graph["regions"]),
        tuple(Buffer(v, Space(s), o, size) for v, s, o, size in graph["buffers"]),
        graph["target"],
    )


def _complete(name: str, found: list[Instruction | None]) -> tuple[Instruction, ...]:
    instructions = tuple(i for i in found if i is not None)
    if len(instructions) != len(found):
        raise NeffError(
            f"neff: function {name} misses {len(found) - len(instructions)} instructions"
        )
    return instructions


def _decode_instruction(row: list[Any], engine: Engine, sources: list[Metadata]) -> Instruction:
    op, shape, operands, attrs, bodies, source = row
    pairs = tuple((str(name), decode_value(value)) for name, value in attrs)
    return Instruction(
        op, decode_shape(shape), tuple(operands), pairs, tuple(bodies), sources[source], engine
    )


def _decode_variable(row: list[Any], weights: dict[str, Weight]) -> Variable:
    name, shape, kind, digest = row
    decoded = decode_shape(shape)
    if not isinstance(decoded, Shape):
        raise NeffError(f"neff: a variable must be an array, got {decoded}")
    return Variable(name, decoded, Kind(kind), weights[digest] if digest is not None else None)
