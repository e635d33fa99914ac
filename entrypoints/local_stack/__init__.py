"""A local stack for newcomers and tests: real servers out of wheels, and the service on them. Not for production."""
