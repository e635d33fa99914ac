"""The command line: ``python -m entrypoints.cli COMMAND``, or ``gemini-chat COMMAND`` where the wheel is installed."""
