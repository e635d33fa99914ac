"""A stand-in for Stripe with a state of its own: what the tests and the sandbox share."""
