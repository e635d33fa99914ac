"""The worker: notifications and the clock come in, replies are written."""
