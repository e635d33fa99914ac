"""The composition root: the only place that knows the adapters, and the only one that knows dependency_injector.

The injector holds adapters: their configuration, their lifetimes, one set of them for each kind of process. Plain
functions assemble the use cases from a set, so that mypy checks every argument.
"""
