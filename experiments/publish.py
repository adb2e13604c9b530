"""Sign a run's policy table and let it count, for all customers or for the first few; approve, roll out, roll back.

python -m experiments.publish publish.act=keygen publish.key=ana
python -m experiments.publish publish.key=ana
"""

from datetime import UTC, datetime
from pathlib import Path

from campaigns.errors import InputError
from experiments.config import Config
from experiments.main import main, of_budget
from experiments.publishing import PublishConfig, Task, listed, told
from history.artifacts import write_json
from serving.acts import name, number
from serving.keys import SigningKey, Trusted
from serving.release import Release
from serving.store import Store


def run_publish(config: Config) -> Path:
    """Do one act to a store; return its folder."""
    given = config.publish
    root = Path(given.store)
    if given.act is Task.KEYGEN:
        _make_key(given)
        return root
    store = Store(root, Trusted.read(_trusted(given)))
    if given.act is Task.DIFF:
        _diff(store, given)
    elif given.act is Task.SHOW:
        _show(store)
    elif given.act is Task.MEND:
        print("publish: " + _said(store, store.mend()))
    else:
        print("publish: " + _said(store, _change(store, config)))
    return root


def _change(store: Store, config: Config) -> Release:
    """Do what needs a signature."""
    given = config.publish
    key = SigningKey.read(Path(given.keys), given.signer())
    if given.act is Task.APPROVE:
        return store.approve(given.chosen(), key)
    if given.act is Task.ROLL_BACK:
        return store.roll_back(given.chosen(), key, given.reason)
    if given.act is Task.ROLL_OUT:
        return store.roll_out(given.percent, key)
    folder = _policy(config)
    held = store.holds(folder)
    if held is not None:
        print(f"publish: {folder} is {name(held)} already; nothing is published anew")
        return store.version(held) if held != store.standing().version else store.current()
    return store.publish(folder, key, given.percent)


def _policy(config: Config) -> Path:
    folder = Path(config.publish.policy) if config.publish.policy else of_budget(config, "policy")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run `python -m experiments.export` first")
    return folder


def _said(store: Store, release: Release) -> str:
    return f"{store.root}: " + told(release, store.standing(), datetime.now(UTC).date())


def _make_key(given: PublishConfig) -> None:
    key, trusted = SigningKey.generate(given.signer()), _trusted(given)
    if (trusted / f"{key.name}.json").exists():
        raise InputError(f"{trusted / key.name}.json: is there already; choose another name, or remove it first")
    private = key.write(Path(given.keys))
    public = key.trusted(given.roles).write(trusted)
    roles = ", ".join(role.value for role in given.roles)
    print(f"publish: wrote {private}, for nobody else's eyes, and {public}, which may {roles}")


def _trusted(given: PublishConfig) -> Path:
    folder = Path(given.trusted) if given.trusted else Path(given.keys) / "trusted"
    if folder.resolve().is_relative_to(Path(given.store).resolve()):
        raise InputError(
            f"publish.trusted is {folder}, within the store; who can write that must not say whom to trust"
        )
    return folder


def _diff(store: Store, given: PublishConfig) -> None:
    standing = store.standing()
    if standing.version is None:
        raise InputError(f"{store.root}: nothing was published there; publish a table first")
    latest = max((*standing.waiting(), standing.version))
    after = number(given.version) if given.version else latest
    start = standing.published[after].base if after in standing.published else None
    before = number(given.before) if given.before else start or standing.version
    diff = store.diff(before, after)
    print(diff.text())
    if given.json:
        write_json(Path(given.json), diff.to_dict())
        print(f"publish: wrote {given.json}")


def _show(store: Store) -> None:
    release = store.current()
    for line in listed(store.standing()):
        print(line)
    print("publish: " + _said(store, release))


if __name__ == "__main__":
    main(run_publish)
