"""The use cases of the chat backend, and the ports they need."""
