"""Runs every block of Python in the README and in `docs/`, each in an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?:<!-- (?P<mark>.*) -->\n)?```python\n(?P<code>.*?)^```", re.M | re.S)


class Docs(unittest.TestCase):
    def test_every_block_runs(self) -> None:
        found = 0
        for page in [ROOT / "README.md", ROOT / "flowgate-py" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            text = page.read_text(encoding="utf-8")
            for block in BLOCK.finditer(text):
                if (block["mark"] or "").startswith("not run: "):
                    continue
                found += 1
                line = text.count("\n", 0, block.start("code")) + 1
                with self.subTest(f"{page.name}:{line}"):
                    self.run_block(block["code"])
        self.assertGreater(found, 0)

    def run_block(self, code: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            ran = subprocess.run(
                [sys.executable, "-W", "error", "-c", code],
                cwd=directory,
                env={**os.environ, "HOME": directory},
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)


if __name__ == "__main__":
    unittest.main()
