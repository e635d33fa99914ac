"""Adapters in the memory of one process, held to the contracts of the ports: the fakes of the unit tests."""
