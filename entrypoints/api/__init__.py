"""The HTTP layer: one file per resource, and what all requests share."""
