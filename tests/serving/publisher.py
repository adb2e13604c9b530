"""A process that publishes to a store, to be killed, to meet others, or to run out of disk.

python -m tests.serving.publisher once|read|kill|stop <store> <keys> <policy> [<policy> ...]
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from campaigns.errors import InputError
from serving.keys import SigningKey, Trusted
from serving.store import Store

CALLS = ("fsync", "link", "rename", "replace", "mkdir", "chmod", "unlink")
"""What changes the disk beside writing to files that nobody reads yet."""
STOPPED = 7


def main() -> None:
    task, root, keys, *policies = sys.argv[1:]
    store = Store(Path(root), Trusted.read(Path(keys)), wait=float(os.environ.get("WAIT", "60")))
    key = SigningKey.read(Path(keys), "ana")
    try:
        {"once": once, "read": read, "kill": kill, "stop": stop}[task](
            store, key, [Path(policy) for policy in policies]
        )
    except InputError as error:
        print(f"error: {error}")
        raise SystemExit(2) from None


def once(store: Store, key: SigningKey, policies: list[Path]) -> None:
    """Publish each policy; print the version of each, or who was first."""
    for policy in policies:
        print(store.publish(policy, key).version, flush=True)


def read(store: Store, key: SigningKey, policies: list[Path]) -> None:
    """Read the store anew until a line comes in; print each version that counted, in order."""
    os.set_blocking(sys.stdin.fileno(), False)
    seen: list[int] = []
    print("reading", flush=True)
    while not sys.stdin.readline():
        version = Store(store.root, store.trusted).current().version
        if not seen or seen[-1] != version:
            seen.append(version)
    print(*seen)


def kill(store: Store, key: SigningKey, policies: list[Path]) -> None:
    """Start publishers and kill them at random, many times; after each, the store verifies and goes on.

    Every child is forked from this process, which itself starts no thread.
    """
    lucky = random.Random(int(os.environ["SEED"]))
    last, left = 0, 0
    for number in range(2):  # the second tells how long one takes on this machine
        begun = time.perf_counter()
        _wait(_child(lambda number=number: _again(store, key, policies[number])))
        longest = 1.6 * (time.perf_counter() - begun)
    for _ in range(int(os.environ["KILLS"])):
        child = _child(lambda: _forever(store, key, policies))
        time.sleep(lucky.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left += len([*store.root.glob(".tmp-*"), *store.root.glob("*/.tmp-*")])
        last = _verified(store.root, store.trusted, last)
    _wait(_child(lambda: _again(store, key, policies[0])))
    last = _verified(store.root, store.trusted, last)
    assert not [*store.root.glob(".tmp-*"), *store.root.glob("*/.tmp-*")]
    print(last, left)


def stop(store: Store, key: SigningKey, policies: list[Path]) -> None:
    """End a publisher before the first, second, ... call that changes the disk; after each, the store verifies."""
    last, versions = _verified(store.root, store.trusted, 1), set()
    for place in range(1000):
        ended = os.waitpid(_child(lambda place=place: _until(place, store, key, policies[place % 2])), 0)[1]
        assert os.waitstatus_to_exitcode(ended) in (0, STOPPED), ended
        now = _verified(store.root, store.trusted, last)
        assert now - last in (0, 1)
        versions.add((now - last, ended == 0))
        last = now
        if ended == 0:
            break
    assert versions == {(0, False), (1, False), (1, True)}
    print(place)


def _until(place: int, store: Store, key: SigningKey, policy: Path) -> None:
    """Publish, but end this process before the call of that number."""
    made = [0]

    def ending(real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            if made[0] == place:
                os._exit(STOPPED)
            made[0] += 1
            return real(*given, **named)

        return call

    for name in CALLS:
        setattr(os, name, ending(getattr(os, name)))
    store.publish(policy, key)


def _forever(store: Store, key: SigningKey, policies: list[Path]) -> None:
    number = 0
    while True:
        store.publish(policies[number % len(policies)], key)
        number += 1


def _again(store: Store, key: SigningKey, policy: Path) -> None:
    store.publish(policy, key)


def _verified(root: Path, trusted: Trusted, least: int) -> int:
    """Return the version that counts, verified in a process of its own; it never goes back."""

    def verify() -> None:
        version = Store(root, trusted).current().version if least or (root / "current").exists() else 0
        assert version >= least
        note.write_text(str(version))

    note = root.parent / "note"
    _wait(_child(verify))
    return int(note.read_text())


def _child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _wait(child: int) -> None:
    status = os.waitpid(child, 0)[1]
    assert status == 0, status


if __name__ == "__main__":
    main()
