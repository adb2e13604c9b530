"""The verb that signs a run's table: keys, versions, approvals, rollouts and rollbacks, each told in a line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.publish import run_publish
from serving.keys import Trusted
from serving.publishing import publish, read_policy
from serving.store import Store
from tests.experiments.conftest import Configure, Overrides
from tests.serving.signing import without_offer

pytestmark = pytest.mark.xdist_group("tiny_run")  # one worker makes the run that these tests read
Act = Callable[..., str]


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "policy", tmp_path / "runs" / "tiny" / "policy")
    return tmp_path / "runs"


@pytest.fixture
def act(runs: Path, configure: Configure, capsys: pytest.CaptureFixture[str]) -> Act:
    """Return a function that does one act with overrides of `publish` and returns what was printed."""

    def do(*given: str) -> str:
        capsys.readouterr()
        run_publish(configure(runs, *places(runs), *(f"publish.{override}" for override in given)))
        return capsys.readouterr().out.strip()

    return do


def places(runs: Path) -> list[str]:
    return [f"publish.store={runs.parent / 'store'}", f"publish.keys={runs.parent / 'keys'}"]


def test_from_a_key_to_a_table_that_counts_and_back_again(act: Act, runs: Path) -> None:
    assert "ana.pem, for nobody else's eyes" in act("act=keygen", "key=ana")
    assert "which may approve, rollback" in act("act=keygen", "key=bo", "roles=[approve,rollback]")
    assert "v000001, signed by ana, counts for 100 % of the customers; its last day was" in act("key=ana")
    assert act("key=ana").splitlines()[0].endswith("policy is v000001 already; nothing is published anew")

    folder = runs / "tiny" / "policy"
    table = read_policy(folder)
    publish(without_offer(table, len(table.customers)), folder)
    (runs.parent / "keys" / "trusted" / "rules.json").write_text('{"approval_above": 0.05}')
    waits = act("key=ana", "percent=5")
    assert "v000002, signed by ana, waits for a second person: it changes" in waits
    assert "v000002 waits for an approval" in act("act=show")
    told = act("act=diff", f"json={runs}/diff.json")
    assert told.startswith("From v000001 to v000002, ") and "-> none" in told
    diff = json.loads((runs / "diff.json").read_text())
    assert diff["changed"] == sum(move["customers"] for move in diff["moves"]) > 0
    assert 0 == diff["figures"][0]["after"] < diff["figures"][0]["before"]

    approved = act("act=approve", "version=2", "key=bo")
    assert "v000002, signed by ana, counts for 5 % of the customers, v000001 for the others" in approved
    assert "counts for 25 %" in act("act=roll_out", "percent=25", "key=ana")
    assert "v000001, signed by ana, counts for 100 %" in act("act=roll_back", "version=1", "key=bo", "reason=too few")
    shown = act("act=show").splitlines()
    assert [line.split(": ", 1)[1] for line in shown[:5]] == [
        "published v000001 for 100 %",
        f"published v000002 for 5 %, changes {100 * diff['share']:.1f} % of v000001, to be approved",
        "approved v000002",
        "gave v000002 to 25 %",
        "went back to v000001: too few",
    ]
    assert "counts for 100 %" in act("act=mend")
    assert Store(runs.parent / "store", Trusted.read(runs.parent / "keys" / "trusted")).current().version == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["act=show"], "no trusted key there; make one with act=keygen"),
        (["act=keygen"], "publish.key is empty; name whose key is to keygen"),
        (["key=../ana"], "publish.key is '../ana'; expected the name of a key"),
        (["percent=10"], "publish.percent is 10; expected one of 1, 5, 25, 100"),
        (["version=../1"], "version is '../1'; expected a number from 1"),
        (["act=publsh"], "publish.act"),
        (["act=keygen", "key=ana", "roles=[rule]"], "publish.roles"),
    ],
)
def test_a_mistake_is_one_line(
    given: list[str], message: str, runs: Path, refuse: Callable[..., str], overrides: Overrides
) -> None:
    line = refuse("publish", *overrides(runs, *places(runs), *(f"publish.{override}" for override in given)))
    assert message in line


def test_what_is_missing_is_named(act: Act, runs: Path, refuse: Callable[..., str], overrides: Overrides) -> None:
    act("act=keygen", "key=ana", "roles=[publish,approve,rollback]")

    def refused(*given: str) -> str:
        return refuse("publish", *overrides(runs, *places(runs), *(f"publish.{override}" for override in given)))

    assert "publish.key is empty; name whose key is to publish, as in publish.key=ana" in refused()
    assert "bo.pem: not readable (No such file or directory); make a key with act=keygen" in refused("key=bo")
    assert "nowhere: no such folder; run `python -m experiments.export` first" in refused("key=ana", "policy=nowhere")
    for task in ("show", "diff", "roll_out"):
        assert "nothing was published there; publish a table first" in refused(f"act={task}", "key=ana")
    assert "publish.version is empty; name which one to approve" in refused("act=approve", "key=ana")
    assert "within the store; who can write that" in refused("act=show", f"trusted={runs.parent}/store/trusted")
    assert "ana.json: is there already" in refused("act=keygen", "key=ana")
