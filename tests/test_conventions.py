"""What the whole code base keeps to: its rooms, their imports, and what must not be in them."""

import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
ROOMS = ("campaigns", "history", "simulators", "envs", "agents", "evaluation", "serving", "monitoring", "experiments")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
UNSAFE = re.compile(
    r"\bpickle\b|\bjoblib\.load\b|\btorch\.(load|save)\b|\b(PPO|DQN|A2C)\.load\b|\byaml\.(unsafe_)?load\("
)
LONGEST = 350


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_every_room_is_a_package_with_an_empty_init() -> None:
    folders = {path.parent for path in MODULES}
    assert len(folders) >= 8
    for folder in folders:
        assert (folder / "__init__.py").read_bytes() == b"", folder


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_rooms_import_only_in_their_direction(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    result = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert result == 0, capsys.readouterr().out


def test_nothing_is_left_to_be_done() -> None:
    assert found(UNFINISHED, MODULES) == []


def test_nothing_is_read_that_can_run_code() -> None:
    # campaigns.catalog loads with its own subclass of yaml.SafeLoader, which refuses repeated keys.
    safe = 'yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)'
    assert [line for line in found(UNSAFE, MODULES) if safe not in line] == []


def test_no_module_is_too_long_to_hold_in_mind() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_test_is_skipped_or_quietly_expected_to_fail() -> None:
    skipping = re.compile(r"(pytest\.|mark\.)(skip|skipif|xfail|importorskip)\b")
    tests = sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    assert found(skipping, tests) == []
