"""The worker's door: rings and the clock come in, replies are written."""
