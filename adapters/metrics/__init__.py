"""Metrics for Prometheus (docs/decisions): adapters that count what passes through them, and observers."""
