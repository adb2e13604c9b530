"""Reading a catalog from YAML, as a marketer writes it."""

from pathlib import Path
from typing import Any

import yaml

from campaigns.errors import InputError
from campaigns.offers import Catalog


def load_catalog(path: Path | str) -> Catalog:
    """Read and check a catalog, such as `conf/offers/default.yaml`.

    Raises:
        InputError: The file cannot be read, is no YAML, or breaks the catalog's closed schema.
    """
    try:
        return Catalog.from_dict(read_yaml(Path(path), "a catalog of offers"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_yaml(path: Path, what: str) -> Any:
    """Read a file that a person writes, such as a catalog; a key that is written twice is refused.

    Args:
        path: The file.
        what: What it should hold, for messages, as in "a catalog of offers".

    Raises:
        InputError: The file cannot be read or is no YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror}); expected {what} in YAML") from None
    except UnicodeDecodeError:
        raise InputError(f"the file is not UTF-8 text; expected {what} in YAML") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"line {line} is not valid YAML ({error.problem}); correct it") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"the file is not valid YAML ({' '.join(str(error).split())}); correct it") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key written twice, of which YAML would silently keep the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for i, key in enumerate(keys):
            if key.value in (earlier.value for earlier in keys[:i]):
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} is written twice", problem_mark=key.start_mark
                )
        return node
