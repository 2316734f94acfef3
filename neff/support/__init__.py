"""What the documents of AWS Neuron refuse, what they list, and what fits the device's memory."""
