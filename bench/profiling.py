"""Where the real web process spends its time with one kind of request: a flame graph by py-spy, and the top of it.

make profile CASE=me|list|room|create|message
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil
from contenders import ANSWER_ALL
from figures import Stacks, own_time, packages, read_stacks, table
from load import generator, load
from people import CASES, Requests, people
from plot import flame
from stage import ROOT, Stage, answers, free_port, keep_all_to, pinned, split_cores, stage, until

SAMPLES_PER_SECOND = 250
SHOWN = 15
RESULTS = Path(__file__).parent / "results"


def sampled(here: Stage, py_spy: str, case: str, seconds: int) -> Stacks:
    """By stack, the samples of a web process that is asked one kind of request."""
    requests, port = Requests(), free_port()
    kind = next(one for one in requests.of_both_halves(people(here)) if one.case == case)
    core, others = split_cores()
    keep_all_to(others)
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as raw:
        # py-spy starts what it looks into: a system may allow it to look into nothing else.
        # --gil: to a process that is stopped for a look, threads that wait seem to work.
        command = [py_spy, "record", "--gil", "--function", "--format", "raw", "--output", raw.name]
        command += ["--rate", str(SAMPLES_PER_SECOND), "--"]
        command += [*pinned(core), here.python, "-m", "entrypoints.cli", "web"]
        environment = {**here.environment, **requests.settings(port)}
        spy = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        children = []
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
            children = psutil.Process(spy.pid).children()
            found = load(port, kind.requests, seconds)
            print(f"{kind.name}: {found.good / found.seconds:,.0f} requests/s while sampled, {found.refused} refused")
            here.query(ANSWER_ALL)
        finally:
            spy.send_signal(signal.SIGINT)  # it writes what it has, and ends what it has started
            spy.wait(30)
            for child in children:
                if child.is_running():
                    child.terminate()
        return read_stacks(raw.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the service")
    parser.add_argument("--py-spy", default="py-spy")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    print(f"Load by {generator()}", file=sys.stderr)
    with stage(options.python) as here:
        stacks = sampled(here, options.py_spy, options.case, options.seconds)
    total = sum(stacks.values())
    if not total:
        sys.exit("py-spy took no sample: it needs ptrace of its own children (in a container: --cap-add SYS_PTRACE)")
    path = RESULTS / f"profile-{options.case}.svg"
    flame(path, f"{options.case}: {total} samples of the thread that holds the interpreter", stacks)
    for title, counted in (("package", packages(stacks)), ("function", own_time(stacks))):
        print(table([title, "its own share"], _largest(counted, total)))
    print(path.relative_to(ROOT))


def _largest(counted: Counter[str], total: int) -> list[list[str]]:
    return [[name, f"{samples / total:.1%}"] for name, samples in counted.most_common(SHOWN)]


if __name__ == "__main__":
    main()
