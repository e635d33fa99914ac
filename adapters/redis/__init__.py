"""Redis (or Valkey): what may be lost. Nothing that must not be lost is kept there alone."""
