"""The side-by-side measurements: turns, medians, the table, and peers that are not there or break off."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from campaigns.errors import InputError
from envs.world import PriceRange, World
from experiments.benchmark import SECTIONS, run_benchmark
from experiments.benchmarks.measured import (
    AbsentPeerError,
    Measured,
    against,
    describe_machine,
    take_turns,
    write_table,
)
from experiments.benchmarks.scale import measure
from experiments.config import BenchmarkSection, Config
from experiments.main import CONF
from experiments.peers.installed import Contestant, every, python_of
from experiments.peers.market_export import SUMS, export_weeks
from history.artifacts import read_json, read_tensors
from history.state import State
from simulators.reference import reference_market, reference_pool, reference_world
from simulators.shopping import Noise

PINS = sorted((CONF.parent / "experiments" / "peers").rglob("*.txt"))
ANSWERING = """import sys
for line in sys.stdin:
    print("hello")
    print(f'{{"rate": {10 + int(line)}}}', flush=True)
"""


@pytest.fixture(scope="module")
def world() -> World:
    return World(reference_market(), reference_world().observer, reference_pool(256, seed=1), PriceRange())


def test_contestants_take_turns_round_by_round() -> None:
    order = []

    def turn(name: str) -> Callable[[int], float]:
        def go(number: int) -> float:
            order.append((number, name))
            return 1.0

        return go

    take_turns({"a": turn("a"), "b": turn("b")}, 2)
    assert order == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]


def test_one_who_cannot_take_their_turn_is_named_and_stops_nobody() -> None:
    def broken(number: int) -> float:
        if number == 1:
            raise AbsentPeerError("not installed (make peers)")
        return 5.0

    rates, absent = take_turns({"ours": lambda number: 8.0, "theirs": broken}, 3)
    assert rates == {"ours": [8.0, 8.0, 8.0]}
    row = against("ours", "theirs", rates, absent, unit="steps", target=">= 2x")
    assert not row.installed and row.ratio is None
    assert "theirs" in row.what and "not installed" in row.value and row.target == ">= 2x"


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    rates = {"ours": [10.0, 40.0, 60.0], "theirs": [5.0, 10.0, 60.0]}
    row = against("ours", "theirs", rates, {}, unit="steps")
    assert row.ratios == [2.0, 4.0, 1.0]
    assert row.ratio == 2.0  # the ratio of the medians is 4
    assert "40 against 10 steps" in row.value


def test_the_table_has_a_row_for_each_figure_and_says_where_it_was_measured() -> None:
    machine = describe_machine(3)
    page = write_table([Measured("a|b", "1\n2", target=">= 1"), Measured("c", "3")], machine)
    rows = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert rows == ["| a\\|b | 1 2 | >= 1 |", "| c | 3 |  |"]
    assert str(machine["load_average"]) in page and "3 interleaved rounds" in page


def test_a_peer_without_an_environment_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(AbsentPeerError, match="make peers"):
        python_of(tmp_path, "recogym")


def test_a_process_answers_each_round_and_ends_with_the_block(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(ANSWERING, "utf-8")
    with every({"one": Contestant(tmp_path, None, str(tmp_path / "worker.py"))}) as contestants:
        assert take_turns(contestants, 3) == ({"one": [10.0, 11.0, 12.0]}, {})
        process = contestants["one"]._process
    assert process is not None and process.poll() is not None


@pytest.mark.parametrize(
    ("script", "said"),
    [("import nothing_of_this_name\n", "not installed"), ("raise ValueError('too old')\n", "broke off.*too old")],
)
def test_a_process_that_ends_says_why(script: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(script, "utf-8")
    with (
        Contestant(tmp_path, None, str(tmp_path / "worker.py")) as contestant,
        pytest.raises(AbsentPeerError, match=said),
    ):
        contestant(0)


@pytest.mark.parametrize("path", PINS, ids=lambda path: str(path.relative_to(PINS[0].parents[1])))
def test_every_peer_is_pinned(path: Path) -> None:
    lines = path.read_text("utf-8").split()
    assert lines and [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+]+", line)] == []


def test_exported_weeks_under_exported_luck_bring_the_exported_sums(world: World, tmp_path: Path) -> None:
    weeks = export_weeks(world, 128, 0, tmp_path)
    tensors = read_tensors(tmp_path / "weeks.safetensors")
    luck = {name.removeprefix("noise."): value for name, value in tensors.items() if name.startswith("noise.")}
    every_week = range(len(weeks.actions))
    outcomes = weeks.outcomes([Noise(**{name: value[i] for name, value in luck.items()}) for i in every_week])
    for name in SUMS:
        found = torch.stack([getattr(outcome, name).double().sum() for outcome in outcomes])
        torch.testing.assert_close(found, tensors[f"sums.{name}"], rtol=0, atol=0)
    assert float(tensors["sums.redeemed"].sum()) > 0
    assert read_json(tmp_path / "weeks.json")["stock"][0] is None


def test_a_market_that_the_port_does_not_cover_is_refused(world: World, tmp_path: Path) -> None:
    shops = replace(world, market=replace(world.market, shops=2))
    with pytest.raises(InputError, match="default scenario"):
        export_weeks(shops, 128, 0, tmp_path)


def test_every_section_that_can_be_asked_for_can_be_measured() -> None:
    assert set(SECTIONS) == set(BenchmarkSection)


def test_figures_at_scale_are_of_the_size_that_they_must_have(world: World) -> None:
    found = measure(world, 256, 1)
    assert found.step_us[0] > found.products_us[0] > 0
    of_one = sum(getattr(world.pool, field.name).nbytes for field in fields(State)) / world.pool.n
    assert 2 * of_one < found.state_bytes < 4 * of_one  # customer and shadow, offers and effects beside them
    assert found.score_us[0] > 0


@pytest.mark.slow
def test_without_any_peer_the_benchmark_names_them_and_writes_its_files(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    sections = "benchmark.sections=[panel,predictions,market,scale,bandits]"
    small = ("benchmark.rounds=1", "benchmark.customers=64", "benchmark.many=256")
    rows = run_benchmark(configure(tmp_path, sections, *small, f"benchmark.peers={tmp_path / 'none'}"))
    absent = [row for row in rows if not row.installed]
    assert len(absent) == 11 and all("not installed" in row.value for row in absent)
    written = read_json(tmp_path / "tiny" / "benchmark.json")
    assert len(written["rows"]) == len(rows) and written["machine"]["rounds"] == 1
    assert (tmp_path / "tiny" / "benchmark.md").read_text("utf-8").count("not installed") == 11
