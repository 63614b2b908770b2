"""Statistics: one snapshot of the facts, and the forms it is shown in."""
