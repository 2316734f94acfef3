"""The numerics contract: bounds, number formats, options."""
