"""A full second implementation of the ports, in the memory of one process: the fakes of the use-case tests."""
