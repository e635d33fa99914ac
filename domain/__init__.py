"""The rules of the chat backend: plain values, no clock, no chance, no input or output."""
