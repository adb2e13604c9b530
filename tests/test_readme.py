"""What the pages say can be done: commands compose, links lead somewhere, and the README runs in a fresh clone."""

import contextlib
import importlib.util
import os
import re
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from experiments.config import register_schemas
from experiments.main import CONF, to_config
from tests.experiments.fabricated_shop import write_shop

ROOT = CONF.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)( server)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""Language, whether it is a server that runs until it is stopped, and text of a fenced block."""
SECONDS = 3600
"""Longest time that all of the README's commands may take."""


def blocks(page: Path) -> list[tuple[str, bool, str]]:
    return [(language, bool(server), text) for language, server, text in BLOCK.findall(page.read_text("utf-8"))]


def commands() -> list[tuple[str, str]]:
    """Return every command line of every page, with the page's name."""
    return [
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for language, _, text in blocks(page)
        if language == "bash"
        for line in text.splitlines()
        if line.strip()
    ]


def verbs() -> list[tuple[str, str]]:
    """Return the verb's name and its overrides, for every command line that calls one."""
    found = [re.match(r"python -m experiments\.(\w+)(.*)", line) for _, line in commands()]
    return sorted({(match[1], match[2].partition("#")[0].strip()) for match in found if match})


def test_the_readme_names_every_verb() -> None:
    known = {path.stem for path in (ROOT / "experiments").glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert {verb for verb, _ in verbs()} == known


@pytest.mark.parametrize(("verb", "overrides"), verbs())
def test_a_command_of_a_page_calls_a_verb_with_settings_that_compose(
    verb: str, overrides: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert importlib.util.find_spec(f"experiments.{verb}")
    given = shlex.split(overrides)
    sweep = "-m" in given
    given = [override for override in given if override != "-m"]
    choices = [override.split("=", 1)[1].split(",") if sweep else [override.split("=", 1)[1]] for override in given]
    register_schemas()
    monkeypatch.chdir(tmp_path)
    for values in product(*choices):
        chosen = [f"{given[i].split('=', 1)[0]}={value}" for i, value in enumerate(values)]
        with initialize_config_dir(str(CONF)):
            assert to_config(compose("config", overrides=chosen)).name


def test_make_commands_of_the_pages_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    asked = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)$", text, re.MULTILINE))
    assert {"demo", "test"} <= asked <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_something(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that headings of a page have."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    rooms = "campaigns|history|simulators|envs|agents|evaluation|serving|experiments|conf"
    for name in re.findall(rf"`((?:{rooms})/[^`\s<>*]*)`", page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").glob("*.png")), ids=lambda picture: picture.name)
def test_pictures_are_small(picture: Path) -> None:
    assert picture.stat().st_size < 300_000


@pytest.mark.slow
def test_every_command_of_the_readme_runs_in_order_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "offersmith"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    write_shop(clone / "my-shop")
    for number, (language, server, text) in enumerate(blocks(clone / "README.md")):
        if language == "bash" and server:
            with serving(clone, text) as address, urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.status == 200
        elif language in ("bash", "python"):
            run_block(clone, language, text, number)
    assert (clone / "runs" / "demo" / "report.html").is_file()
    assert (clone / "runs" / "shop" / "policy" / "policy_by_customer.csv").is_file()


def environment(clone: Path) -> dict[str, str]:
    """Return an environment in which `source .venv/bin/activate` has been done, and nothing of ours is left."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON", "VIRTUAL_ENV"))
    }
    here = str(ROOT / ".venv" / "bin")
    path = [place for place in kept["PATH"].split(os.pathsep) if place != here]
    collect = {"PYTEST_ADDOPTS": "--collect-only"}  # the tests themselves are run beside this one
    return kept | collect | {"PATH": os.pathsep.join([str(clone / ".venv" / "bin"), *path])}


def run_block(clone: Path, language: str, text: str, number: int) -> None:
    """Run one block; whatever it says on a failure becomes the test's message."""
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else ["python", "-W", "error", "-c", text]
    start = time.monotonic()
    done = subprocess.run(
        command, cwd=clone, env=environment(clone), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"block {number}:\n{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    print(f"--- block {number}, {time.monotonic() - start:.0f} s\n{text}{done.stdout}")


@contextlib.contextmanager
def serving(clone: Path, text: str) -> Iterator[str]:
    """Run a block that serves pages until it is stopped; yields the address that it prints."""
    server = subprocess.Popen(
        ["bash", "-c", f"exec {text.strip()}"], cwd=clone, env=environment(clone), stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        lines = iter(server.stderr.readline, "")
        found = next((match[0] for line in lines if (match := re.search(r"http://\S+", line))), None)
        assert found is not None, f"{text.strip()} stopped without an address"
        yield found
    finally:
        server.terminate()
        server.communicate(timeout=60)
