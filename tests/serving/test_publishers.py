"""Publishers that fail, meet, are killed or run out of disk leave a store that verifies, and say what happened."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from campaigns.errors import InputError
from history.artifacts import hash_file
from serving.acts import Deed
from serving.keys import Role, Trusted
from serving.store import Store
from tests.serving.publisher import CALLS
from tests.serving.signing import ANA, BO, changed, export, open_store

ROOT = Path(__file__).parents[2]
KILLS = 200


@pytest.fixture(scope="session")
def workshop(build, tmp_path_factory) -> Path:
    """A folder with keys and the policies a, b, c."""
    root = tmp_path_factory.mktemp("workshop")
    ANA.write(root / "keys")
    ANA.trusted([Role.PUBLISH]).write(root / "keys")
    BO.trusted([Role.APPROVE, Role.ROLLBACK]).write(root / "keys")
    export(build(), root / "a")
    changed(build, root / "b", 1)
    changed(build, root / "c", 2)
    return root


def publisher(task: str, workshop: Path, root: Path, *policies: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.serving.publisher", task, str(root), str(workshop / "keys")]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [*command, *(str(workshop / policy) for policy in policies)],
        cwd=ROOT, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def left_over(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if ".tmp-" in path.name]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, place: int) -> Iterator[list[str]]:
    """Let one call that changes the disk fail, the first being 0; yields the names of all calls that are made."""
    made: list[str] = []

    def faulty(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            made.append(name)
            if len(made) == place + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*given, **named)

        return call

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, faulty(name, getattr(os, name)))
        yield made


def said(store: Store, policy: Path) -> str:
    """Publish, and return what was wrong, or nothing."""
    try:
        store.publish(policy, ANA)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_moment_leaves_the_old_table(workshop, tmp_path, monkeypatch):
    open_store(tmp_path / "first").publish(workshop / "a", ANA)
    outcomes = []
    for place in range(1000):
        root = tmp_path / str(place)
        shutil.copytree(tmp_path / "first", root)
        with failing(monkeypatch, place) as made:
            line = said(open_store(root), workshop / "b")
        if len(made) <= place:
            break
        counted = not line or "it counts, but the disk has not confirmed to keep it" in line
        assert not line or "No space left on device" in line
        assert open_store(root).current().version == (2 if counted else 1), (made[place], line)
        if made[place] != "unlink":
            assert left_over(root) == [], made[place]
        assert open_store(root).publish(workshop / "c", ANA).version == (3 if counted else 2)
        assert left_over(root) == []
        outcomes.append((made[place], counted))
    assert outcomes.count(("fsync", True)) == 1  # of the folder, after the switch
    assert outcomes.count(("fsync", False)) >= 12  # eight files, their folder, an act, a pointer, two folders
    assert {name for name, _ in outcomes} == set(CALLS)


def test_what_is_left_after_a_failure_is_cleared_up_and_the_next_one_goes_on(workshop, tmp_path, monkeypatch):
    root = tmp_path / "store"
    store = open_store(root)
    store.publish(workshop / "a", ANA)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        with pytest.raises(InputError, match="No space left on device; nothing was changed: what counted counts"):
            store.publish(workshop / "b", ANA)
    assert left_over(root) == []
    assert [path.name for path in (root / "versions").iterdir()] == ["v000001"]
    assert store.publish(workshop / "b", ANA).version == 2


def test_what_a_killed_publisher_left_is_cleared_up(workshop, tmp_path):
    store = open_store(tmp_path / "store")
    folder = store.publish(workshop / "a", ANA).folder
    for name in ("v000002", ".tmp-0"):
        shutil.copytree(folder, folder.parent / name)
    (store.root / ".tmp-1").write_text("x")
    (store.root / "acts" / ".tmp-2").symlink_to("/etc/passwd")
    assert open_store(store.root).current().version == 1
    assert store.publish(workshop / "b", ANA).version == 2
    assert left_over(store.root) == []
    assert store.current().manifest["table_version"] == 2


def test_a_publisher_killed_before_the_switch_has_published(workshop, tmp_path):
    store = open_store(tmp_path / "store")
    store.publish(workshop / "a", ANA)
    before = store.stamp()
    store.publish(workshop / "b", ANA)
    (store.root / "current").write_bytes(before)  # as if it had been killed between its act and the switch
    late = open_store(store.root)
    assert (late.current().version, late.current().version) == (2, 2)
    assert late.publish(workshop / "c", ANA).version == 3


def test_current_is_put_in_place_and_never_written_over(workshop, tmp_path):
    store = open_store(tmp_path / "store")
    store.publish(workshop / "a", ANA)
    before = store.stamp()
    with (store.root / "current").open("rb") as opened:
        store.publish(workshop / "b", ANA)
        assert opened.read() == before != store.stamp()


def test_only_one_publisher_is_at_work(workshop, tmp_path):
    store = open_store(tmp_path / "store", wait=0.0)
    store.publish(workshop / "a", ANA)
    other = open_store(tmp_path / "store", wait=0.05)
    with store._writing(), pytest.raises(InputError, match="another publisher is at work"):
        other.publish(workshop / "b", ANA)
    assert other.publish(workshop / "b", ANA).version == 2


def test_who_comes_second_without_a_lock_is_told(workshop, tmp_path):
    store = open_store(tmp_path / "store")
    store.publish(workshop / "a", ANA)
    shutil.copytree(store.root, tmp_path / "other")
    open_store(tmp_path / "other").publish(workshop / "b", ANA)
    with store._writing() as standing:
        shutil.copy(tmp_path / "other" / "acts" / "000002.json", store.root / "acts" / "000002.json")
        act = store._act(standing, Deed.PUBLISH, "ana", 2, manifest="0" * 64, percent=100, base=1, changed=0.0)
        data = act.sign(ANA)
        after = standing.after(data, store.trusted, store.root)
        with pytest.raises(InputError, match="another publisher was first; look at what counts and try again"):
            store._chain.add(data, standing, after)
    assert left_over(store.root) == []


def test_a_policy_folder_with_a_link_in_it_is_refused(workshop, tmp_path):
    policy = tmp_path / "policy"
    shutil.copytree(workshop / "a", policy)
    (policy / "policy.xlsx").rename(tmp_path / "secret")
    (policy / "policy.xlsx").symlink_to(tmp_path / "secret")
    store = open_store(tmp_path / "store")
    with pytest.raises(InputError, match=r"policy\.xlsx: not a file that can be read"):
        store.publish(policy, ANA)
    assert left_over(store.root) == []
    assert store.stamp() is None


def test_an_altered_policy_folder_is_refused(workshop, tmp_path):
    policy = tmp_path / "policy"
    shutil.copytree(workshop / "a", policy)
    (policy / "policy.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"policy\.xlsx: its bytes are not those that its manifest says"):
        open_store(tmp_path / "store").publish(policy, ANA)
    with pytest.raises(InputError, match="not a folder that can be read"):
        open_store(tmp_path / "store").publish(tmp_path / "none", ANA)


def test_a_look_up_file_that_says_something_else_is_refused(workshop, tmp_path):
    policy = tmp_path / "policy"
    shutil.copytree(workshop / "a", policy)
    for change in ("UPDATE decisions SET reason = 'x' WHERE customer_id = '0007'", "DELETE FROM decisions"):
        connection = apsw.Connection(str(policy / "policy.sqlite"))
        connection.execute(change)
        connection.close()
        manifest = json.loads((policy / "manifest.json").read_text())
        manifest["files"]["policy.sqlite"] = hash_file(policy / "policy.sqlite")
        (policy / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="does not say the same as policy_by_customer"):
            open_store(tmp_path / "store").publish(policy, ANA)


@pytest.mark.slow
def test_four_publishers_at_once_get_versions_of_their_own_and_readers_never_stumble(workshop, tmp_path):
    root = tmp_path / "store"
    open_store(root).publish(workshop / "a", ANA)
    reader = publisher("read", workshop, root)
    assert reader.stdout.readline() == "reading\n"
    writers = [publisher("once", workshop, root, *"bcabc") for _ in range(4)]
    done = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, done
    versions = [[int(line) for line in out.split()] for out, _ in done]
    assert sorted(version for own in versions for version in own) == list(range(2, 22))
    assert all(own == sorted(own) for own in versions)
    seen = [int(version) for version in reader.communicate("stop\n", timeout=60)[0].split()]
    assert reader.returncode == 0 and seen == sorted(seen) and len(seen) > 1
    assert Store(root, Trusted.read(workshop / "keys")).current().version == 21


@pytest.mark.slow
def test_publishers_who_do_not_wait_are_told_and_leave_nothing(workshop, tmp_path):
    root = tmp_path / "store"
    open_store(root).publish(workshop / "a", ANA)
    writers = [publisher("once", workshop, root, "b", WAIT="0") for _ in range(4)]
    done = [writer.communicate(timeout=120) for writer in writers]
    told = [out for out, _ in done if "another publisher is at work" in out]
    won = [int(out) for out, _ in done if "error" not in out]
    assert len(told) + len(won) == 4 and won
    assert sorted(won) == list(range(2, 2 + len(won)))
    assert left_over(root) == []


@pytest.mark.slow
def test_a_publisher_that_ends_before_any_change_of_the_disk_leaves_the_old_or_the_new_version(workshop, tmp_path):
    open_store(tmp_path / "store").publish(workshop / "a", ANA)
    stopped = publisher("stop", workshop, tmp_path / "store", *"bc")
    out, err = stopped.communicate(timeout=200)
    assert stopped.returncode == 0, err[-3000:]
    assert int(out) > 25


@pytest.mark.slow
def test_publishers_killed_at_random_leave_a_table_that_verifies(workshop, tmp_path):
    killed = publisher("kill", workshop, tmp_path / "store", *"abc", SEED="7", KILLS=str(KILLS))
    out, err = killed.communicate(timeout=500)
    assert killed.returncode == 0, err[-3000:]
    last, left = map(int, out.split())
    assert last > KILLS / 10  # they did get something done
    assert left > KILLS / 10  # and were in the middle of it


def confined(root: Path, mount: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a mount namespace of its own, after a mount."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'{mount} && shift && exec "$@"'
    return subprocess.run(
        ["unshare", *user, "--mount", "sh", "-c", script, "sh", str(root), *command],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_the_old_table(workshop, tmp_path):
    root = tmp_path / "disk"
    root.mkdir()
    size = sum(path.stat().st_size for path in (workshop / "a").iterdir()) * 3 // 2
    python = f"{sys.executable} -m tests.serving.publisher once {root}/store {workshop}/keys"
    script = (
        f"{python} {workshop}/a && {{ {python} {workshop}/b; test $? = 2; }} && cd {root} && "
        f"find store -name '.tmp-*' && ls store/versions store/acts && cat store/current && cp -r store {tmp_path}/kept"
    )
    done = confined(root, f'mount -t tmpfs -o size={size} none "$1"', ["sh", "-c", script])
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[:2] == ["1", done.stdout.splitlines()[1]]
    assert done.stdout.splitlines()[1].endswith("No space left on device; nothing was changed: what counted counts")
    assert ".tmp-" not in "\n".join(done.stdout.splitlines()[2:])
    assert "v000002" not in done.stdout
    assert Store(tmp_path / "kept", Trusted.read(workshop / "keys")).current().version == 1


@pytest.mark.slow
def test_a_read_only_store_is_read_and_not_written(workshop, tmp_path):
    root = tmp_path / "store"
    open_store(root).publish(workshop / "a", ANA)
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    program = [sys.executable, "-m", "tests.serving.publisher"]
    done = confined(root, mount, [*program, "once", str(root), str(workshop / "keys"), str(workshop / "b")])
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == f"error: {root}/.lock: Read-only file system; nothing was changed: what counted counts\n"
    code = (
        "import sys; from pathlib import Path; from serving.keys import Trusted; from serving.store import Store;"
        "print(Store(Path(sys.argv[1]), Trusted.read(Path(sys.argv[2]))).current().version)"
    )
    done = confined(root, mount, [sys.executable, "-c", code, str(root), str(workshop / "keys")])
    assert done.stdout == "1\n", done
