"""The stories of the chat backend, one per file, and the ports they need."""
