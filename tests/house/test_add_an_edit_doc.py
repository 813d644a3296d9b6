"""docs/add-an-edit.md: its edit is a file of under 60 lines that works as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "add-an-edit.md").read_text(encoding="utf-8")


def test_the_edit_of_the_page_works_as_printed(tmp_path: Path) -> None:
    technique, use = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(technique.splitlines()) < 60
    (tmp_path / "focus.py").write_text(technique, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", use], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "focused.png").is_file()
    assert "the focus of" in done.stdout
