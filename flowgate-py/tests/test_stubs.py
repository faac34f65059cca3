"""The stubs say what the native module says; that the signatures agree is for stubtest to find."""

from __future__ import annotations

import ast
import inspect
import sys
import unittest
from pathlib import Path
from typing import Any

import flowgate
from flowgate import _flowgate


class Stubs(unittest.TestCase):
    def test_their_docs_are_those_of_the_native_module(self) -> None:
        source = Path(flowgate.__file__).with_name("_flowgate.pyi").read_text(encoding="utf-8")
        self.compare(ast.parse(source), _flowgate, "")

    def compare(self, stub: Any, thing: Any, name: str) -> None:
        with self.subTest(name):
            self.assertEqual(ast.get_docstring(stub), inspect.getdoc(thing))
        for node in stub.body:
            if isinstance(node, ast.If) and sys.platform == "linux":
                for inner in node.body:
                    if isinstance(inner, ast.ClassDef):
                        self.compare(inner, getattr(thing, inner.name), f"{name}.{inner.name}")
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                self.compare(node, getattr(thing, node.name), f"{name}.{node.name}")


if __name__ == "__main__":
    unittest.main()
