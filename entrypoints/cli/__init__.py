"""The operator's door: ``python -m entrypoints.cli COMMAND``."""
