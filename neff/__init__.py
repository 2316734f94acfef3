"""The compiler: HLO to a fused, placed program, and the NEFF file that holds it."""
