from __future__ import annotations

import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import snakepit
from snakepit import errors, testing


@pytest.mark.parametrize("module", [snakepit, errors, testing])
def test_all_is_what_can_be_imported(module: ModuleType) -> None:
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    assert module.__all__ == sorted(module.__all__)


def test_everything_public_is_in_all() -> None:
    public = {
        name
        for name, value in vars(snakepit).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public | {"errors", "__version__"} == set(snakepit.__all__)


def test_everything_public_is_documented() -> None:
    for module in (snakepit, errors, testing):
        for name in module.__all__:
            value = getattr(module, name)
            assert name == "__version__" or value.__doc__, name


def test_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert snakepit.__version__ == project["project"]["version"]
