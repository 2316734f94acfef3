"""The Neuron compiler as a tool: `neuronx-cc`, or `python -m neuronxcc`."""

from neuronxcc.version import __version__ as __version__
