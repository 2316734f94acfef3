"""The tracing implementation, under the module path that AWS's packages give it."""
