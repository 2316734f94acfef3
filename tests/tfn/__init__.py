"""Tests of tensorflow.neuron."""
