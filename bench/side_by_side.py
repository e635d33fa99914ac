"""Two checkouts, or one with two sets of settings, measured in turn, request by request, on one stage.

PYTHONPATH=. python bench/side_by_side.py before=/path/to/a/checkout after=. "pinned=.,CORE=1"

A setting CORE keeps the web process to that core (taskset), PYTHON names its interpreter. All sides use the same
database, so their schemas have to be the same. Rounds alternate; what is printed are medians, and
each side's CPU and p99 as multiples of the first side's in the same round.
"""

import argparse
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from endpoints import ANSWER_ALL, CONNECTIONS, Measured, endpoints, measured, people
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


def environment_of(here: Stage, side: Side, secret: str) -> dict[str, str]:
    """What a web process of a side is told."""
    return {
        **here.environment,
        "JWT_SECRET": secret,
        "OTP_DELIVERY": "console",
        "TRUSTED_PROXIES": "127.0.0.1",
        "LOG_LEVEL": "info",
        "BACKLOG_REPLIES": "1000000",
        "USER_BACKLOG_REPLIES": "100000",
        **side.settings,
    }


@contextmanager
def serving(here: Stage, side: Side, secret: str, options: argparse.Namespace) -> Iterator[tuple[int, psutil.Process]]:
    """A web process of a side: its port and the process."""
    port = free_port()
    environment = environment_of(here, side, secret) | {"PORT": str(port)}
    python = side.settings.get("PYTHON", options.python)
    command = [python, "-m", "entrypoints.cli", "web"]
    if "CORE" in side.settings:
        command = ["taskset", "--cpu-list", side.settings["CORE"], *command]
    process = subprocess.Popen(command, cwd=side.directory, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def compare(here: Stage, sides: Sequence[Side], options: argparse.Namespace) -> None:
    secret = secrets.token_hex(32)
    kinds = [one for one in endpoints(people(here), secret) if options.only in one.name]
    found: dict[tuple[str, str], list[Measured]] = {}
    with ExitStack() as running:
        webs = {side.name: running.enter_context(serving(here, side, secret, options)) for side in sides}
        for number in range(options.rounds + 1):
            for kind in kinds:
                for side in sides if number % 2 else reversed(sides):
                    port, web = webs[side.name]
                    seconds = options.seconds if number else min(options.seconds, 1.5)
                    one = measured(port, kind.requests, seconds, web)
                    here.query(ANSWER_ALL)
                    if number:
                        found.setdefault((kind.name, side.name), []).append(one)
        memory = {name: web.memory_full_info().pss / 1e6 for name, (_, web) in webs.items()}
    _report([kind.name for kind in kinds], [side.name for side in sides], found)
    print("PSS, MB: " + ", ".join(f"{name} {size:.0f}" for name, size in memory.items()))


def _report(kinds: Sequence[str], sides: Sequence[str], found: dict[tuple[str, str], list[Measured]]) -> None:
    print(f"{'':24}{'':22}  req/s  CPU s/1000  servers  p50 ms  p99 ms  failed  CPU ratio (of rounds)  p99 ratio")
    for kind in kinds:
        first = found[kind, sides[0]]
        for side in sides:
            of = found[kind, side]
            ratios = sorted(one.web_cpu / beside.web_cpu for one, beside in zip(of, first, strict=True))
            tails = [one.p99 / beside.p99 for one, beside in zip(of, first, strict=True)]
            print(
                f"{kind:24}{side:22}{median(one.rate for one in of):7,.0f}{median(one.web_cpu for one in of):12.3f}"
                f"{median(one.servers_cpu for one in of):9.3f}{median(one.p50 for one in of):8.1f}"
                f"{median(one.p99 for one in of):8.1f}{sum(one.failed for one in of):8}"
                f"{median(ratios):11.3f} ({ratios[0]:.2f}-{ratios[-1]:.2f}){median(tails):11.2f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs="+", type=Side.named, help="name=directory[,SETTING=value...]")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs what is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--only", default="", help="part of the name of an endpoint")
    options = parser.parse_args()
    print(f"{psutil.cpu_count()} cores, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds:g} s")
    with stage(options.python) as it:
        compare(it, options.sides, options)
