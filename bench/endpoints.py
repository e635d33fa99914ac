"""What the requests that matter most cost a web process of the service and of two peers, in one run.

make bench-requests
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psutil
from contenders import NAMES, PEERS, PEERS_PYTHON, Running, answer, contenders, fill
from figures import Cell, Rounds, busy_note, contenders_table, members, middle, ratio, ratios_table, table
from load import CONNECTIONS, Answers, generator, load
from people import CASES, Endpoint, Requests, people
from plot import bars
from stage import Stage, busy_share, keep_all_to, split_cores, stage, usage_of

# By kind of request and contender, the bytes of an answer, and the members that another answers and it does not.
Answered = dict[str, dict[str, tuple[int, str]]]

UNIT = "bare"
BARE_REQUESTS = ["GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n"]
# Node compiles what it runs often; a second is not enough for it.
WARM_UP_SECONDS = 3
RESULTS = Path(__file__).parent / "results"


def measured(running: Running, requests: Sequence[str], seconds: int) -> Cell:
    """Some seconds of one kind of request."""
    web_before, servers_before = _cpu(_family(running.process)), _cpu(_servers())
    found: Answers = load(running.port, requests, seconds)
    web, servers = _cpu(_family(running.process)) - web_before, _cpu(_servers()) - servers_before
    good = max(found.good, 1)
    return Cell(
        rate=found.good / found.seconds,
        cpu=web / good * 1000,
        servers_cpu=servers / good * 1000,
        p50=found.p50,
        p99=found.p99,
        pss=usage_of(running.process)[1],
        failed=found.refused + found.lost,
    )


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _servers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith(("postgres", "valkey")):
                found.append(process)
    return found


def _cpu(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds so far, those of children that have ended among them."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def side_by_side(
    here: Stage, kinds: Sequence[Endpoint], servers: Sequence[Running], *, rounds: int, seconds: int
) -> Rounds:
    """All contenders in turn, kind after kind and round after round, so that a slow moment of the machine meets all.

    Each begins a round as often as the others.
    """
    cells: dict[str, dict[str, list[Cell]]] = {kind.name: {one.name: [] for one in servers} for kind in kinds}
    for number in range(-1, rounds):
        for kind in kinds:
            for place in range(len(servers)):
                server = servers[(place + number) % len(servers)]
                requests = BARE_REQUESTS if server.is_bare else kind.requests
                cell = measured(server, requests, seconds if number >= 0 else WARM_UP_SECONDS)
                if number >= 0:
                    cells[kind.name][server.name].append(cell)
                if kind.case in ("create", "message"):
                    server.settle(here)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return cells


def answers_of(kinds: Sequence[Endpoint], servers: Sequence[Running]) -> Answered:
    """What each contender answers, before anything is measured. Raises AssertionError where the statuses differ."""
    answered: Answered = {}
    for kind in kinds:
        found = {one.name: answer(one.port, kind.requests[0]) for one in servers if not one.is_bare}
        statuses = {name: of[9:12] for name, of in found.items()}
        if len(set(statuses.values())) > 1:
            raise AssertionError(f"{kind.name} is answered differently: {statuses}")
        shown = {name: members(json.loads(of.partition(b"\r\n\r\n")[2])) for name, of in found.items()}
        everything = set().union(*shown.values())
        answered[kind.name] = {
            name: (len(of), ", ".join(sorted(everything - shown[name]))) for name, of in found.items()
        }
    return answered


def compare(here: Stage, options: argparse.Namespace, wanted: list[str]) -> tuple[dict[str, Rounds], Answered]:
    """By the number of processes, every round; and what was answered."""
    core, others = split_cores()
    keep_all_to(others)
    requests = Requests()
    kinds = [kind for kind in requests.of_both_halves(people(here)) if kind.case in options.only]
    for name in {"fastapi", "express"} & set(wanted):
        fill(here, name)
    found: dict[str, Rounds] = {}
    answered: Answered = {}
    how = {"processes": 1, "cores": core, "plain": options.plain}
    with contenders(here, wanted, requests, **how) as servers:
        answered = answers_of(kinds, servers)
        found["one process on a core of its own"] = side_by_side(
            here, kinds, servers, rounds=options.rounds, seconds=options.seconds
        )
    if options.two and len(core + others) > 1:
        both = [*core, others[0]]
        keep_all_to(both)
        without_unit = [name for name in wanted if name != UNIT]
        with contenders(here, without_unit, requests, **{**how, "processes": 2, "cores": both}) as servers:
            found["two processes on two cores, shared with all else"] = side_by_side(
                here, kinds, servers, rounds=max(options.rounds // 2, 1), seconds=options.seconds
            )
    return found, answered


def report(
    found: dict[str, Rounds], answered: Answered, options: argparse.Namespace, wanted: list[str], busy: Sequence[float]
) -> str:
    """The document that is kept, as Markdown."""
    peers = [name for name in ("fastapi", "express") if name in wanted]
    names = {name: NAMES[name] for name in wanted}
    how = "without limits, security headers and lines in the log" if options.plain else "with limits, headers and log"
    amount = f"{options.rounds} × {options.seconds} s of each, {how}"
    text = (
        f"# Requests, side by side\n\n`make bench-requests`: {os.cpu_count()} cores, {_versions(options.python)};"
        f" {CONNECTIONS} connections, load by {generator().partition(':')[0]}; {amount}."
        f" Other work took {busy[0]:.0%} of the cores before and {busy[1]:.0%} after.\n\n"
        f"{busy_note(busy[0])}"
        "CPU of the web processes per request (a multiple of bare Express in the same round and case; seconds per 1000"
        " where bare Express did not take part), in brackets requests/s; p50 / p99 in ms; CPU seconds of PostgreSQL and"
        " Valkey per 1000 requests. Medians of the rounds. What each contender does: [README](../README.md#requests).\n"
    )
    for title, rounds in found.items():
        text += f"\n## {title.capitalize()}\n\n{contenders_table(rounds, names, UNIT)}"
        if "ours" in wanted and peers:
            text += f"\n{ratios_table(rounds, names, 'ours', peers)}"
        if UNIT in next(iter(rounds.values())):
            unit = middle([cell for of in rounds.values() for cell in of[UNIT]])
            text += f"\nBare Express: {unit.rate:,.0f} requests/s, {unit.cpu:.3f} CPU s per 1000, {unit.pss:.0f} MB.\n"
    shown = [name for name in wanted if name != UNIT]
    text += "\n## Bytes of an answer, with its head\n\n"
    rows = [[case, *(_size(*of[name]) for name in shown)] for case, of in answered.items()]
    return text + table(["", *(names[name] for name in shown)], rows)


def _size(size: int, missing: str) -> str:
    return f"{size:,}, without {missing}" if missing else f"{size:,}"


def _versions(python: str) -> str:
    build = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False) if _has_node() else None
    return build + (f", Node {node.stdout.strip().removeprefix('v')}" if node else "")


def _has_node() -> bool:
    return bool(shutil.which("node")) and (PEERS / "express/node_modules").exists()


def keep(found: dict[str, Rounds], text: str, wanted: list[str], *, busy: bool) -> None:
    """Into bench/results: all rounds, the table and the plot."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "requests.json").write_text(json.dumps(found, indent=1, default=asdict) + "\n", encoding="utf-8")
    (RESULTS / "requests.md").write_text(text, encoding="utf-8")
    rounds = next(iter(found.values()))
    if UNIT in wanted:
        groups = {
            case: {NAMES[name]: ratio(of[name], of[UNIT], "cpu") for name in wanted if name != UNIT}
            for case, of in rounds.items()
        }
        title = f"CPU per request, bare Express = 1{' (on a busy machine)' if busy else ''}"
        bars(RESULTS / "requests.svg", title, groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the service")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each contender and kind, in each round")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="kinds of requests")
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--plain", action="store_true", help="no limits, no security headers, no lines in the log")
    parser.add_argument("--no-two", dest="two", action="store_false", help="leave out two processes on two cores")
    parser.add_argument("--dry", action="store_true", help="only print: bench/results stays as it is")
    options = parser.parse_args()
    missing = {"bare": _has_node(), "express": _has_node(), "fastapi": PEERS_PYTHON.exists(), "ours": True}
    wanted = [name for name in NAMES if name in options.contenders and missing[name]]
    for name in options.contenders:
        if not missing[name]:
            print(
                f"NOT MEASURED: {NAMES[name]}; make bench-requests installs it, with node 20 or newer", file=sys.stderr
            )
    print(f"Load by {generator()}", file=sys.stderr)
    before = busy_share()
    with stage(options.python) as here:
        found, answered = compare(here, options, wanted)
    text = report(found, answered, options, wanted, (before, busy_share()))
    print(text)
    if not options.dry:
        keep(found, text, wanted, busy=bool(busy_note(before)))


if __name__ == "__main__":
    main()
