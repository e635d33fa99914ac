"""What the benches compute and write, and that the peers they measure can be read at all."""

import ast
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.figures import (
    Cell,
    busy_note,
    contenders_table,
    growth_table,
    import_costs,
    middle,
    own_time,
    packages,
    percentile,
    ratio,
    ratios_table,
    read_stacks,
    shape,
    without_omission,
)
from bench.plot import bars, flame

PEERS = Path(__file__).resolve().parents[2] / "bench/peers"


def cell(cpu: float = 1.0, rate: float = 100.0, p99: float = 10.0, failed: float = 0) -> Cell:
    return Cell(rate=rate, cpu=cpu, servers_cpu=0.1, p50=5.0, p99=p99, pss=50.0, failed=failed)


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value


def test_what_waited_behind_a_slow_answer_counts_too() -> None:
    assert without_omission([10.0, 50.0], interval=20.0) == [10.0, 50.0, 30.0]
    assert without_omission([10.0, 15.0], interval=20.0) == [10.0, 15.0]


def test_a_ratio_is_of_the_same_round() -> None:
    quiet, busy = cell(cpu=1.0), cell(cpu=9.0)
    assert ratio([cell(cpu=2.0), cell(cpu=18.0)], [quiet, busy], "cpu") == 2.0


def test_failures_are_summed_where_the_rest_is_the_median() -> None:
    assert middle([cell(rate=1, failed=2), cell(rate=5), cell(rate=3, failed=1)]) == cell(rate=3, failed=3)


def test_two_answers_are_alike_when_they_have_the_same_members() -> None:
    assert shape({"b": [{"x": 1}, {"x": 2}], "a": None}) == shape({"a": "text", "b": [{"x": 3}]})
    assert shape([1, {"x": 1}, {"y": 1}]) == shape([{"y": 2}, {"x": 2}, "text"])
    assert shape({"a": [{"x": 1}]}) != shape({"a": [{"y": 1}]})


def test_the_tables_have_a_row_for_each_kind_of_request() -> None:
    rounds = {
        "GET /x": {"bare": [cell()], "ours": [cell(cpu=3.0)], "peer": [cell(cpu=2.0, rate=50)]},
        "POST /x": {"bare": [cell()], "ours": [cell(cpu=6.0, failed=7)], "peer": [cell(cpu=2.0)]},
    }
    names = {"bare": "Bare", "ours": "Ours", "peer": "Peer"}
    text = contenders_table(rounds, names, "bare")
    assert "| GET /x | 3.00 (100; 5.0 / 10.0; 0.10) | 2.00 (50; 5.0 / 10.0; 0.10) |\n" in text
    assert "**7 failed**" in text
    assert "| PSS, MB | 50 | 50 |\n" in text
    assert "| POST /x | 3.00 | 1.00 | 1.00 |\n" in ratios_table(rounds, names, "ours", ["peer"])


def test_what_grows_too_much_is_marked() -> None:
    text = growth_table({"GET /x": {"many": ([cell(cpu=1.2)], [cell()]), "long": ([cell(cpu=2.0)], [cell()])}})
    assert "| GET /x | 1.000 / 0.100 s | 1.20 / 1.00 | **2.00** / 1.00 |\n" in text


def test_a_run_beside_other_work_says_so() -> None:
    assert busy_note(0.02) == ""
    assert "compare nothing" in busy_note(0.5)


def test_without_the_unit_the_table_says_seconds() -> None:
    rounds = {"GET /x": {"ours": [cell(cpu=3.0)]}}
    assert "3.000 s (" in contenders_table(rounds, {"bare": "Bare", "ours": "Ours"}, "bare")


def test_the_plot_is_xml_with_a_bar_for_each(tmp_path: Path) -> None:
    bars(tmp_path / "x.svg", "CPU", {"GET /x": {"ours": 3.0, "peer": 2.0}, "POST /x": {"ours": 6.0, "peer": 2.0}})
    assert (tmp_path / "x.svg").read_text(encoding="utf-8").count("<rect") == 1 + 4


RAW = """\
run (threading.py:1);call (entrypoints/server/wsgi.py:77);read (adapters/sql/reader.py:10) 3
run (threading.py:1);call (entrypoints/server/wsgi.py:77);dispatch (flask/app.py:5) 1
<module> (wsgi.py:1);_find_and_load (<frozen importlib._bootstrap>:1) 50
"""


def test_the_cost_of_imports_is_that_of_packages() -> None:
    report = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     flask.app
import time:        50 |        150 |   flask
import time:         7 |        157 | click
a line of something else
"""
    assert import_costs(report) == {"flask": 150, "click": 7}


def test_a_profile_is_counted_by_what_did_it_and_leaves_out_the_start() -> None:
    stacks = read_stacks(RAW)
    assert own_time(stacks) == {"read (adapters/sql/reader.py:10)": 3, "dispatch (flask/app.py:5)": 1}
    assert packages(stacks) == {"adapters/sql": 3, "flask": 1}


def test_a_flame_graph_is_xml_with_each_frame_once(tmp_path: Path) -> None:
    flame(tmp_path / "x.svg", "me", read_stacks(RAW))
    titles = [one.text for one in ET.parse(tmp_path / "x.svg").iter("{http://www.w3.org/2000/svg}title")]
    assert sorted(filter(None, titles)) == [
        "call (entrypoints/server/wsgi.py:77): 100.0%",
        "dispatch (flask/app.py:5): 25.0%",
        "read (adapters/sql/reader.py:10): 75.0%",
        "run (threading.py:1): 100.0%",
    ]


def test_the_peers_can_be_read() -> None:
    ast.parse((PEERS / "fastapi/app.py").read_text(encoding="utf-8"))
    wanted = json.loads((PEERS / "express/package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((PEERS / "express/package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert wanted == {name: locked[f"node_modules/{name}"]["version"] for name in wanted}
    pinned = (PEERS / "fastapi/requirements.txt").read_text(encoding="utf-8")
    for line in (PEERS / "fastapi/requirements.in").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or f"{line} \\\n" in pinned
