"""What a NEFF says of itself: header fields by their published names, tensors, streams."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.text import Text

from hlo_frontend.inspect.console import bytes_text, print_table, table
from hlo_frontend.inspect.document import Document, document, port_value
from hlo_frontend.inspect.graph import Graph, Port
from neff.header import HEADER_SIZE
from neff.inspect.file import RawNeff
from neff.inspect.graph import graph_of_program
from neff.program import Engine, Program, Space
from neff.streams import stream_file

FEATURES = "feature bit {}"  # the names of the bits are not published


def header_value(raw: RawNeff) -> Document:
    """The header: names as Neuron Explorer's table NeffHeader has them, then the other fields."""
    h = raw.header
    bits = [FEATURES.format(n) for n in range(64) if h.feature_bits >> n & 1]
    return {
        "network_name": h.name,
        "uuid": raw.uuid.hex(),
        "hash": h.digest.hex(),
        "enabled_features": bits,
        "header_size": HEADER_SIZE,
        "data_size": h.data_size,
        "major_version": h.version[0],
        "minor_version": h.version[1],
        "package_version": h.package_version,
        "build_version": h.build_version,
        "cc_participant_count": 1,  # nothing here takes part in collectives
        "neuroncore_count": h.num_tpb,
        "logical_neuroncore_count": max(h.num_tpb // max(h.lnc_size, 1), 1),
        "pcore_count_per_lnc": h.lnc_size,
        "requested_tpb_count": h.requested_tpb_count,
        "tpb_per_node": list(h.tpb_per_node),
        "feature_bits": h.feature_bits,
    }


def contents_value(program: Program) -> Document:
    """The program in short: tensors, weights, engine streams, memory."""
    graph = graph_of_program(program)
    return {
        "target": program.target,
        "inputs": [port_value(p) for p in _of_kind(graph, "input")],
        "outputs": [port_value(p) for p in graph.outputs],
        "states": [port_value(p) for p in _of_kind(graph, "state")],
        "weights": [port_value(p) for p in _of_kind(graph, "weight")],
        "aliases": [{"output": o, "input": i} for o, i in graph.aliases],
        "streams": _streams(program),
        "functions": len(program.functions),
        "regions": len(program.regions),
        "memory": _memory(program),
    }


def _of_kind(graph: Graph, kind: str) -> list[Port]:
    return [p for p in graph.inputs if p.kind == kind]


def _streams(program: Program) -> list[Document]:
    counts = Counter(i.engine for f in program.functions for i in f.instructions)
    return [
        {"engine": str(engine), "file": stream_file(engine), "instructions": counts[engine]}
        for engine in Engine
    ]


def _memory(program: Program) -> Document:
    """Bytes: weights stored once, scratchpad, the largest values on chip."""
    on_chip = {s: [b.size for b in program.buffers if b.space is s] for s in Space}
    return {
        "weights": sum(w.shape.bytes for w in program.weights.values()),
        "scratchpad": program.scratchpad,
        "largest_sbuf": max(on_chip[Space.SBUF], default=0),
        "largest_psum": max(on_chip[Space.PSUM], default=0),
    }


def info_document(raw: RawNeff, program: Program) -> Document:
    return document("info", header=header_value(raw), **contents_value(program))


def print_header(out: Console, raw: RawNeff) -> None:
    rows = [[name, _field_text(name, value)] for name, value in header_value(raw).items()]
    out.print(Text(str(raw.path), "bold"), soft_wrap=True)
    print_table(out, table("", ("", ""), rows))


def _field_text(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if name == "data_size":
        return f"{value} ({bytes_text(value)})"
    return hex(value) if name == "feature_bits" else str(value)


def print_contents(out: Console, program: Program, *, everything: bool = False) -> None:
    value = contents_value(program)
    for title in ("inputs", "outputs", "states", "weights"):
        _print_ports(out, title, value[title], everything)
    for alias in value["aliases"]:
        out.print(Text(f"{alias['output']} is written over {alias['input']}"), soft_wrap=True)
    rows = [[s["engine"], s["file"], f"{s['instructions']:,}"] for s in value["streams"]]
    print_table(out, table("\nEngine streams", ("engine", "file", ">instructions"), rows))
    memory = [[k.replace("_", " "), bytes_text(v)] for k, v in value["memory"].items()]
    print_table(out, table("\nMemory", ("", ">"), memory))
    functions = f"{value['functions']} functions, {value['regions']} regions"
    out.print(Text(f"\ntarget {program.target}, {functions}", "dim"))


SHOWN = 12  # tensors of a kind that are listed


def _print_ports(out: Console, title: str, ports: list[Document], everything: bool) -> None:
    if not ports:
        return
    shown = ports if everything else ports[:SHOWN]
    rows = [[p["name"], p["type"], bytes_text(p["bytes"]), p["digest"][:12]] for p in shown]
    total = f"{len(ports)}, {bytes_text(sum(p['bytes'] for p in ports))}"
    print_table(
        out, table(f"\n{title.capitalize()} ({total})", ("name", "type", ">size", "sha256"), rows)
    )
    if len(shown) < len(ports):
        out.print(Text(f"… {len(ports) - len(shown)} more; --all shows them", "dim"))
