"""Signing up, logging in, and proving who is asking."""
