"""Calls that run at the same time, in an order that a test decides: one goes on at a time, up to its next pause."""

from collections.abc import Callable, Iterable
from threading import Lock, Thread, current_thread


class Killed(BaseException):
    """The process died at this pause. No ``except Exception`` sees it."""


class Turn:
    """A call in a thread of its own. ``dies_at``: the number of the pause at which it is killed, from 1."""

    def __init__(self, call: Callable[[], object], turns: "Turns", dies_at: int = 0) -> None:
        self._call = call
        self._turns = turns
        self._dies_at = dies_at
        self.pauses = 0
        self.ended = False
        self.error: BaseException | None = None
        self._go, self._stopped = Lock(), Lock()  # each is released by the other side
        self._go.acquire()
        self._stopped.acquire()
        self._thread = Thread(target=self._run, daemon=True)

    def go_on(self) -> None:
        """To the next pause, or to the end."""
        if self._thread.ident is None:
            self._thread.start()
        self._turns.running = self
        self._go.release()
        self._stopped.acquire()
        self._turns.running = None
        if self.ended:
            self._thread.join()

    def pause(self) -> None:
        """Called in the thread."""
        self.pauses += 1
        self._stopped.release()
        self._go.acquire()
        if self.pauses == self._dies_at:
            raise Killed

    def is_current(self) -> bool:
        return current_thread() is self._thread

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error
        self.ended = True
        self._stopped.release()


class Turns:
    """The calls that are under way."""

    def __init__(self) -> None:
        self.running: Turn | None = None
        self.under_way: list[Turn] = []

    def pause(self) -> None:
        """A place at which others may go on. Nothing for what runs outside of any turn."""
        if self.running is not None and self.running.is_current():
            self.running.pause()

    def begin(self, call: Callable[[], object], dies_at: int = 0) -> Turn:
        turn = Turn(call, self, dies_at)
        self.under_way.append(turn)
        return turn

    def step(self, turn: Turn) -> None:
        turn.go_on()
        if turn.ended:
            self.under_way.remove(turn)

    def finish(self, turns: Iterable[Turn] | None = None) -> None:
        """To the end, one after the other."""
        for turn in list(self.under_way if turns is None else turns):
            while not turn.ended:
                self.step(turn)
