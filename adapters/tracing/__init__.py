"""Traces by OpenTelemetry (decision 30): adapters that make spans of what passes through them.

They need the extra ``tracing``. No attribute holds what a user, a model or a client wrote, but for the request id,
which is safe to log.
"""
