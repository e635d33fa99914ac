"""The entry points: HTTP, worker, command line; the settings they read and the container that wires them."""
