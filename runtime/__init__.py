"""The runtime: NeuronCores, the interpreter that runs a program on one, and `neuron::Model`."""
