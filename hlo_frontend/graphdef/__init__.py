"""TensorFlow graphs: frozen, cut in segments for Neuron, captured as HLO, put together again."""
