"""Whatever is done to the files of a store, a reader gets what was signed or one line that says what is wrong."""

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from campaigns.errors import InputError
from history.artifacts import hash_file
from serving.acts import FIRST, Act, Deed
from serving.chain import Pointer
from serving.keys import SigningKey
from serving.publishing import FILES
from serving.store import Store
from serving.versions import CONTEXT, signature
from tests.serving.signing import ANA, BO, CY, TRUSTED, changed, export, open_store

PARQUET = "policy_by_customer.parquet"
VERSION_FILES = (*FILES, "manifest.json", "manifest.sig")


@pytest.fixture(scope="session")
def history_store(build, tmp_path_factory) -> Path:
    """A store with two versions, the second rolled out to 5 and then to 100 %, rolled back to the first."""
    root = tmp_path_factory.mktemp("history")
    store = open_store(root / "store")
    store.publish(export(build(), root / "a"), ANA)
    store.publish(changed(build, root / "b", 3), ANA, percent=5)
    store.roll_out(100, ANA)
    store.roll_back(1, BO, "a test")
    return store.root


@pytest.fixture
def root(history_store, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(history_store, tmp_path / "store"))


def spoil(path: Path, data: bytes) -> None:
    """Write over a read-only file."""
    path.parent.chmod(0o755)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def refused(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_store(root).current()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", VERSION_FILES)
def test_a_flipped_bit_anywhere_in_a_version_is_refused(root, name):
    path = root / "versions" / "v000001" / name
    data = path.read_bytes()
    for place in sorted({0, 1, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}):
        spoil(path, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert name in refused(root) or "manifest" in refused(root)
    spoil(path, data)
    assert open_store(root).current().version == 1


@pytest.mark.parametrize("name", ["manifest.sig", "acts", "current"])
def test_no_flipped_bit_of_a_small_file_is_overlooked(root, name):
    paths = {"manifest.sig": "versions/v000001/manifest.sig", "acts": "acts/000004.json", "current": "current"}
    path = root / paths[name]
    data = path.read_bytes()
    for place in range(len(data)):
        spoil(path, data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        refused(root)


@pytest.mark.parametrize("spoilt", ["truncated", "empty", "longer", "missing", "link", "folder", "fifo"])
@pytest.mark.parametrize("name", [*VERSION_FILES, "acts/000002.json", "current"])
def test_a_file_that_is_not_what_was_written_is_refused(root, tmp_path, name, spoilt):
    path = root / (name if "/" in name or name == "current" else f"versions/v000001/{name}")
    data = path.read_bytes()
    if spoilt in ("truncated", "empty", "longer"):
        spoil(path, {"truncated": data[:-1], "empty": b"", "longer": data + b"\n"}[spoilt])
    else:
        path.parent.chmod(0o755)
        path.unlink()
    if spoilt == "link":  # to the very same bytes, elsewhere
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif spoilt == "folder":
        path.mkdir()
    elif spoilt == "fifo":
        os.mkfifo(path)
    assert Path(name).name in refused(root) or "acts" in refused(root) or "not a policy" in refused(root)


def test_a_file_that_nobody_signed_is_refused(root):
    spoil(root / "versions" / "v000001" / "more.csv", b"")
    assert "more.csv: the signed manifest does not list it" in refused(root)


def test_a_version_that_is_a_link_is_refused(root, tmp_path):
    folder = root / "versions" / "v000001"
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert "v000001: not a folder" in refused(root)


def test_versions_that_changed_places_are_refused(root):
    one, two = (root / "versions" / name for name in ("v000001", "v000002"))
    one.rename(root / "versions" / "x")
    two.rename(one)
    assert "not the one that was published" in refused(root) or "manifest.json" in refused(root)


def test_files_that_changed_places_between_versions_are_refused(root):
    one, two = (root / "versions" / name for name in ("v000001", "v000002"))
    for name in ("manifest.json", "manifest.sig"):
        spoil(one / name, (two / name).read_bytes())
    assert "not the one that was published" in refused(root)


def test_an_act_that_was_removed_is_missed(root):
    (root / "acts" / "000004.json").unlink()
    assert "names act 4, but there are 3; acts were removed" in refused(root)
    (root / "acts" / "000002.json").unlink()
    assert "not numbered 1 to 2" in refused(root)


def test_acts_that_changed_places_are_refused(root):
    two, three = root / "acts" / "000002.json", root / "acts" / "000003.json"
    data = two.read_bytes(), three.read_bytes()
    spoil(two, data[1])
    spoil(three, data[0])
    assert "000002.json: does not follow act 1" in refused(root)


def test_a_replayed_act_is_refused(root):
    shutil.copy(root / "acts" / "000003.json", root / "acts" / "000005.json")
    assert "000005.json: does not follow act 4" in refused(root)


@pytest.fixture
def forks(build, tmp_path) -> tuple[Path, Path]:
    """Two stores that begin alike, with other second acts and the same third one."""
    roots = tmp_path / "one", tmp_path / "two"
    open_store(roots[0]).publish(export(build(), tmp_path / "a"), ANA)
    shutil.copytree(*roots)
    for root, n in zip(roots, (1, 2), strict=True):
        store = open_store(root)
        store.publish(changed(build, tmp_path / str(n), n), ANA)
        store.roll_back(1, BO, "a fork")
    return roots


def test_an_act_of_another_history_is_refused(forks):
    one, two = forks
    for name in ("acts/000003.json", "current"):
        shutil.copyfile(two / name, one / "copied")
        (one / "copied").replace(one / name)
    assert "000003.json: does not follow act 2" in refused(one)


def test_a_history_that_another_one_took_the_place_of_is_refused(forks):
    one, two = forks
    shutil.rmtree(one / "acts")
    shutil.copytree(two / "acts", one / "acts")
    assert "current: act 3 is not the one that it names; one of them was replaced" in refused(one)


def test_an_older_current_that_was_put_back_is_refused(history_store, tmp_path, build):
    root = tmp_path / "store"
    store = open_store(root)
    old = []
    for n in (1, 2, 3):
        store.publish(changed(build, tmp_path / str(n), n), ANA)
        old.append((root / "current").read_bytes())
    (root / "current").write_bytes(old[0])
    assert "an older one was put back. To let an earlier version count, roll back" in refused(root)
    with pytest.raises(InputError, match="an older one was put back"):
        store.publish(tmp_path / "1", ANA)
    (root / "current").write_bytes(old[1])
    with pytest.raises(InputError, match="an older one was put back"):
        store.current()  # who saw the newer one
    assert open_store(root).current().version == 3  # who did not takes the last act, as after a kill
    assert store.mend().version == 3
    assert (root / "current").read_bytes() == old[2]


def test_a_store_that_was_put_back_as_a_whole_is_refused_by_who_saw_the_newer_one(build, tmp_path):
    root, anchor = tmp_path / "store", tmp_path / "seen" / "anchor.json"
    store = open_store(root, anchor=anchor)
    store.publish(export(build(), tmp_path / "a"), ANA)
    shutil.copytree(root, tmp_path / "old")
    store.publish(changed(build, tmp_path / "b", 3), ANA)
    shutil.rmtree(root)
    (tmp_path / "old").rename(root)
    with pytest.raises(InputError, match="has 1 acts, and had 2; the last were removed"):
        store.current()
    with pytest.raises(InputError, match="was seen with act 2, which is no longer there"):
        open_store(root, anchor=anchor).current()
    assert open_store(root).current().version == 1  # nothing tells who never saw it
    anchor.write_text("{}")
    with pytest.raises(InputError, match="not a note of the last act"):
        open_store(root, anchor=anchor).current()


def test_a_current_that_was_removed_is_missed(root):
    (root / "current").unlink()
    assert "no such file, though 4 acts were done" in refused(root)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"act": NaN}',
        '{"act": 1, "act": 4}',
        '{"act": 4, "percent": 100, "sha256": 5, "version": 1}',
        '{"act": true, "percent": 100, "sha256": "", "version": 1}',
        '{"act": -1, "percent": 100, "sha256": "", "version": 1}\n',
        '{"act": 10000000000000000000000, "percent": 100, "sha256": "", "version": 1}\n',
        "\udcff",
        "0" * 5000,
    ],
)
@pytest.mark.parametrize("name", ["current", "acts/000001.json", "versions/v000001/manifest.sig"])
def test_any_text_in_place_of_a_record_is_one_line(root, name, text):
    spoil(root / name, text.encode("utf-8", "surrogateescape"))
    refused(root)


