"""Measure what the project promises, beside named peers in the same run; print it, write it as JSON and Markdown.

python -m experiments.benchmark name=benchmark
"""

from collections.abc import Callable
from dataclasses import asdict

from tqdm import tqdm

from experiments.benchmarks import job, off_policy, predictions, scale, serving
from experiments.benchmarks.measured import Measured, describe_machine, write_table
from experiments.config import BenchmarkSection, Config
from experiments.fit import run_fit
from experiments.main import main, run_folder
from experiments.peers import bandits, market, ppo
from experiments.prepare import run_prepare
from history.artifacts import write_json, write_text

Section = Callable[[Config, int], list[Measured]]
SECTIONS: dict[BenchmarkSection, Section] = {
    BenchmarkSection.PANEL: job.measure_panel,
    BenchmarkSection.PREDICTIONS: predictions.measure_predictions,
    BenchmarkSection.MARKET: market.compare,
    BenchmarkSection.PPO: ppo.compare,
    BenchmarkSection.SCALE: scale.measure_scale,
    BenchmarkSection.BANDITS: bandits.compare,
    BenchmarkSection.SERVING: serving.measure_serving,
    BenchmarkSection.OFF_POLICY: off_policy.measure_off_policy,
    BenchmarkSection.JOB: job.measure_whole_job,
}
"""What can be measured, in this order; each takes the configuration and the number of rounds."""


def run_benchmark(config: Config) -> list[Measured]:
    """Measure, print and write runs/<name>/benchmark.json and benchmark.md."""
    run_prepare(config)
    run_fit(config)
    asked = [section for section in SECTIONS if section in config.benchmark.sections]
    rows: list[Measured] = []
    for section in tqdm(asked, desc="measure", unit="section", disable=None):
        rows += SECTIONS[section](config, config.benchmark.rounds)
    machine = describe_machine(config.benchmark.rounds)
    folder = run_folder(config)
    write_json(folder / "benchmark.json", {"machine": machine, "rows": [asdict(row) for row in rows]})
    write_text(folder / "benchmark.md", write_table(rows, machine))
    for row in rows:
        print(f"{row.what:<44} {row.value}{f'; target {row.target}' if row.target else ''}")
    return rows


if __name__ == "__main__":
    main(run_benchmark)
