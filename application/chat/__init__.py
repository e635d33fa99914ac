"""Chatrooms, messages, and the replies to them."""