def write_act(root: Path, act: Act, key: SigningKey) -> None:
    """Write an act that the store would not, with a pointer that agrees."""
    data = act.sign(key)
    spoil(root / "acts" / f"{act.number:06d}.json", data)
    pointer = Pointer(act.number, sha256(data).hexdigest(), act.version, act.percent or 100)
    spoil(root / "current", pointer.data())


def head(root: Path) -> str:
    paths = sorted((root / "acts").iterdir())
    return sha256(paths[-1].read_bytes()).hexdigest() if paths else FIRST


@pytest.mark.parametrize(
    ("deed", "key", "terms", "message"),
    [
        (Deed.PUBLISH, ANA, {"version": 2, "manifest": "0" * 64, "base": 1, "changed": 0.0, "percent": 100},
         "v000002 is offered as new, but v000002 was published"),
        (Deed.PUBLISH, ANA, {"version": 1, "manifest": "0" * 64, "base": 1, "changed": 0.0, "percent": 100},
         "v000001 is offered as new, but v000002 was published"),
        (Deed.PUBLISH, ANA, {"version": 3, "manifest": "0" * 64, "base": 2, "changed": 0.0, "percent": 100},
         "was compared with v000002; v000001 counts"),
        (Deed.PUBLISH, ANA, {"version": 3, "manifest": "0" * 64, "base": 1, "changed": 0.0, "percent": 99},
         "percent is 99"),
        (Deed.PUBLISH, ANA, {"version": 3, "manifest": "../../etc", "base": 1, "changed": 0.0, "percent": 100},
         "not an act as it is written"),
        (Deed.PUBLISH, BO, {"version": 3, "manifest": "0" * 64, "base": 1, "changed": 0.0, "percent": 100},
         "signed by 'bo', who may not publish"),
        (Deed.PUBLISH, CY, {"version": 3, "manifest": "0" * 64, "base": 1, "changed": 0.0, "percent": 100},
         "signed by 'cy', whom nobody trusts"),
        (Deed.PUBLISH, SigningKey("ana", CY.private), {"version": 3, "percent": 100},
         "the signature of 'ana' is not of these bytes"),
        (Deed.ROLL_BACK, BO, {"version": 2}, "no reason is given"),
        (Deed.ROLL_BACK, ANA, {"version": 2, "reason": "x"}, "signed by 'ana', who may not rollback"),
        (Deed.ROLL_BACK, BO, {"version": 7, "reason": "x"}, "there is no v000007"),
        (Deed.ROLL_OUT, ANA, {"version": 2, "percent": 100}, "v000002 is to be rolled out, but v000001 counts"),
        (Deed.ROLL_OUT, ANA, {"version": 1, "percent": 5}, "from 100 % to 5 %"),
        (Deed.APPROVE, BO, {"version": 2}, "v000002 does not wait for an approval"),
    ],
)  # fmt: skip
def test_a_signed_act_that_is_not_possible_is_refused(root, deed, key, terms, message):
    write_act(root, Act(5, head(root), deed, key.name, "", **terms), key)
    assert message in refused(root)


