"""Files that later steps rely on are whole, equal for equal content, and refused when they are not readable."""

import json
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch

from campaigns.errors import InputError
from history.artifacts import (
    hash_file,
    hash_value,
    read_json,
    read_tensors,
    write_atomic,
    write_json,
    write_tensors,
    write_text,
)


class Colour(Enum):
    RED = "red"


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def look_meanwhile(temporary: Path) -> None:
        temporary.write_text("new")
        assert path.read_text() == "old"

    write_atomic(path, look_meanwhile)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_is_written_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.json"
    write_json(path, {})
    assert path.stat().st_mode & 0o777 == 0o644


def test_equal_content_has_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": np.float64(0.1), "a": [1, Colour.RED, np.arange(2)]})
    write_json(tmp_path / "b.json", {"a": [1, "red", [0, 1]], "b": 0.1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    tensors = {"x": torch.arange(6.0).view(2, 3), "y": torch.ones(3, dtype=torch.int64)}
    write_tensors(tmp_path / "a.safetensors", tensors)
    write_tensors(tmp_path / "b.safetensors", dict(reversed(tensors.items())))
    assert hash_file(tmp_path / "a.safetensors") == hash_file(tmp_path / "b.safetensors")
    assert hash_value({"a": 1, "b": Colour.RED}) == hash_value({"b": "red", "a": 1})
    assert hash_value({"a": 1}) != hash_value({"a": 2})


def test_tensors_come_back_bit_equal_whatever_their_layout(tmp_path: Path) -> None:
    tensors = {"turned": torch.randn(3, 4).T, "slice": torch.randn(6)[::2], "same": torch.ones(2, requires_grad=True)}
    write_tensors(tmp_path / "t.safetensors", tensors | {"shared": tensors["same"]})
    back = read_tensors(tmp_path / "t.safetensors")
    for name, value in tensors.items():
        assert torch.equal(back[name], value)
    assert not back["same"].requires_grad


def test_a_number_that_is_none_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    with pytest.raises(TypeError, match="object is not JSON"):
        write_json(tmp_path / "a.json", {"value": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1} and more'])
def test_json_that_cannot_be_read_is_the_users_mistake(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"manifest.json: not readable as JSON .* run its step again") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b"\x08" + b"\x00" * 7 + b"{not json"])
def test_tensors_that_cannot_be_read_are_the_users_mistake(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "world.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"world.safetensors: not readable as safetensors") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.safetensors"
    write_tensors(path, {"x": torch.arange(100)})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="run its step again"):
        read_tensors(path)


def test_a_missing_file_names_the_step_to_run(tmp_path: Path) -> None:
    for read in (read_json, read_tensors):
        with pytest.raises(InputError, match=r"no such file; run the step that writes it first"):
            read(tmp_path / "absent")


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "λ"})
    text = (tmp_path / "a.json").read_text("utf-8")
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["a", "b"]
    assert read_json(tmp_path / "a.json") == {"a": "λ", "b": 1}
