"""The failures a person at the terminal is expected to meet, and one that is none."""


class SupervisorError(Exception):
    """An expected failure. Its text is for the person at the terminal and needs no traceback."""


class ChildFailed(SupervisorError):
    """A child ended, or stayed silent, before it was ready for the first time."""


class ServersUnavailable(SupervisorError):
    """The embedded servers cannot run here: not installed, no such platform, unusable data."""


class StopRequested(Exception):
    """Someone asked the supervisor to stop (Ctrl-C, SIGTERM) while it waited for something."""
