"""A typed client of the Gemini-style chat backend."""

from gemini_chat.client import Client, ProblemError, Tokens

__all__ = ["Client", "ProblemError", "Tokens"]
