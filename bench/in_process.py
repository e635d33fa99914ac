"""What the application alone costs, without its web server: checkouts side by side, in small turns.

PYTHONPATH=. python bench/in_process.py before=/path/to/a/checkout after=.

One process a checkout calls its WSGI application in one thread; blocks of 40 requests take turns, so that other work of
the machine meets all sides. Process time, lower quartiles: finer than ``side_by_side.py``, and blind to hand-offs.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median, quantiles

from contenders import ANSWER_ALL
from people import Requests
from side_by_side import Side, asked_of
from stage import ROOT, Stage, stage

WARM_UP = 4


class Caller:
    """A process that calls one checkout's application."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def microseconds(self, kind: str) -> float:
        """CPU of a request of this kind, from a block of them."""
        self.tell(kind)
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())


@contextmanager
def calling(here: Stage, side: Side, settings: dict[str, str], kinds: dict[str, Sequence[str]]) -> Iterator[Caller]:
    """The caller of a side."""
    environment = {**here.environment, **settings, **side.settings, "PYTHONPATH": str(side.directory)}
    process = subprocess.Popen(
        [side.settings.get("PYTHON", here.python), str(ROOT / "bench/called.py")],
        cwd=side.directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    caller = Caller(process)
    try:
        caller.tell(json.dumps(kinds))
        yield caller
    finally:
        process.terminate()
        process.wait(30)


def compare(here: Stage, sides: Sequence[Side], options: argparse.Namespace) -> None:
    """All sides and kinds of requests in turn."""
    requests = Requests()
    kinds = {one.name: one.requests for one in asked_of(here, requests, options.only)}
    settings = requests.settings(port=0)
    with ExitStack() as running:
        callers = [running.enter_context(calling(here, side, settings, kinds)) for side in sides]
        found: dict[tuple[str, int], list[float]] = {}
        for number in range(-WARM_UP, options.rounds):
            for kind in kinds:
                for of in random.sample(range(len(sides)), len(sides)):
                    took = callers[of].microseconds(kind)
                    if number >= 0:
                        found.setdefault((kind, of), []).append(took)
            here.query(ANSWER_ALL)
    for kind in kinds:
        first = found[kind, 0]
        for of, side in enumerate(sides):
            mine = found[kind, of]
            quartile, least = quantiles(mine)[0], quantiles(first)[0]
            turns = median(one / beside for one, beside in zip(mine, first, strict=True))
            print(f"{kind:24}{side.name:16}{quartile:8.0f} us  {quartile / least:.3f}  median of turns {turns:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs="+", type=Side.named, help="name=directory[,SETTING=value...]")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs what is measured")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", default="", help="part of the name of an endpoint")
    options = parser.parse_args()
    with stage(options.python) as it:
        compare(it, options.sides, options)