def test_a_signed_table_without_its_version_is_refused(root):
    act = Act(5, head(root), Deed.PUBLISH, "ana", "", 3, percent=100, manifest="0" * 64, base=1, changed=0.0)
    write_act(root, act, ANA)
    assert "v000003: not a folder that can be read" in refused(root)


def forge(root: Path, build: Callable, alter: Callable[[Path], None], source: Path) -> Path:
    """Return a store whose one version was altered after all checks and then signed by one who may."""
    store = open_store(root)
    folder = store.publish(export(build(), source), ANA).folder
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    alter(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: hash_file(folder / name) for name in manifest["files"] if name in FILES} | {
        name: "0" * 64 for name in manifest["files"] if name not in FILES
    }
    data = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(data)
    (folder / "manifest.sig").write_bytes(signature("ana", ANA.sign(CONTEXT + data)))
    manifest_hash = sha256(data).hexdigest()
    write_act(root, Act(1, FIRST, Deed.PUBLISH, "ana", "", 1, percent=100, manifest=manifest_hash), ANA)
    return root


def column(name: str, change: Callable[[pa.Array], pa.Array]) -> Callable[[Path], None]:
    def alter(folder: Path) -> None:
        table = pq.read_table(folder / PARQUET)
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, change(table.column(name))), folder / PARQUET)

    return alter


def later(dates: pa.ChunkedArray, days: int) -> pa.ChunkedArray:
    return pc.add(dates.cast(pa.int32()), pa.scalar(days, pa.int32())).cast(pa.date32())


