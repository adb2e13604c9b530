"""Take a shop's tables in: validate them, set bad rows aside, aggregate to weeks.

python -m experiments.prepare source=tables source.mapping=shop.yaml name=shop
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from campaigns.errors import InputError
from experiments.config import Config
from experiments.history import full_weeks
from experiments.main import main, run_folder
from experiments.runs import Step, require
from history.artifacts import hash_file
from history.calendar import Calendar
from history.prepare import prepare
from history.splits import split_history
from history.weekly import CategoryChoice


def prepare_step(config: Config) -> Step:
    mapping = config.source.build()
    files = {name: hash_file(table.path) for name, table in mapping.tables.items() if table.path.is_file()}
    settings = {
        "source": {"mapping": hash_file(mapping.path), "files": files},
        "prepare": asdict(config.prepare),
        "split": asdict(config.split),
    }
    return Step(run_folder(config) / "prepare", "prepare", settings, {})


def run_prepare(config: Config) -> Path:
    """Prepare the history of a run, unless that is done; return the folder."""
    step = prepare_step(config)
    if step.is_done():
        print(f"prepare: {step.folder} is up to date")
        return step.folder
    step.begin()

    def choose(customer_ids: tuple[str, ...], calendar: Calendar) -> CategoryChoice:
        train = split_history(customer_ids, full_weeks(calendar.n_weeks), config.split).train
        return CategoryChoice(
            count=config.prepare.categories,
            last_week=calendar.first + train.weeks.stop - 1,
            customers=[customer_ids[i] for i in train.customers],
        )

    prepared = prepare(config.source, step.folder, config.prepare.max_rejected_share, choose)
    step.finish()
    print(_summary(prepared.quality.to_dict()))
    return step.folder


def require_source(config: Config) -> None:
    """Check that a run was prepared from the configured source, so that its report says whose figures they are.

    Raises:
        InputError: it was prepared from another one, or not at all.
    """
    folder = run_folder(config) / "prepare"
    prepared = require(folder, "prepare")["settings"]["source"]["mapping"]
    if prepared != hash_file(config.source.build().path):
        raise InputError(
            f"{folder}: prepared from another source than is configured now; give the one that it was prepared from, "
            "as in source=tables source.mapping=shop.yaml"
        )


def _summary(quality: dict[str, Any]) -> str:
    tables = quality["tables"].values()
    read, rejected = sum(t["read"] for t in tables), sum(t["rejected"] for t in tables)
    customers = int(quality["totals"]["customers"])
    weeks = quality["last_week"] - quality["first_week"] + 1
    return f"prepare: {read:,} rows read, {rejected:,} set aside; {customers:,} customers over {weeks} weeks"


if __name__ == "__main__":
    main(run_prepare)
