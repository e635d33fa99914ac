"""What keeps a process from starting."""


class CannotStart(Exception):
    """A process or command cannot work with what it was given. The text is one sentence for operators."""
