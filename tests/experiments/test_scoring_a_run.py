"""The scorer that `export` leaves decides as `export` did."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.score import run_score
from history.artifacts import read_json
from serving.parts import CUSTOMERS_PARQUET
from serving.publishing import MANIFEST
from tests.experiments.conftest import Configure

pytestmark = pytest.mark.xdist_group("tiny_run")


def test_a_scorer_decides_for_the_customers_of_the_run_as_the_export_did(
    finished: Path, configure: Configure, tmp_path: Path
) -> None:
    out = run_score(configure(finished.parent, f"score.out={tmp_path}", "score.jobs=1"))
    (part,) = read_json(out / MANIFEST)["parts"]
    mine, theirs = (pd.read_parquet(path) for path in (out / part["file"], finished / "policy" / CUSTOMERS_PARQUET))
    assert list(mine.columns) == list(theirs.columns)
    alike = ["customer_id", "arm", "arm_share", "segment"]
    pd.testing.assert_frame_equal(mine[alike], theirs[alike])
    borne = ((mine["bound"] != "budget") & (theirs["bound"] != "budget")).to_numpy()
    assert borne.mean() > 0.1
    same = (mine["offer"] == theirs["offer"]).to_numpy()
    assert same[borne].all()
    told = [name for name in mine.columns if name.startswith(("expected_", "valid_", "promoted_", "bound"))]
    pd.testing.assert_frame_equal(mine[told][borne], theirs[told][borne], atol=2e-4)
    given = borne & (mine["offer"] != "none").to_numpy()
    assert given.any()
    pd.testing.assert_series_equal(mine["pscore"][given], theirs["pscore"][given])
