"""A table in parts is the table that it would be in one file: published, verified, compared and looked up the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from history.artifacts import hash_file
from serving import in_parts, side_by_side
from serving.changes import Side, changed_share, compare
from serving.lookup import Lookup
from serving.online.tables import Table
from serving.publishing import publish, read_policy
from serving.table import PolicyTable
from tests.serving.parted import export_in_parts
from tests.serving.signing import ANA, BO, open_store, without_offer

Build = Callable[..., PolicyTable]


@pytest.fixture(scope="session")
def both(build: Build, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The small table in one file, and in three parts."""
    root = tmp_path_factory.mktemp("both")
    publish(build(), root / "whole")
    return root / "whole", export_in_parts(build(), root / "parts")


@pytest.fixture
def parts(both: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the table in parts that may be spoilt."""
    return Path(shutil.copytree(both[1], tmp_path / "parts"))


def told(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def tell(folder: Path, **changes: object) -> None:
    """Change the manifest, and let it say of each file the hash that it has."""
    said = told(folder) | changes
    said["files"] = {name: hash_file(folder / name) if (folder / name).is_file() else value
                     for name, value in said["files"].items()}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(said))


def refused(folder: Path, tmp_path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_store(tmp_path / "store").publish(folder, ANA)
    assert not list((tmp_path / "store").glob("versions/*"))
    return str(caught.value)


def test_every_file_says_the_same_as_those_of_the_table_in_one(both: tuple[Path, Path]) -> None:
    whole, parts = both
    said = told(parts)
    assert [(one["rows"], one["first"], one["last"]) for one in said["parts"]] == [
        (100, "0000", "0099"), (1, "0100", "0100"), (199, "0101", "0299"),
    ]  # fmt: skip
    rows = pd.concat([pq.read_table(parts / one["file"]).to_pandas() for one in said["parts"]], ignore_index=True)
    pd.testing.assert_frame_equal(rows, pq.read_table(whole / "policy_by_customer.parquet").to_pandas())
    alike = {*told(whole)["files"]} - {"policy_by_customer.parquet", "policy_by_budget.parquet"}
    assert {name: said["files"][name] for name in alike} == {name: told(whole)["files"][name] for name in alike}
    assert {*said["absent"]} == {"policy_by_budget.parquet"}
    same = {*told(whole)} - {"files", "budgets"}
    assert {name: said[name] for name in same} == {name: told(whole)[name] for name in same}


def test_writing_it_again_changes_nothing_and_other_rows_are_another_version(
    build: Build, parts: Path, tmp_path: Path
) -> None:
    before = {path: (hash_file(path), path.stat().st_mtime_ns) for path in parts.glob("policy.*")}
    export_in_parts(build(), parts)
    assert told(parts)["table_version"] == 1
    assert {path: (hash_file(path), path.stat().st_mtime_ns) for path in before} == before
    export_in_parts(without_offer(build(), 3), parts)
    assert told(parts)["table_version"] == 2
    assert hash_file(parts / "policy.sqlite") != before[parts / "policy.sqlite"][0]


def test_a_table_of_many_customers_says_which_files_it_has_not(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_parts, "MOST_FOR_PEOPLE", 299)
    folder = export_in_parts(build(), tmp_path / "parts", lookup=False)
    assert {*told(folder)["absent"]} == {*in_parts.FOR_PEOPLE, "policy_by_budget.parquet", "policy.sqlite"}
    assert "1,048,576 rows" in told(folder)["absent"]["policy.xlsx"]
    assert not any((folder / name).exists() for name in told(folder)["absent"])
    release = open_store(tmp_path / "store").publish(folder, ANA)
    assert release.version == 1
    with pytest.raises(InputError, match=r"policy.sqlite: cannot be read"):
        Table.open(release.folder, release.manifest, verified=True)


def test_it_is_published_rolled_out_approved_and_rolled_back(
    build: Build, both: tuple[Path, Path], tmp_path: Path
) -> None:
    store = open_store(tmp_path / "store")
    assert store.publish(both[0], ANA).version == 1
    assert store.publish(both[1], ANA).version == 2
    assert store.diff(1, 2).changed == 0
    few = export_in_parts(without_offer(build(), 3), tmp_path / "few", cuts=(7,))
    release = store.publish(few, ANA, percent=5)
    assert (release.version, release.percent, release.previous.version) == (3, 5, 2)
    assert store.roll_out(100, ANA).version == 3
    many = export_in_parts(without_offer(build(), 200), tmp_path / "many", cuts=(290,))
    store.publish(many, ANA)
    assert store.standing().waiting() == (4,)
    assert store.standing().published[4].changed > 0.3
    assert store.approve(4, BO).version == 4
    assert store.roll_back(2, BO, "a test").version == 2
    seen = open_store(tmp_path / "store").current()
    row = Table.open(seen.folder, seen.manifest, verified=True).row("0100")
    assert row is not None and row.offer == Lookup.of(both[0]).lookup("0100")["offer"]


def test_a_bit_in_any_part_is_seen_by_every_reader(both: tuple[Path, Path], tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    folder = store.publish(both[1], ANA).folder
    folder.chmod(0o755)
    for path in sorted(folder.glob("policy_by_customer-*.parquet")):
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=f"{path.name}: not a file that can be read"):
            open_store(tmp_path / "store", needed=("policy.sqlite",)).current()
        path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
        with pytest.raises(InputError, match=f"{path.name}: its bytes are not those that were signed"):
            open_store(tmp_path / "store", needed=("policy.sqlite",)).current()
        path.write_bytes(data)
    (folder / "policy_by_customer-00009.parquet").write_bytes(data)
    with pytest.raises(InputError, match="the signed manifest does not list it"):
        open_store(tmp_path / "store").current()


def _gap(folder: Path) -> None:
    said = told(folder)
    tell(folder, parts=said["parts"][1:], files={k: v for k, v in said["files"].items() if "-00000" not in k})


def _swapped(folder: Path) -> None:
    tell(folder, parts=told(folder)["parts"][::-1])


def _twice(folder: Path) -> None:
    one, other = (folder / f"policy_by_customer-{n:05d}.parquet" for n in (1, 0))
    shutil.copy(other, one)
    tell(folder)


def _miscounted(folder: Path) -> None:
    first, *rest = told(folder)["parts"]
    tell(folder, parts=[first | {"rows": 99}, *rest], customers=299)


def _renamed(folder: Path) -> None:
    first, *rest = told(folder)["parts"]
    tell(folder, parts=[first | {"last": "00990"}, *rest])


def _unsorted(folder: Path) -> None:
    path = folder / "policy_by_customer-00000.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.take(np.arange(len(rows))[::-1]), path)
    tell(folder)


def _odd_row(folder: Path) -> None:
    path = folder / "policy_by_customer-00002.parquet"
    rows = pq.read_table(path).to_pandas()
    rows.loc[7, "pscore"] = 0.5
    pq.write_table(pq.read_table(path).from_pandas(rows, schema=pq.read_schema(path)), path)
    tell(folder)


def _other_lookup(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "policy.sqlite"))
    connection.execute("UPDATE decisions SET reason = 'x' WHERE customer_id = '0207'")
    connection.close()
    tell(folder)


def _more_lookup(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "policy.sqlite"))
    connection.execute("CREATE TEMP TABLE t AS SELECT * FROM decisions WHERE customer_id = '0299'")
    connection.execute("UPDATE t SET customer_id = '0300'")
    connection.execute("INSERT INTO decisions SELECT * FROM t")
    connection.close()
    tell(folder)


def _silent(folder: Path) -> None:
    tell(folder, absent={})


def _all_budgets(folder: Path) -> None:
    (one,) = told(folder)["budgets"]
    tell(folder, budgets=[one | {"offers": one["offers"] | {"none": 0}}])


def _spent(folder: Path) -> None:
    arms = told(folder)["arms"]
    tell(folder, arms=arms | {"arms": [arm | {"budget": 30.0} for arm in arms["arms"]]})


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (_gap, "2 files of 200 rows in 'parts'; expected those of 300 customers"),
        (_swapped, "expected parts in the order of their customers"),
        (_twice, "customer '0000' comes after '0099'; expected customers in ascending order, each once"),
        (_miscounted, "has 100 rows from '0000' to '0099'; its manifest says 99"),
        (_renamed, "its manifest says 100 from '0000' to '00990'"),
        (_unsorted, "customer '0098' comes after '0099'"),
        (_odd_row, "pscore of customer '0108' is '0.5'"),
        (_other_lookup, "policy.sqlite: does not say the same as the parts"),
        (_more_lookup, "policy.sqlite: does not say the same as the parts"),
        (_silent, "lists .*; expected .*policy_by_budget.parquet"),
        (_all_budgets, "gives .*; 'budgets' say"),
        (_spent, "the offers of arm optimised cost .* in expectation; its budget is 30.00"),
    ],
)  # fmt: skip
def test_parts_with_a_mistake_are_not_published(
    mistake: Callable[[Path], None], said: str, parts: Path, tmp_path: Path
) -> None:
    mistake(parts)
    with pytest.raises(InputError, match=said):
        open_store(tmp_path / "store").publish(parts, ANA)
    assert not list((tmp_path / "store").glob("versions/*"))


def test_a_budget_that_each_part_keeps_and_all_together_do_not_is_refused(
    build: Build, both: tuple[Path, Path], tmp_path: Path
) -> None:
    costs = [pq.read_table(path)["expected_cost_usd"].to_numpy().sum() for path in both[1].glob("*-*.parquet")]
    arms = build().manifest["arms"]
    least = max(costs) + 1
    assert sum(costs) > least
    few = build({"arms": arms | {"arms": [arm | {"budget": float(least)} for arm in arms["arms"]]}})
    with pytest.raises(InputError, match="of arm optimised cost"):
        open_store(tmp_path / "store").publish(export_in_parts(few, tmp_path / "few"), ANA)


def test_programs_that_need_all_rows_at_once_say_so(both: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="a table in parts; read policy_by_customer-"):
        read_policy(both[1])


CUTS = st.lists(st.integers(1, 299), max_size=5, unique=True).map(sorted)


@pytest.fixture(scope="module")
def versions(build: Build) -> tuple[dict, tuple[pd.DataFrame, ...]]:
    """A manifest, and rows of three versions: the second gives less, the third to customers some of whom are others."""
    tables = build(), without_offer(build(), 40)
    rows = [
        one.customers.rename(columns={"expected_cost_usd": "cost", "expected_uplift_usd": "uplift"}) for one in tables
    ]
    moved = rows[1].assign(customer_id=[f"{i + 5:04d}" for i in range(300)])
    return {**tables[0].manifest, "rules": tables[0].segments.to_dict()}, (*rows, moved)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=CUTS, other=CUTS, later=st.integers(0, 2))
def test_a_comparison_does_not_depend_on_how_tables_are_cut(
    versions, one: list[int], other: list[int], later: int
) -> None:
    manifest, rows = versions

    def side(whole: pd.DataFrame, cuts: list[int]) -> Side:
        pieces = [whole.iloc[a:b].reset_index(drop=True) for a, b in zip((0, *cuts), (*cuts, 300), strict=True)]
        return Side(lambda: iter(pieces), manifest)

    cut, whole = ((side(rows[0], a), side(rows[later], b)) for a, b in ((one, other), ([], [])))
    mine, theirs = compare(*cut, (1, 2)).to_dict(), compare(*whole, (1, 2)).to_dict()
    for figure, expected in zip(mine.pop("figures"), theirs.pop("figures"), strict=True):
        assert figure == pytest.approx(expected)
    assert mine == theirs
    assert changed_share(*cut) == changed_share(*whole) == theirs["share"]


def test_parts_are_compared_some_rows_at_a_time(
    both: tuple[Path, Path], versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "BATCH", 7)
    read = side_by_side.read_rows(both[1], told(both[1]))
    assert max(len(piece) for piece in read) <= 7
    diff = compare(Side.read(both[1], told(both[1])), Side.of(versions[1][0], versions[0]), (1, 2))
    assert (diff.customers, diff.changed, diff.added, diff.removed) == (300, 0, 0, 0)


def test_a_publisher_holds_some_rows_at_a_time(
    both: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = in_parts.check_customers
    monkeypatch.setattr(in_parts, "BATCH", 16)
    monkeypatch.setattr(in_parts, "check_customers", lambda rows, *rest: (seen.append(len(rows)), real(rows, *rest)))
    open_store(tmp_path / "store").publish(both[1], ANA)
    assert sum(seen) == 300 and max(seen) == 16
