"""The composition root: the only place that knows the adapters, and the only one that knows dependency_injector.

Each process is built by a module of its own, so that it imports what it needs and nothing else.
"""
