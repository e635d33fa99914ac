"""What comes of a check."""


class Failed(Exception):
    """The promise is broken. The text says how."""


class LeftOut(Exception):
    """The promise could not be looked at. The text says why, and what to do about it."""


class OutOfTime(Failed):
    """The time of the whole run is up."""


def expect(condition: object, otherwise: str) -> None:
    """Raise Failed unless the condition is true."""
    if not condition:
        raise Failed(otherwise)
