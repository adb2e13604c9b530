"""How a large table is scored."""

from dataclasses import dataclass
from enum import Enum

from campaigns.errors import InputError


class Engine(Enum):
    """Where parts are scored."""

    LOCAL = "local"  # processes of this machine
    RAY = "ray"  # tasks on a Ray cluster: the one that RAY_ADDRESS names, or one started here
    ARRAY = "array"  # jobs of an array, each of which is given `part`; without one, what they did is put together


@dataclass
class ScoreConfig:
    """Which customers to score, with what, and where."""

    scorer: str = ""  # what `export` left; the run's `scorer` if empty
    customers: str = ""  # folder of Parquet parts; those that `export` left if empty
    out: str = ""  # folder of the table; the run's `scored` if empty
    engine: Engine = Engine.LOCAL
    jobs: int = 2  # processes, where it is local
    lookup: bool = True  # also the file that `serve` looks customers up in, which is as large as all else together
    part: int = -1  # the one part to score, from 0 in the order of the names; all of them if below 0

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"score.jobs is {self.jobs}; expected at least 1")
        if self.part < -1:
            raise InputError(f"score.part is {self.part}; expected a number from 0, or -1 for all parts")
        if self.engine is not Engine.ARRAY and self.part >= 0:
            raise InputError(f"score.part is {self.part}, and score.engine is {self.engine.value}; expected array")
