"""A large table in parts: the same bytes whoever writes it, a budget kept over all parts, every customer once."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from campaigns.errors import InputError
from evaluation.budget import BudgetMode
from evaluation.gains import GainModel
from experiments.scoring.customers import write_customers
from experiments.scoring.scorer import SETTINGS, read_scorer
from experiments.scoring.settings import Engine, ScoreConfig
from experiments.scoring.whole import SETTLED, part_files, score_all, score_one
from experiments.scoring.work import Job
from history.artifacts import hash_file, read_json, write_json
from serving.arms import CampaignKey
from serving.publishing import MANIFEST
from tests.experiments.fabricated_scorer import KEY, fabricate, fabricate_customers, fabricate_parts
from tests.serving.signing import ANA, open_store

PARTS, OF_PART = 4, 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    fabricate(folder, PARTS * OF_PART - 50, OF_PART)
    return folder


def score(shop: Path, out: Path, engine: Engine = Engine.LOCAL, jobs: int = 1) -> dict[str, Any]:
    parts, given = part_files(shop / "customers", out), ScoreConfig(engine=engine, jobs=jobs)
    return score_all(read_scorer(shop / "scorer", KEY), Job(shop / "scorer", KEY), parts, given)


def tree(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): hash_file(path) for path in sorted(out.rglob("*")) if path.is_file()}


def rows(out: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    return pd.concat([pq.read_table(out / part["file"]).to_pandas() for part in manifest["parts"]], ignore_index=True)


@pytest.fixture(scope="module")
def whole(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out")
    return out, score(shop, out)


def test_every_customer_has_one_row_and_the_budget_is_kept(whole: tuple[Path, dict[str, Any]]) -> None:
    out, manifest = whole
    table = rows(out, manifest)
    assert table["customer_id"].is_monotonic_increasing
    assert table["customer_id"].is_unique
    assert len(table) == manifest["customers"] == PARTS * OF_PART - 50
    for arm in manifest["arms"]["arms"]:
        mine = table[table["arm"] == arm["name"]]
        assert (len(mine), int((mine["offer"] != "none").sum())) == (arm["customers"], arm["offers"])
        assert int((mine["bound"] == "budget").sum()) == arm["turned_down"] or arm["name"] != "optimised"
        assert arm["within_budget"]
    optimised = manifest["arms"]["arms"][0]
    assert 0 < optimised["queue_end"] < 1
    assert optimised["turned_down"] > 0


def test_a_hard_limit_holds_at_worst(tmp_path: Path) -> None:
    parts = fabricate_parts(budget=0.2, mode=BudgetMode.HARD)
    fabricate(tmp_path, 900, 300, parts)
    manifest = score(tmp_path, tmp_path / "out")
    worst = {offer.name: offer.worst_cents for offer in parts.shop.catalog.offers}
    table = rows(tmp_path / "out", manifest)
    for arm in manifest["arms"]["arms"]:
        mine = table[table["arm"] == arm["name"]]
        assert mine["offer"].map(worst).astype(float).sum() <= arm["budget"] * 100 + 1e-6
    spent = table[table["arm"] == "optimised"]["offer"].map(worst).sum() / 100
    assert spent > 0.9 * manifest["arms"]["arms"][0]["budget"]


def test_the_table_is_published_as_it_is(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out = whole[0]
    store = open_store(tmp_path / "store")
    release = store.publish(out, ANA)
    assert release.version == 1
    assert {**release.manifest, "table_version": 1} == read_json(out / MANIFEST)
    assert open_store(tmp_path / "store").current().manifest == release.manifest


def test_no_offer_is_expected_to_cost_more_than_it_can(tmp_path: Path) -> None:
    parts = fabricate_parts()
    tensors = parts.gains.tensors()
    tensors["coefficients"] = tensors["coefficients"].clone()
    tensors["coefficients"][:, 0, 1] += 2.0  # the polynomial says 2 USD more of every offer, and is sure of it
    tensors["error"] = torch.full_like(tensors["error"], 1e-3)
    fabricate(tmp_path, 300, 300, replace(parts, gains=GainModel(parts.layout, tensors, parts.gains.meta())))
    table = rows(tmp_path / "out", score(tmp_path, tmp_path / "out"))
    worst = table["offer"].map({offer.name: offer.worst_cents / 100 for offer in parts.shop.catalog.offers})
    assert (table["expected_cost_usd"] <= worst + 1e-6).all()
    assert (table["expected_cost_usd"] == worst).any()
    assert open_store(tmp_path / "store").publish(tmp_path / "out", ANA).version == 1


def test_the_jobs_of_an_array_give_the_same_bytes(
    shop: Path, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, scorer = tmp_path / "array", read_scorer(shop / "scorer", KEY)
    parts = part_files(shop / "customers", out)
    score_one(scorer, parts, 2)
    with pytest.raises(InputError, match=r"3 of 4 parts are to be done; run the array with score.part=0,1,3"):
        score(shop, out, Engine.ARRAY)
    for number in (3, 0, 2, 1):
        assert score_one(scorer, parts, number).endswith("asked")
    with pytest.raises(InputError, match=r"the budget is settled; 4 of 4 parts are to be done"):
        score(shop, out, Engine.ARRAY)
    for number in (1, 0, 3, 2):
        assert score_one(scorer, parts, number).endswith("written")
    score(shop, out, Engine.ARRAY)
    assert tree(out) == tree(whole[0])


def test_what_is_done_is_left_alone_and_what_was_spoilt_is_done_anew(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = score(shop, out)
    before, files = tree(out), [out / part["file"] for part in manifest["parts"]]
    times = [path.stat().st_mtime_ns for path in files]
    score(shop, out)
    assert [path.stat().st_mtime_ns for path in files] == times
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].unlink()
    for left_by_a_killed_writer in (files[0], out / SETTLED, out / MANIFEST):
        (left_by_a_killed_writer.parent / f".{left_by_a_killed_writer.name}.x.tmp").touch()
    score(shop, out)
    assert tree(out) == before
    assert files[3].stat().st_mtime_ns == times[3]


def test_other_customers_are_scored_anew(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop, tmp_path / "shop")
    out = tmp_path / "out"
    before = score(tmp_path / "shop", out)
    write_customers(tmp_path / "shop" / "customers" / "part-00001.parquet", fabricate_customers(200, 16, 300, seed=1))
    after = score(tmp_path / "shop", out)
    assert after["customers"] == before["customers"] - 100
    assert (before["table_version"], after["table_version"]) == (1, 2)
    fresh = score(tmp_path / "shop", tmp_path / "fresh")
    assert {**fresh, "table_version": 2} == after
    assert {**tree(tmp_path / "fresh"), MANIFEST: ""} == {**tree(out), MANIFEST: ""}


def test_one_customer_of_many_rows_in_any_cut_gets_the_same(
    shop: Path, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    tables = [pq.read_table(path) for path in sorted((shop / "customers").glob("*.parquet"))]
    (tmp_path / "customers").mkdir()
    pq.write_table(pa.concat_tables(tables), tmp_path / "customers" / "all.parquet", row_group_size=170)
    shutil.copytree(shop / "scorer", tmp_path / "scorer")
    manifest = score(tmp_path, tmp_path / "out")
    one, many = rows(tmp_path / "out", manifest), rows(*whole)
    close = [name for name in one.columns if name.startswith("expected_")]
    pd.testing.assert_frame_equal(one[close], many[close], atol=2e-4)  # another batch, another last bit
    same = [name for name in one.columns if name not in (*close, "reason")]
    pd.testing.assert_frame_equal(one[same], many[same])


def spoil(shop: Path, tmp_path: Path) -> Path:
    shutil.copytree(shop, tmp_path / "shop")
    return tmp_path / "shop" / "customers" / "part-00001.parquet"


def with_column(path: Path, name: str, values: pa.Array) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, values), path)


def _nan(path: Path) -> None:
    features = pq.read_table(path)["features"].combine_chunks()
    values = features.flatten().to_numpy().copy()
    values[features.type.list_size * 7] = np.nan
    with_column(path, "features", pa.FixedSizeListArray.from_arrays(pa.array(values), features.type.list_size))


def _twice(path: Path) -> None:
    ids = pq.read_table(path)["customer_id"].to_pylist()
    with_column(path, "customer_id", pa.array([*ids[:-1], "c0000000600"]))


def _unsorted(path: Path) -> None:
    with_column(path, "customer_id", pa.array(pq.read_table(path)["customer_id"].to_pylist()[::-1]))


def _without(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["basket_usd"]), path)


def _narrow(path: Path) -> None:
    n = pq.read_table(path).num_rows
    with_column(path, "features", pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3 * n, np.float32)), 3))


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _beyond(path: Path) -> None:
    with_column(path, "allowed", pa.array(np.full(pq.read_table(path).num_rows, 1 | 1 << 16, np.uint64)))


def _no_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def _words(path: Path) -> None:
    with_column(path, "blocked", pa.array(["weather"] * pq.read_table(path).num_rows))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (_nan, r"part-00001.parquet: customer 'c0000000307': column 'features' has a value that is not finite \(1 row"),
        (_twice, r"part-00002.parquet: begins with customer 'c0000000600', and part-00001.parquet ends with"),
        (_unsorted, r"part-00001.parquet: customer 'c0000000598': customer_id is not above the one before"),
        (_without, r"part-00001.parquet: column 'basket_usd' is missing; docs/scale.md"),
        (_narrow, r"features are fixed_size_list<.*>\[3\]; expected \d+ float32"),
        (_torn, r"part-00001.parquet: not readable as a part of customers"),
        (_beyond, r"'allowed' has a bit beyond the catalog's 16 offers"),
        (_no_rows, r"part-00001.parquet: no customers; remove the part"),
        (_words, r"'blocked' is none of unreachable, live_offer"),
    ],
)
def test_customers_with_a_mistake_are_refused_and_the_other_parts_kept(
    mistake: Callable[[Path], None], said: str, shop: Path, tmp_path: Path
) -> None:
    mistake(spoil(shop, tmp_path))
    with pytest.raises(InputError, match=said):
        score(tmp_path / "shop", tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert len(list((tmp_path / "out" / "asked").glob("*.arrow"))) >= PARTS - 1


def test_a_scorer_of_another_catalog_another_key_or_altered_is_refused(shop: Path, tmp_path: Path) -> None:
    fabricate(tmp_path, 10, 10, fabricate_parts(coupons=3))
    shutil.rmtree(tmp_path / "customers")
    shutil.copytree(shop / "customers", tmp_path / "customers")
    with pytest.raises(InputError, match=r"features are fixed_size_list<.*expected"):
        score(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=r"the arms were drawn with the key .* give the same key"):
        read_scorer(shop / "scorer", replace(KEY, secret=b"x" * 16))
    with pytest.raises(InputError, match=r"campaign is 'spring'"):
        read_scorer(shop / "scorer", CampaignKey("autumn", KEY.secret, ""))
    path = tmp_path / "scorer" / "gains.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match=r"gains.safetensors: not the file that was written with scorer.json"):
        read_scorer(tmp_path / "scorer", KEY)
    plain = read_json(shop / "scorer" / SETTINGS)
    write_json(tmp_path / "scorer" / SETTINGS, {name: value for name, value in plain.items() if name != "rules"})
    with pytest.raises(InputError, match=r"'rules' is missing; export the policy again"):
        read_scorer(tmp_path / "scorer", KEY)


def test_an_empty_folder_the_customers_own_folder_and_impossible_settings_are_refused(
    shop: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no Parquet files there; docs/scale.md"):
        part_files(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=r"where the customers are; choose another folder"):
        part_files(shop / "customers", shop / "customers")
    with pytest.raises(InputError, match=r"score.part is 9; there are 4 parts, from 0 to 3"):
        score_one(read_scorer(shop / "scorer", KEY), part_files(shop / "customers", tmp_path), 9)
    for settings in ({"jobs": 0}, {"part": -2, "engine": Engine.ARRAY}, {"part": 1}):
        with pytest.raises(InputError, match=r"score\."):
            ScoreConfig(**settings)


def test_a_full_disk_is_said_and_leaves_nothing(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    real = os.fsync

    def full(handle: int) -> None:
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); nothing was left there"):
        score(shop, out)
    assert not [path for path in out.rglob("*") if path.is_file()]
    monkeypatch.setattr(os, "fsync", real)
    assert score(shop, out)["customers"] == PARTS * OF_PART - 50
