"""What the benches compute and write, without measuring anything: percentiles, medians, tables."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values are."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def without_omission(latencies: Sequence[float], interval: float) -> list[float]:
    """What would have been waited for had a connection sent every ``interval``, however late the last answer was.

    A connection that waits sends nothing meanwhile, and so omits what would also have been slow ("coordinated
    omission"). Corrected as wrk and HdrHistogram do it.
    """
    corrected = list(latencies)
    for latency in latencies:
        missed = latency - interval
        while interval > 0 and missed > interval:
            corrected.append(missed)
            missed -= interval
    return corrected


@dataclass(frozen=True)
class Cell:
    """One kind of request, for some seconds, by one contender.

    ``rate``: answers of 2xx a second. ``cpu``, ``servers_cpu``: CPU seconds for 1000 of them, of the web processes and
    of PostgreSQL and Valkey. ``p50``, ``p99``: milliseconds. ``pss``: MB. ``failed``: anything but 2xx.
    """

    rate: float
    cpu: float
    servers_cpu: float
    p50: float
    p99: float
    pss: float
    failed: float


def middle(cells: Sequence[Cell]) -> Cell:
    """The median of each figure; of the failures, the sum."""
    of = {field.name: median(getattr(cell, field.name) for cell in cells) for field in fields(Cell)}
    return Cell(**{**of, "failed": sum(cell.failed for cell in cells)})


def ratio(of: Sequence[Cell], to: Sequence[Cell], figure: str) -> float:
    """The median, over the rounds, of a figure of ``of`` as a multiple of that of ``to`` in the same round."""
    return float(median(getattr(one, figure) / getattr(beside, figure) for one, beside in zip(of, to, strict=True)))


def shape(document: object) -> object:
    """What there is in a JSON document, whatever the values: the members of objects, the kinds of members in a list."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in sorted(document.items())}
    if isinstance(document, list):
        return sorted({json.dumps(shape(member)) for member in document})
    return None


# By case and contender, what each round was.
Rounds = Mapping[str, Mapping[str, Sequence[Cell]]]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def contenders_table(rounds: Rounds, names: Mapping[str, str], unit: str) -> str:
    """A row a kind of request: CPU as a multiple of the contender ``unit``, in seconds where that did not take part."""
    shown = [name for name in names if name != unit]

    def cell(of: Mapping[str, Sequence[Cell]], name: str) -> str:
        here = middle(of[name])
        cpu = f"{ratio(of[name], of[unit], 'cpu'):.2f}" if unit in of else f"{here.cpu:.3f} s"
        failed = f"; **{here.failed:.0f} failed**" if here.failed else ""
        return f"{cpu} ({here.rate:,.0f}; {here.p50:.1f} / {here.p99:.1f}; {here.servers_cpu:.2f}){failed}"

    rows = [[case, *(cell(of, name) for name in shown if name in of)] for case, of in rounds.items()]
    memory = [max(one.pss for of in rounds.values() for one in of[name]) for name in shown]
    return table(["", *(names[name] for name in shown)], [*rows, ["PSS, MB", *(f"{of:.0f}" for of in memory)]])


def ratios_table(rounds: Rounds, names: Mapping[str, str], ours: str, peers: Sequence[str]) -> str:
    """A row a kind of request: what ours is as a multiple of each peer, in CPU, requests/s and p99."""
    head = [
        "",
        *(f"{what} ÷ {names[peer].partition(',')[0]}" for peer in peers for what in ("CPU", "requests/s", "p99")),
    ]
    rows = [
        [case, *(f"{ratio(of[ours], of[peer], figure):.2f}" for peer in peers for figure in ("cpu", "rate", "p99"))]
        for case, of in rounds.items()
    ]
    return table(head, rows)


# By stack, the outermost frame first, the number of samples. A frame is "function (file:line)", as py-spy writes it.
Stacks = Mapping[tuple[str, ...], int]
# A stack with one of these is of the start of the process.
STARTING = ("_find_and_load", "build_web")
PACKAGES_OF_OURS = ("adapters", "application", "domain", "entrypoints")


def read_stacks(raw: str) -> Stacks:
    """What py-spy writes as ``raw``, without what the process did before it served."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in raw.splitlines():
        frames, _, samples = line.rpartition(" ")
        if frames and not any(mark in frames for mark in STARTING):
            stacks[tuple(frames.split(";"))] += int(samples)
    return stacks


def own_time(stacks: Stacks) -> Counter[str]:
    """By innermost frame, its samples: what a function did itself, or in C."""
    found: Counter[str] = Counter()
    for stack, samples in stacks.items():
        found[stack[-1]] += samples
    return found


def packages(stacks: Stacks) -> Counter[str]:
    """The same, by package; of ours by its part, such as adapters/sql."""
    found: Counter[str] = Counter()
    for frame, samples in own_time(stacks).items():
        path = frame.partition("(")[2].partition(":")[0].split("/")
        name = "/".join(path[:2]) if path[0] in PACKAGES_OF_OURS else path[0]
        found[name if len(path) > 1 else "Python's own library"] += samples
    return found


# The share of the cores that others may take before a run.
MOST_BUSY = 0.1


def busy_note(busy: float) -> str:
    """What a reader has to know of a run that was not alone, as a paragraph; nothing otherwise."""
    if busy <= MOST_BUSY:
        return ""
    return (
        "**The machine was busy with something else: the figures show that the bench works, and compare nothing.**\n\n"
    )


# A request may cost so many times as much where there is much.
MOST_GROWTH = 1.3
# By kind of request and what there is much of: what each round was there, and where there is little.
Growth = Mapping[str, Mapping[str, tuple[Sequence[Cell], Sequence[Cell]]]]


def growth_table(growth: Growth) -> str:
    """A row a kind of request: CPU of the web process and of the servers, as a multiple of what it is with little."""

    def multiple(big: Sequence[Cell], small: Sequence[Cell]) -> str:
        values = [ratio(big, small, figure) for figure in ("cpu", "servers_cpu")]
        return " / ".join(f"**{value:.2f}**" if value > MOST_GROWTH else f"{value:.2f}" for value in values)

    rows = []
    for case, of in growth.items():
        little = middle(next(iter(of.values()))[1])
        rows.append(
            [case, f"{little.cpu:.3f} / {little.servers_cpu:.3f} s", *(multiple(*pair) for pair in of.values())]
        )
    failed = sum(cell.failed for of in growth.values() for pair in of.values() for cells in pair for cell in cells)
    return (
        table(["web / servers", "little, per 1000", *next(iter(growth.values()))], rows) + f"\n{failed:.0f} failed.\n"
    )


def import_costs(report: str) -> Counter[str]:
    """By package, the microseconds that its modules took themselves, of what ``python -X importtime`` writes."""
    found: Counter[str] = Counter()
    for line in report.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if line.startswith("import time:") and own.strip().isdecimal():
            found[rest.partition("|")[2].strip().partition(".")[0]] += int(own)
    return found
