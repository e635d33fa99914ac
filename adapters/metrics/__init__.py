"""Metrics for Prometheus (decision 20): adapters that count what passes through them, and observers."""
