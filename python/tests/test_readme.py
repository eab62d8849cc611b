"""The README's Python, run as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

README = Path(__file__).parents[1] / "README.md"


def test_readme_works_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    exec(compile("\n".join(blocks), str(README), "exec"), vars(module))  # noqa: S102
