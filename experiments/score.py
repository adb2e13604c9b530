"""Score any number of customers, from Parquet parts to a policy table in parts, here or on many machines.

python -m experiments.score score.customers=customers score.out=scored
"""

import os
from pathlib import Path

from experiments.config import Config
from experiments.main import main, of_budget
from experiments.scoring.scorer import CUSTOMERS, read_scorer
from experiments.scoring.whole import part_files, score_all, score_one
from experiments.scoring.work import Job
from serving.arms import CampaignKey
from serving.publishing import MANIFEST


def run_score(config: Config) -> Path:
    """Score the parts of a folder, or one of them; return the folder of the table."""
    given = config.score
    folder = Path(given.scorer) if given.scorer else of_budget(config, "scorer")
    customers = Path(given.customers) if given.customers else folder / CUSTOMERS
    out = Path(given.out) if given.out else of_budget(config, "scored")
    arms = config.export.arms
    key = CampaignKey.choose(arms.campaign or config.name, config.seed, arms.key_variable, os.environ)
    scorer, parts = read_scorer(folder, key), part_files(customers, out)
    if given.part >= 0:
        print("score: " + score_one(scorer, parts, given.part))
        return out
    job = Job(folder.resolve(), key, config.threads)
    told = score_all(scorer, job, parts, given)
    for arm in told["arms"]["arms"]:
        print(
            f"score: {arm['name']}: {arm['offers']:,} offers to {arm['customers']:,} customers, expected cost "
            f"{arm['expected_cost']:,.0f} of {arm['budget']:,.0f} {scorer.shop.catalog.currency}, "
            f"{arm['turned_down']:,} turned down"
        )
    print(f"score: wrote {told['customers']:,} rows in {len(parts)} parts, {out / MANIFEST}")
    return out


if __name__ == "__main__":
    main(run_score)
