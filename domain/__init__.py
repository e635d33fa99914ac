"""The rules of the chat backend as plain values: no clock, no randomness, no input or output."""
