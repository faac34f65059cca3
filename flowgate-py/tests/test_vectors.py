"""The vectors that every language runs."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

import flowgate

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "flowgate-core/testdata/vectors.json").read_text(encoding="utf-8")
)


class Vectors(unittest.TestCase):
    def test_config(self) -> None:
        for vector in VECTORS["config"]:
            with self.subTest(vector["name"]):
                config = None
                try:
                    config = flowgate.Config.from_yaml(vector["yaml"])
                    found = config.diagnostics
                except flowgate.ConfigError as error:
                    found = error.diagnostics
                self.assertEqual(config is not None, vector["ok"])
                self.assertEqual([[d.code, d.line, d.column] for d in found], vector["problems"])
                if config is not None and "document" in vector:
                    self.assertEqual(config.to_dict(), vector["document"])

    def test_merge(self) -> None:
        for vector in VECTORS["merge"]:
            with self.subTest(vector["name"]):
                merge = flowgate.merge(vector["base"], vector["overlay"])
                # As text, because the order of keys counts.
                self.assertEqual(json.dumps(merge.merged), json.dumps(vector["merged"]))
                self.assertEqual([d.code for d in merge.warnings], vector["warnings"])

    def test_paths(self) -> None:
        for vector in VECTORS["paths"]:
            with self.subTest(vector["name"]):
                try:
                    resolved = flowgate.resolve_path(
                        vector["path"], dir=vector["dir"], home=vector["home"]
                    )
                except flowgate.ConfigError:
                    resolved = None
                self.assertEqual(resolved, vector["resolved"])

    def test_profiles(self) -> None:
        profiles = VECTORS["profile"]
        config = flowgate.Config.from_yaml(profiles["yaml"])
        for vector in profiles["cases"]:
            with self.subTest(vector["name"]):
                if "error" in vector:
                    with self.assertRaises(flowgate.ProfileError) as raised:
                        config.profile(vector["name"])
                    self.assertEqual(raised.exception.code, vector["error"])
                    continue
                profile = config.profile(vector["name"])
                self.assertEqual(profile.render(profiles["secrets"]), vector["rendered"])
                self.assertEqual(profile.to_dict(), vector["document"])
                origins = [[o.path, o.layer, o.line] for o in profile.origins]
                self.assertEqual(origins, vector["origins"])
        diff = profiles["diff"]
        changes = config.profile(diff["before"]).diff(config.profile(diff["after"]))
        self.assertEqual([[c.path, c.kind, c.before, c.after] for c in changes], diff["changes"])


if __name__ == "__main__":
    unittest.main()