def in_manifest(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def alter(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return alter


def arm(manifest: dict) -> dict:
    return manifest["arms"]["arms"][0]


WRONG = {
    "NaN": (column("expected_cost_usd", lambda c: pc.multiply(c, float("nan"))), "expected a finite number"),
    "no value": (column("pscore", lambda c: pc.if_else(pc.less(c, 2.0), None, c)), "expected a finite number"),
    "unknown offer": (column("offer", lambda c: pc.replace_substring(c, "coupon_2", "coupon_200")), "of the catalog"),
    "another weight": (column("weight_coupon_2", lambda c: pc.multiply(c, 0.5)), "sum to 1"),
    "negative weight": (column("weight_gift", lambda c: pc.subtract(c, 1.0)), "weights of 0 or more"),
    "another pscore": (column("pscore", lambda c: pc.multiply(c, 0.5)), "expected the offer's weight"),
    "another arm": (column("arm", lambda c: pc.replace_substring(c, "optimised", "holdout")), "arm_share"),
    "unknown arm": (column("arm", lambda c: pc.replace_substring(c, "optimised", "x")), "an arm of the manifest"),
    "bound and yet given": (column("bound", lambda c: pc.replace_substring(c, "nothing", "contact_cap")), "gets no"),
    "another day": (column("valid_from", lambda c: later(c, 365)), "expected 2018-01-01 to 2018-01-07"),
    "longer validity": (column("valid_to", lambda c: later(c, 7)), "as many weeks as the catalog says"),
    "too dear": (column("expected_cost_usd", lambda c: pc.add(c, 1.0)), "its budget is 100.00"),
    "beyond the worst": (column("expected_cost_lo_usd", lambda c: pc.add(c, 99.0)), "at worst"),
    "numbers as text": (column("pscore", lambda c: c.cast(pa.string())), "type string"),
    "column left out": (lambda folder: pq.write_table(
        pq.read_table(folder / PARQUET).drop_columns(["pscore"]), folder / PARQUET), "not readable"),
    "no Parquet": (lambda folder: (folder / PARQUET).write_bytes(b"PAR1"), "not readable"),
    "rows left out": (lambda folder: pq.write_table(
        pq.read_table(folder / PARQUET).slice(0, 10), folder / PARQUET), "has 10 customers"),
    "less money": (in_manifest(lambda m: arm(m).update(budget=1.0)), "its budget is 1.00"),
    "a hard limit": (in_manifest(lambda m: m["budget"].update(mode="hard")), "at worst; its budget is 100.00"),
    "money without end": (in_manifest(lambda m: arm(m).update(budget=1e400)), "NaN|Infinity|no number"),
    "no mode": (in_manifest(lambda m: m["budget"].update(mode="soft")), "expected hard or risk"),
    "no pieces": (in_manifest(lambda m: arm(m).update(stock={})), "expected of flash_sale"),
    "more pieces than there are": (in_manifest(lambda m: arm(m).update(stock={"flash_sale": 500})), "650 pieces"),
    "no contacts": (in_manifest(lambda m: m["config"].update(values={"rules": {"contact_cap": 0}})), "no offers"),
    "other parts": (in_manifest(lambda m: arm(m).update(parts=1)), "of 10000 parts"),
    "a late last day": (in_manifest(lambda m: m.update(not_after="2031-01-01")), "lies outside"),
    "another catalog": (in_manifest(lambda m: m["catalog"]["offers"].pop()), "stock of flash_sale"),
    "no limits": (in_manifest(lambda m: m.pop("arms")), "limits are missing"),
    "another version": (in_manifest(lambda m: m.update(table_version=2)), "table_version is 2, but it lies in v000001"),
    "another schema": (in_manifest(lambda m: m.update(schema_version=1)), "not a policy manifest of version"),
    "a path for a name": (in_manifest(lambda m: m["files"].update({"../../x": ""})), "expected names of files"),
    "a file left out": (in_manifest(lambda m: m["files"].pop("policy.xlsx")), "does not list it"),
    "no rows": (in_manifest(lambda m: m["files"].pop(PARQUET)), "expected hashes of"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_table_that_is_signed_and_yet_wrong_is_refused_at_load(build, tmp_path, wrong):
    alter, message = WRONG[wrong]
    line = refused(forge(tmp_path / "store", build, alter, tmp_path / "policy"))
    assert any(part in line for part in message.split("|")), line


def test_an_untouched_forgery_would_be_taken(build, tmp_path):
    root = forge(tmp_path / "store", build, lambda folder: None, tmp_path / "policy")
    assert open_store(root).current().version == 1


def test_what_is_touched_after_it_was_verified_is_read_again(root):
    store = open_store(root)
    assert store.current().version == 1
    path = root / "versions" / "v000001" / PARQUET
    data = path.read_bytes()
    spoil(path, bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(InputError, match="its bytes are not those that were signed"):
        store.current()


def test_a_reader_that_needs_few_files_does_not_read_the_others(root):
    spoil(root / "versions" / "v000001" / "policy.xlsx", b"changed")
    with pytest.raises(InputError, match=r"policy\.xlsx"):
        open_store(root).current()
    store = Store(root, TRUSTED, needed=("policy.sqlite",))
    assert store.current().version == 1
    spoil(root / "versions" / "v000001" / "policy.sqlite", b"changed")
    with pytest.raises(InputError, match=r"policy\.sqlite"):
        store.current()
