"""The driver of the compiler's command line, under the name by which programs call it."""
