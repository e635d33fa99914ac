"""How long a web process takes until it answers, everything until it is ready, and what imports cost.

make bench-startup
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from statistics import median

import psutil
from figures import busy_note, import_costs, table
from people import Requests
from stage import ROOT, Stage, answers, busy_share, free_port, stage, until

from entrypoints.local_stack.children import inherited_environment

WANTED_WEB, WANTED_RUN = 1.5, 3.0
LOOK_EVERY_SECONDS = 0.005
SHOWN = 15


def web_start(here: Stage) -> tuple[float, float]:
    """Seconds until a web process answers /health/live, and the CPU seconds it took for that."""
    port = free_port()
    began = time.monotonic()
    with here.running("-m", "entrypoints.cli", "web", **Requests().settings(port)) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"), every=LOOK_EVERY_SECONDS)
        taken = time.monotonic() - began
        return taken, sum(process.cpu_times()[:2])


def imports_of_web(here: Stage) -> str:
    """What ``-X importtime`` writes until a web process answers."""
    port = free_port()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [here.python, "-X", "importtime", "-m", "entrypoints.cli", "web"],
            cwd=ROOT,
            env={**here.environment, **Requests().settings(port)},
            stderr=said,
        )
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"), every=LOOK_EVERY_SECONDS)
        process.terminate()
        process.wait(30)
        said.seek(0)
        return said.read()


def run_start(python: str, data: str) -> tuple[float, float]:
    """Seconds until all of ``make run`` is ready, and the CPU seconds of all its processes by then."""
    port = free_port()
    environment = {**inherited_environment(), "PORT": str(port), "DATA_DIR": data, "LLM_PROVIDER": "offline"}
    began = time.monotonic()
    process = subprocess.Popen(
        [python, "-m", "entrypoints.cli", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _is_ready(port), every=LOOK_EVERY_SECONDS)
        taken = time.monotonic() - began
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        return taken, sum(sum(one.cpu_times()[:4]) for one in family)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:  # an HTTPError, too
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the web process")
    parser.add_argument("--embedded", default=sys.executable, help="the one that runs everything")
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    print(busy_note(busy_share()), end="")
    with stage(options.python) as here:
        web = [web_start(here) for _ in range(options.starts)]
        imports = import_costs(imports_of_web(here))
    with tempfile.TemporaryDirectory() as data:
        first, *later = [run_start(options.embedded, data) for _ in range(1 + options.starts)]
    rows = [
        ["web until it answers", *_figures(web), f"{WANTED_WEB}"],
        ["make run, again, until ready", *_figures(later), f"{WANTED_RUN}"],
        ["make run, the first time", *_figures([first]), ""],
    ]
    print(table(["seconds", "median", "shortest", "CPU", "wanted"], rows))
    total = sum(imports.values())
    print(f"Imports of the web process, {total / 1e6:.2f} s while they are timed:\n")
    print(table(["package", "ms"], [[name, f"{cost / 1000:.0f}"] for name, cost in imports.most_common(SHOWN)]))


def _figures(starts: list[tuple[float, float]]) -> list[str]:
    taken = [one for one, _ in starts]
    return [f"{median(taken):.2f}", f"{min(taken):.2f}", f"{median(cpu for _, cpu in starts):.2f}"]


if __name__ == "__main__":
    main()
