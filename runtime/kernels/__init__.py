"""What the interpreter computes of each op, in JAX."""
