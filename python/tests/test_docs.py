"""Every Python block of the SDK's page runs."""

import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python-sdk.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def title(block: str) -> str:
    """The first thing that a block defines and decorates."""
    found = re.search(r"(?:class|def) (\w+)", block)
    return found[1] if found else "block"


def test_there_are_blocks_and_each_checks_something() -> None:
    assert len(BLOCKS) >= 10
    assert [b for b in BLOCKS if "assert " not in b] == []


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_block_runs(block: str, tmp_path: Path) -> None:
    path = tmp_path / f"{title(block).lower()}.py"
    path.write_text(block, encoding="utf-8")
    runpy.run_path(str(path))


def test_block_that_is_wrong_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(BLOCKS[0].replace("hello Ann", "hello Bob"), encoding="utf-8")
    with pytest.raises(AssertionError):
        runpy.run_path(str(path))
