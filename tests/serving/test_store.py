"""A store of signed tables: what is published is what was signed, and only signed acts say which version counts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from campaigns.errors import InputError
from serving.acts import number
from serving.keys import Role, SigningKey, Trusted
from serving.publishing import FILES, read_policy
from serving.release import PERCENTS, rollout_part
from serving.store import Store
from tests.serving.signing import ANA, BO, CY, TRUSTED, changed, export, ids, open_store


@pytest.fixture(scope="session")
def tables(build, tmp_path_factory) -> dict[int, Path]:
    """Exported tables by how many of 300 customers they leave without the offer that the first one gives."""
    root = tmp_path_factory.mktemp("tables")
    return {n: changed(build, root / str(n), n) if n else export(build(), root / "0") for n in (0, 1, 2, 150)}


@pytest.fixture
def store(tmp_path) -> Store:
    return open_store(tmp_path / "store")


def read_only(path: Path) -> bool:
    return path.stat().st_mode & 0o222 == 0


def test_what_is_published_is_read_back_signed_and_read_only(store, tables):
    release = store.publish(tables[0], ANA)
    assert (release.version, release.percent, release.previous) == (1, 100, None)
    assert {path.name for path in release.folder.iterdir()} == {*FILES, "manifest.json", "manifest.sig"}
    assert all(read_only(path) for path in [release.folder, *release.folder.iterdir()])
    assert (release.folder / FILES[0]).read_bytes() == (tables[0] / FILES[0]).read_bytes()
    assert release.manifest["table_version"] == 1
    again = open_store(store.root).current()
    assert again == release
    assert len(read_policy(again.folder).customers) == 300


def test_the_signature_is_ed25519_over_the_manifests_bytes(store, tables):
    folder = store.publish(tables[0], ANA).folder
    signature = json.loads((folder / "manifest.sig").read_text())
    signed = b"offersmith policy manifest 1\0" + (folder / "manifest.json").read_bytes()
    ANA.private.public_key().verify(bytes.fromhex(signature["signature"]), signed)
    assert (signature["key"], signature["algorithm"]) == ("ana", "Ed25519")


def test_versions_only_grow_whatever_the_runs_manifest_says(store, tables):
    assert [store.publish(tables[n], ANA).version for n in (0, 1, 0, 2)] == [1, 2, 3, 4]
    assert store.current().version == 4
    assert [json.loads(store.stamp())[key] for key in ("act", "version", "percent")] == [4, 4, 100]


def test_an_empty_store_says_to_publish_first(store):
    assert store.stamp() is None
    for act in (
        store.current,
        lambda: store.approve(1, BO),
        lambda: store.roll_back(1, BO, "x"),
        lambda: store.roll_out(5, ANA),
    ):
        with pytest.raises(InputError, match="nothing was published there; publish a table first"):
            act()
    assert not store.root.exists()


def test_the_stamp_differs_when_another_release_counts(store, tables):
    stamps = [store.stamp()]
    store.publish(tables[0], ANA)
    stamps.append(store.stamp())
    store.publish(tables[1], ANA, percent=5)
    stamps.append(store.stamp())
    store.roll_out(25, ANA)
    stamps.append(store.stamp())
    store.roll_back(1, BO, "too dear")
    stamps.append(store.stamp())
    assert len(set(stamps)) == 5


def test_only_who_may_publishes_approves_and_rolls_back(store, tables):
    with pytest.raises(InputError, match="key 'cy' is not trusted; known are ana, bo"):
        store.publish(tables[0], CY)
    with pytest.raises(InputError, match="key 'bo' may not publish; who may: ana"):
        store.publish(tables[0], BO)
    with pytest.raises(InputError, match="'ana' is not the one that is trusted under that name"):
        store.publish(tables[0], SigningKey("ana", CY.private))
    store.publish(tables[0], ANA)
    store.publish(tables[1], ANA)
    with pytest.raises(InputError, match="'ana' may not rollback; who may: bo"):
        store.roll_back(1, ANA, "why not")
    assert store.current().version == 2


def test_a_version_that_changes_many_decisions_waits_for_a_second_person(store, tables):
    store.publish(tables[0], ANA)
    waiting = store.publish(tables[150], ANA, percent=25)
    assert (waiting.version, store.standing().waiting()) == (2, (2,))
    assert store.current().version == 1
    assert store.history()[-1].changed == 0.5
    with pytest.raises(InputError, match="'ana' may not approve"):
        store.approve(2, ANA)
    release = store.approve(2, BO)
    assert (release.version, release.percent, release.previous.version) == (2, 25, 1)
    assert store.standing().waiting() == ()
    with pytest.raises(InputError, match="v000002 is approved already"):
        store.approve(2, BO)


def test_nobody_approves_what_they_published_under_any_name(tmp_path, tables):
    both = [Role.PUBLISH, Role.APPROVE]
    twin = SigningKey("twin", ANA.private)
    store = Store(tmp_path / "store", Trusted.of(ANA.trusted(both), twin.trusted(both), BO.trusted([Role.APPROVE])))
    store.publish(tables[0], ANA)
    store.publish(tables[150], ANA)
    for key in (ANA, twin):
        with pytest.raises(InputError, match=f"'{key.name}' published v000002 and may not approve it"):
            store.approve(2, key)
    assert store.approve(2, BO).version == 2


def test_the_share_that_needs_approval_is_a_rule_of_who_trusts(tmp_path, tables):
    keys = [ANA.trusted([Role.PUBLISH]), BO.trusted([Role.APPROVE])]
    strict = Store(tmp_path / "strict", Trusted.of(*keys, approval_above=0.0))
    strict.publish(tables[0], ANA)
    strict.publish(tables[0], ANA)
    assert strict.current().version == 2
    strict.publish(tables[1], ANA)
    assert strict.current().version == 2
    lax = Store(tmp_path / "lax", Trusted.of(*keys, approval_above=0.6))
    lax.publish(tables[0], ANA)
    assert lax.publish(tables[150], ANA).version == lax.current().version == 2


def test_a_reader_with_a_stricter_rule_refuses_what_nobody_approved(tmp_path, tables):
    keys = [ANA.trusted([Role.PUBLISH]), BO.trusted([Role.APPROVE, Role.ROLLBACK])]
    lax, strict = (Trusted.of(*keys, approval_above=share) for share in (0.9, 0.3))
    writer = Store(tmp_path / "store", lax)
    writer.publish(tables[0], ANA)
    writer.publish(tables[150], ANA)
    with pytest.raises(InputError, match=r"changes 50\.0 % of the decisions of v000001, more than the 30 %"):
        Store(tmp_path / "store", strict).current()
    assert Store(tmp_path / "store", strict).approve(2, BO).version == 2


def test_an_approval_is_of_what_was_compared(store, tables):
    store.publish(tables[0], ANA)
    store.publish(tables[150], ANA)
    store.publish(tables[1], ANA)
    assert store.standing().waiting() == ()
    with pytest.raises(InputError, match="was compared with v000001, but now v000003 counts; publish the table again"):
        store.approve(2, BO)


def test_going_back_is_signed_and_has_a_reason(store, tables):
    for n in (0, 1, 2):
        store.publish(tables[n], ANA)
    with pytest.raises(InputError, match="no reason is given"):
        store.roll_back(1, BO, "  ")
    assert store.roll_back(1, BO, "redeemed twice as often as expected").version == 1
    act = store.history()[-1]
    assert (act.by, act.reason, act.at) == ("bo", "redeemed twice as often as expected", "2018-01-01T08:00:00Z")
    with pytest.raises(InputError, match="v000001 counts already; go back to another one: v000002, v000003"):
        store.roll_back(1, BO, "again")
    assert store.publish(tables[0], ANA).version == 4
    assert open_store(store.root).current().version == 4


def test_no_going_back_to_what_never_counted(store, tables):
    store.publish(tables[0], ANA)
    store.publish(tables[150], ANA)
    with pytest.raises(InputError, match="v000002 never counted; go back to one that did: there is none"):
        store.roll_back(2, BO, "a way round the approval")
    with pytest.raises(InputError, match="there is no v000009; versions go from 1 to 2"):
        store.roll_back(9, BO, "a slip")


def test_a_rollout_grows_in_steps_and_everybody_gets_one_of_two_versions(store, tables):
    store.publish(tables[0], ANA)
    names, sizes = ids(2000), []
    before: set[str] = set()
    for percent in PERCENTS:
        release = store.publish(tables[1], ANA, percent=1) if percent == 1 else store.roll_out(percent, ANA)
        given = {str(name) for name in names if release.for_customer(str(name)).version == 2}
        others = {release.for_customer(str(name)).version for name in names} - {2}
        assert others == (set() if percent == 100 else {1})
        assert before <= given
        before = given
        sizes.append(len(given))
    expected = np.array(PERCENTS) * 20
    assert (np.abs(np.array(sizes) - expected) <= 4 * np.sqrt(expected * (1 - expected / 2000))).all()
    with pytest.raises(InputError, match="from 100 % to 25 %"):
        store.roll_out(25, ANA)


def test_a_customers_place_in_rollouts_never_changes():
    assert [rollout_part("demo", name) for name in ("1", "2", "3", "ä", "")] == [40, 85, 12, 93, 60]


def test_parts_of_a_rollout_are_even():
    counts = np.bincount([rollout_part("spring", str(name)) for name in ids(20_000)], minlength=100)
    assert counts.shape == (100,) and ((counts - 200) ** 2 / 200).sum() < 150  # chi-square, 99 degrees: 1 in 1,500


def test_the_first_version_is_for_everybody(store, tables):
    with pytest.raises(InputError, match="the other customers had no table; publish it with percent=100"):
        store.publish(tables[0], ANA, percent=5)
    assert list((store.root / "versions").iterdir()) == []
    with pytest.raises(InputError, match="percent is 50; expected one of 1, 5, 25, 100"):
        store.publish(tables[0], ANA, percent=50)


def test_a_version_published_within_a_rollout_takes_its_place(store, tables):
    store.publish(tables[0], ANA)
    store.publish(tables[1], ANA, percent=5)
    release = store.publish(tables[2], ANA, percent=5)
    assert (release.version, release.previous.version) == (3, 1)


def test_a_key_that_is_withdrawn_signs_no_more_and_what_it_signed_stays(tmp_path, tables):
    root = tmp_path / "store"
    open_store(root).publish(tables[0], ANA)
    late = ANA.trusted([Role.PUBLISH])
    late = type(late)(late.name, late.public, late.roles, last_act=1)
    store = Store(root, Trusted.of(late, BO.trusted([Role.ROLLBACK])))
    assert store.current().version == 1
    with pytest.raises(InputError, match="signed by 'ana', whose key was withdrawn after act 1"):
        store.publish(tables[1], ANA)
    with pytest.raises(InputError, match="signed by 'ana', whom nobody trusts"):
        Store(root, Trusted.of(BO.trusted([Role.ROLLBACK]))).current()


def test_keys_are_read_back_and_kept_from_others(tmp_path):
    path = ANA.write(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.read(tmp_path, "ana").sign(b"x") == ANA.sign(b"x")
    with pytest.raises(InputError, match="is there already"):
        ANA.write(tmp_path)
    path.chmod(0o640)
    with pytest.raises(InputError, match="others may read it"):
        SigningKey.read(tmp_path, "ana")
    for name in ("../ana", "", "Ana", "a" * 41, "rules", "ana\n"):
        with pytest.raises(InputError, match="key name"):
            SigningKey.read(tmp_path, name)
    (tmp_path / "no.pem").write_text("nothing")
    (tmp_path / "no.pem").chmod(0o600)
    with pytest.raises(InputError, match="not a private key"):
        SigningKey.read(tmp_path, "no")
    with pytest.raises(InputError, match="not readable"):
        SigningKey.read(tmp_path, "nobody")


def test_whom_to_trust_is_read_from_a_folder(tmp_path):
    for key in TRUSTED.keys.values():
        key.write(tmp_path)
    assert Trusted.read(tmp_path).keys.keys() == {"ana", "bo"}
    assert Trusted.read(tmp_path).keys["bo"].raw == TRUSTED.keys["bo"].raw
    (tmp_path / "rules.json").write_text('{"approval_above": 0.1}')
    assert Trusted.read(tmp_path).approval_above == 0.1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ana.json", "{", "not readable as JSON"),
        ("ana.json", '{"name": "ana"}', "has no public_key"),
        ("ana.json", '{"name": "bo", "public_key": "", "roles": []}', "names the key 'bo'"),
        ("ana.json", '{"name": "ana", "public_key": "", "roles": ["publish"]}', "public_key is no Ed25519 key"),
        ("ana.json", '{"name": "ana", "public_key": "", "roles": ["rule"]}', "roles are"),
        ("rules.json", '{"approval_above": 2}', "expected a share"),
        ("rules.json", '{"approve_above": 0.2}', "unknown key 'approve_above'"),
    ],
)
def test_a_trusted_folder_with_a_mistake_is_refused(tmp_path, name, text, message):
    ANA.trusted([Role.PUBLISH]).write(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        Trusted.read(tmp_path)


def test_an_empty_trusted_folder_trusts_nobody(tmp_path):
    with pytest.raises(InputError, match="no trusted key there"):
        Trusted.read(tmp_path)


@pytest.mark.parametrize("text", ["../1", "v1/..", "0", "-1", "", "v0000001", "1e3", "\u0661", "v000001\n", " 1"])
def test_a_version_is_a_number_and_nothing_else(text):
    with pytest.raises(InputError, match="expected a number from 1"):
        number(text)
    assert (number("3"), number("v000003")) == (3, 3)


def test_a_store_is_read_without_torch(tmp_path):
    code = "import sys, serving.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_copy_of_a_store_verifies_elsewhere(store, tables, tmp_path):
    store.publish(tables[0], ANA)
    store.publish(tables[1], ANA)
    shutil.copytree(store.root, tmp_path / "copy")
    assert open_store(tmp_path / "copy").current().version == 2


def test_a_version_of_an_older_format_is_compared_with_and_not_served(build, tables, tmp_path, monkeypatch):
    store = open_store(tmp_path / "store")
    store.publish(tables[0], ANA)
    monkeypatch.setattr("serving.versions.SCHEMA_VERSION", 99)
    monkeypatch.setattr("serving.publishing.SCHEMA_VERSION", 99)
    with pytest.raises(InputError, match="not a policy manifest of version 99; export it again"):
        open_store(store.root).current()
    release = open_store(store.root).publish(export(build(), tmp_path / "new"), ANA)
    assert (release.version, release.manifest["schema_version"]) == (2, 99)
    assert open_store(store.root).history()[-1].changed == 0.0
