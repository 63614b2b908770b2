"""Part of the pen suite."""
