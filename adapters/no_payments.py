"""A service that sells nothing."""

from typing import Any, NoReturn

from domain.errors import DependencyDown


class NoPayments:
    """The Payments port where no provider is configured: nothing can be bought, and nothing was."""

    name = "payments"

    def __getattr__(self, name: str) -> Any:
        """Whatever is asked of it."""
        return _refuse


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise DependencyDown(NoPayments.name, retry_after=3600)
