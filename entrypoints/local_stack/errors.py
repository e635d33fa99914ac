"""Expected failures, with texts for the person at the terminal, and a request to stop."""


class SupervisorError(Exception):
    """An expected failure. Its text is for the person at the terminal and needs no traceback."""


class ChildFailed(SupervisorError):
    """A child ended, or stayed silent, before it was ready for the first time."""


class ServersUnavailable(SupervisorError):
    """The embedded servers cannot run here: not installed, no such platform, unusable data."""


class StopRequested(Exception):
    """A request to stop (Ctrl-C, SIGTERM) came while the supervisor waited for something."""
