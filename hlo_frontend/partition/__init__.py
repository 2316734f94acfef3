"""Cuts the TorchScript graph of a model in segments that run on Neuron and on the CPU."""

from hlo_frontend.partition.assemble import assemble
from hlo_frontend.partition.cut import Part, Partition, Segment, partition
from hlo_frontend.partition.levels import Policy, Side
from hlo_frontend.partition.traced import Site, Traced, trace_graph

__all__ = [
    "Part",
    "Partition",
    "Policy",
    "Segment",
    "Side",
    "Site",
    "Traced",
    "assemble",
    "partition",
    "trace_graph",
]
