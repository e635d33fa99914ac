"""The HTTP door: JSON in, stories told, JSON out."""
