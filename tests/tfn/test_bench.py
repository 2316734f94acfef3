"""What `scripts/bench --tensorflow` measures with, and where it writes."""

import pytest

from hlo_frontend.graphdef.assemble import Compiled, assemble
from hlo_frontend.graphdef.partition import partition
from scripts import bench_tensorflow as bench
from scripts.bench_document import END


def _segments(count):
    graph = bench.chain(count)
    outside = {node.name for node in graph.nodes[50::100]}
    segments = partition(graph, outside)
    made = assemble(graph, [Compiled(s, b"", (1, 1, 1, 10), False) for s in segments])
    return graph, outside, segments, made


def test_a_graph_of_many_segments_is_put_together():
    graph, outside, segments, made = _segments(1000)
    assert len(segments) == 11
    inside = set().union(*(s.names for s in segments))
    assert inside | outside | {"n0"} == {node.name for node in graph.nodes}
    assert [n.op for n in made.node].count("NeuronOp") == 11
    assert outside < {n.name for n in made.node}


def test_outputs_of_a_segment_are_what_others_read():
    graph, _, segments, _ = _segments(400)
    for segment in segments:
        read = {
            t for node in graph.nodes if node.name not in segment.names for t in graph.read_by(node)
        }
        ports = [t for node in segment.nodes for t in graph.ports[node.name]]
        assert list(segment.outputs) == [t for t in ports if t in read or t in graph.outputs]


def test_figures_are_written_between_their_marks():
    text = f"before\n{bench.BEGIN}\nold\n{END}\nafter\n"
    made = bench.written(text, [("what", "1 s", "< 2 s")])
    assert made.startswith(f"before\n{bench.BEGIN}\n\n| what | figure | goal |")
    assert "| what | 1 s | < 2 s |" in made
    assert made.endswith(f"\n{END}\nafter\n")
    assert "old" not in made
    with pytest.raises(ValueError, match=r"tensorflow\.md must hold"):
        bench.written("nothing", [])


def test_the_document_has_a_place_for_them():
    text = bench.DOCUMENT.read_text()
    assert bench.written(text, []) != text
