"""Two checkouts, or one with two sets of settings, measured in turn, request by request, on one stage.

PYTHONPATH=. python bench/side_by_side.py before=/path/to/a/checkout after=. "pinned=.,CORE=1"

A setting CORE keeps the web process to that core (taskset), PYTHON names its interpreter. All sides use the same
database, so their schemas have to be the same. Rounds alternate; what is printed are medians, and
each side's CPU and p99 as multiples of the first side's in the same round.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from contenders import ANSWER_ALL, Running
from endpoints import measured
from figures import Cell
from load import CONNECTIONS
from people import Endpoint, Requests, people
from stage import Stage, answers, free_port, stage, until


@dataclass(frozen=True)
class Side:
    """A checkout and the settings that differ."""

    name: str
    directory: Path
    settings: dict[str, str]

    @classmethod
    def named(cls, text: str) -> "Side":
        name, _, rest = text.partition("=")
        directory, *settings = rest.split(",")
        return cls(name, Path(directory).resolve(), dict(one.split("=", 1) for one in settings))


def asked(here: Stage, requests: Requests, only: str) -> list[Endpoint]:
    """The requests of everybody, of the kinds whose name has ``only`` in it."""
    return [kind for kind in requests.of_both_halves(people(here)) if only in kind.name]


@contextmanager
def serving(here: Stage, side: Side, requests: Requests, options: argparse.Namespace) -> Iterator[Running]:
    """A web process of a side."""
    port = free_port()
    command = [side.settings.get("PYTHON", options.python), "-m", "entrypoints.cli", "web"]
    cores = [int(side.settings["CORE"])] if "CORE" in side.settings else []
    settings = requests.settings(port) | side.settings
    with here.program(*command, directory=side.directory, cores=cores, **settings) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
        yield Running(side.name, port, process)


def compare(here: Stage, sides: Sequence[Side], options: argparse.Namespace) -> None:
    requests = Requests()
    kinds = asked(here, requests, options.only)
    found: dict[tuple[str, str], list[Cell]] = {}
    with ExitStack() as running:
        webs = {side.name: running.enter_context(serving(here, side, requests, options)) for side in sides}
        for number in range(options.rounds + 1):
            for kind in kinds:
                for side in sides if number % 2 else reversed(sides):
                    one = measured(webs[side.name], kind.requests, options.seconds)
                    here.query(ANSWER_ALL)
                    if number:
                        found.setdefault((kind.name, side.name), []).append(one)
    _report([kind.name for kind in kinds], [side.name for side in sides], found)


def _report(kinds: Sequence[str], sides: Sequence[str], found: dict[tuple[str, str], list[Cell]]) -> None:
    print(
        f"{'':24}{'':22}  req/s  CPU s/1000  servers  p50 ms  p99 ms  PSS MB  failed  CPU ratio (of rounds)  p99 ratio"
    )
    for kind in kinds:
        first = found[kind, sides[0]]
        for side in sides:
            of = found[kind, side]
            ratios = sorted(one.cpu / beside.cpu for one, beside in zip(of, first, strict=True))
            tails = [one.p99 / beside.p99 for one, beside in zip(of, first, strict=True)]
            print(
                f"{kind:24}{side:22}{median(one.rate for one in of):7,.0f}{median(one.cpu for one in of):12.3f}"
                f"{median(one.servers_cpu for one in of):9.3f}{median(one.p50 for one in of):8.1f}"
                f"{median(one.p99 for one in of):8.1f}{max(one.pss for one in of):8.0f}"
                f"{sum(one.failed for one in of):8}"
                f"{median(ratios):11.3f} ({ratios[0]:.2f}-{ratios[-1]:.2f}){median(tails):11.2f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs="+", type=Side.named, help="name=directory[,SETTING=value...]")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs what is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the name of an endpoint")
    options = parser.parse_args()
    print(f"{psutil.cpu_count()} cores, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s")
    with stage(options.python) as it:
        compare(it, options.sides, options)
