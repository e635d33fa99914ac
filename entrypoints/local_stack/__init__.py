"""What `make run` needs around the service: child processes, and the embedded real servers."""
