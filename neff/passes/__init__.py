"""The compiler passes, one module each; `neff.pipeline` says in which order they run."""
