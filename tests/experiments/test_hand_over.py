"""Handing over: files by default, sending only when told to, the same bytes each time, one line for a mistake."""

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from campaigns.errors import InputError
from experiments.config import Config
from experiments.hand_over import run_hand_over
from history.artifacts import hash_file
from serving.platforms.codes import KEY_VARIABLE
from serving.platforms.sending.delivery import DeliveryError
from serving.publishing import publish, read_policy
from tests.experiments.conftest import Configure, Overrides
from tests.serving.platforms.fake_shop import TOKEN, serving

pytestmark = pytest.mark.xdist_group("tiny_run")
ENVIRONMENT = {KEY_VARIABLE: "k" * 64, "SHOPIFY_ACCESS_TOKEN": TOKEN}
Settings = Callable[..., Config]


@pytest.fixture
def shop(finished: Path, tmp_path: Path, configure: Configure) -> Settings:
    """Return a function that configures a hand-over of the small run's table, with a mapping of all its categories."""
    run = tmp_path / "tiny"
    shutil.copytree(finished / "policy", run / "policy")
    table = read_policy(run / "policy")
    categories = sorted(set(table.customers["promoted_category"]) - {""})
    named = {name: [f"gid://shopify/Collection/{i + 1}"] for i, name in enumerate(categories)}

    def config(*more: str, url: str = "https://shop.example") -> Config:
        mapping = tmp_path / "platforms.yaml"
        mapping.write_text(json.dumps({"caps": "exceed", "shopify": {"url": url, "categories": named}}), "utf-8")
        own = ("hand_over.platform=shopify", f"hand_over.mapping={mapping}")
        return configure(tmp_path, *own, *more)

    return config


def begun(config: Config) -> datetime:
    first = read_policy(Path(config.runs) / "tiny" / "policy").customers["valid_from"].min()
    return datetime(first.year, first.month, first.day, 12, tzinfo=UTC)


def test_a_dry_run_writes_files_and_sends_nothing(shop: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (url, fake):
        config = shop(url=url)
        folder = run_hand_over(config, ENVIRONMENT)
        assert fake.changes == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"requests.json", "codes.csv", "notes.md", "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    policy = Path(config.runs) / "tiny" / "policy" / "manifest.json"
    assert manifest["notes"]["table"] == hash_file(policy) == manifest["key"]["inputs"]["policy"]
    assert all(hash_file(folder / name) == digest for name, digest in manifest["files"].items())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    said = capsys.readouterr().out
    codes = [line.split(",")[1].strip('"') for line in (folder / "codes.csv").read_text("utf-8").splitlines()[1:]]
    assert codes and not any(code in said for code in codes)


def test_the_same_table_is_handed_over_in_the_same_bytes(shop: Settings) -> None:
    folder = run_hand_over(shop(), ENVIRONMENT)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "stale.txt").write_text("old")
    assert {path.name: path.read_bytes() for path in run_hand_over(shop(), ENVIRONMENT).iterdir()} == first


def test_sending_takes_the_flag_and_the_credentials_and_happens_once(shop: Settings, tmp_path: Path) -> None:
    with serving("429", "cut-done") as (url, fake):
        config = shop("hand_over.send=true", url=url)
        with pytest.raises(InputError, match="needs the environment variable SHOPIFY_ACCESS_TOKEN; nothing is sent"):
            run_hand_over(config, {KEY_VARIABLE: "k" * 64})
        assert not (tmp_path / "tiny" / "platforms").exists()
        run_hand_over(config, ENVIRONMENT, lambda _: None, begun(config))
        given = read_policy(tmp_path / "tiny" / "policy").customers
        kept, asked = dict(fake.codes), fake.changes
        assert 0 < len(kept) <= int((given["offer"] != "none").sum())
        run_hand_over(config, ENVIRONMENT, lambda _: None, begun(config))
        assert fake.codes == kept and fake.changes == asked
    journals = list((tmp_path / "tiny" / "platforms" / "sent").iterdir())
    assert len(journals) == 1 and TOKEN not in journals[0].read_text("utf-8")


def test_a_campaign_that_is_over_is_not_sent(shop: Settings) -> None:
    with serving() as (url, fake):
        config = shop("hand_over.send=true", url=url)
        with pytest.raises(InputError, match=r"ended on .*; export a new table, nothing is sent"):
            run_hand_over(config, ENVIRONMENT, now=datetime(2090, 1, 1, tzinfo=UTC))
        assert fake.changes == 0


def test_a_refusal_is_said_and_the_next_command_goes_on(shop: Settings) -> None:
    with serving("", "refused") as (url, fake):
        config = shop("hand_over.send=true", url=url)
        with pytest.raises(DeliveryError, match="Shopify refused"):
            run_hand_over(config, ENVIRONMENT, lambda _: None, begun(config))
        assert len(fake.made) == 1
        run_hand_over(config, ENVIRONMENT, lambda _: None, begun(config))
        assert len(fake.made) > 1 and len({made["title"] for made in fake.made}) == len(fake.made)


def test_the_coupon_file_needs_no_mapping_and_makes_its_own_key(shop: Settings, configure: Configure) -> None:
    config = configure(Path(shop().runs))
    folder = run_hand_over(config, {})
    assert {path.name for path in folder.iterdir()} == {"coupons.csv", "notes.md", "manifest.json"}
    first = (folder / "coupons.csv").read_bytes()
    assert (run_hand_over(config, {}) / "coupons.csv").read_bytes() == first
    assert stat.S_IMODE((folder.parent / "codes.key").stat().st_mode) == 0o600


def test_another_table_has_other_codes(shop: Settings) -> None:
    config = shop()
    policy = Path(config.runs) / "tiny" / "policy"
    first = (run_hand_over(config, ENVIRONMENT) / "codes.csv").read_text("utf-8")
    table = read_policy(policy)
    publish(replace(table, manifest={**table.manifest, "git_commit": "1" * 40}), policy)
    second = (run_hand_over(config, ENVIRONMENT) / "codes.csv").read_text("utf-8")
    assert not {line.split(",")[1] for line in first.splitlines()[1:]} & {
        line.split(",")[1] for line in second.splitlines()[1:]
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["hand_over.platform=shopify"], "hand_over.mapping is not given: nothing on shopify"),
        (["hand_over.platform=etsy"], "hand_over.platform"),
        (["hand_over.mapping=none.yaml"], "none.yaml: the file cannot be read"),
        (["budget.name=other"], "no policy table; run `python -m experiments.export` first"),
    ],
)
def test_a_mistake_is_one_line(
    more: list[str], said: str, finished: Path, refuse: Callable[..., str], overrides: Overrides
) -> None:
    assert said in refuse("hand_over", *overrides(finished.parent, *more))


def test_the_readers_of_the_table_reach_neither_the_network_nor_the_platforms() -> None:
    code = (
        "import sys, serving.publishing, serving.table; "
        "sys.exit(any(name.startswith(('httpx', 'serving.platforms')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
