"""The guard: the vectors that every language runs, and what Python adds."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import flowgate

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "flowgate-core/testdata/guard_vectors.json").read_text(
        encoding="utf-8"
    )
)
GUARD = flowgate.Guard()
PACK = """\
id: my.tool
name: My tool
description: What it can destroy.
rules:
  - id: wipe
    severity: high
    reason: Wipes the disk of the test machine.
    match: { command: mytool, subcommand: wipe }
    deny: [mytool wipe now]
    allow: [mytool status]
"""


class Checks(unittest.TestCase):
    def test_vectors(self) -> None:
        for vector in VECTORS:
            with self.subTest(vector["name"]):
                place = {"cwd": vector["cwd"], "home": vector["home"]}
                verdict = GUARD.check(vector["command"], **place)
                self.assertEqual(
                    (verdict.decision, verdict.rule), (vector["decision"], vector["rule"])
                )
                self.assertEqual(GUARD.check_batch([vector["command"]], **place), [verdict])
                self.assertEqual(bool(verdict), vector["decision"] in ("allow", "warn"))
                self.assertIn(vector["decision"], GUARD.explain(vector["command"], **place))

    def test_the_place_is_this_one_unless_given(self) -> None:
        self.assertEqual(GUARD.check("rm -rf ~").rule, "core.filesystem:rm-home")
        with tempfile.TemporaryDirectory() as directory:
            keep = f"rm -rf {os.path.realpath(directory)}/work/target"
            place = Path(directory, "work")
            self.assertEqual(
                GUARD.check("rm -rf src", cwd=place), GUARD.check("rm -rf src", cwd=str(place))
            )
            self.assertEqual(
                GUARD.check(keep, cwd="work", home=Path("/home/dev")),
                GUARD.check(keep, cwd=Path.cwd() / "work", home="/home/dev"),
            )
        with self.assertRaises(TypeError):
            GUARD.check("ls", cwd=3)  # type: ignore[arg-type]

    def test_a_span_counts_characters(self) -> None:
        command = "echo é😀 && git stash clear; ls"
        verdict = GUARD.check(command)
        self.assertEqual(verdict.span and command[slice(*verdict.span)], "git stash clear")

    def test_what_is_no_command_is_refused(self) -> None:
        for wrong in (None, b"ls", ["ls"]):
            with self.subTest(wrong), self.assertRaises(TypeError):
                GUARD.check(wrong)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            GUARD.check_batch("ls")
        with self.assertRaises(UnicodeEncodeError):
            GUARD.check("rm \udcff")

    def test_a_long_command_is_not_let_through(self) -> None:
        self.assertFalse(GUARD.check("echo " + "x" * 2_000_000 + "; rm -rf /"))

    def test_threads(self) -> None:
        commands = [vector["command"] for vector in VECTORS] * 200
        expected = GUARD.check_batch(commands, cwd="/w", home="/home/dev")
        with ThreadPoolExecutor(8) as pool:
            alone = pool.map(lambda c: GUARD.check(c, cwd="/w", home="/home/dev"), commands)
            self.assertEqual(list(alone), expected)
            batches = [
                pool.submit(GUARD.check_batch, commands, cwd="/w", home="/home/dev")
                for _ in range(8)
            ]
            for batch in batches:
                self.assertEqual(batch.result(), expected)


class Policies(unittest.TestCase):
    def test_a_policy_counts(self) -> None:
        policy = {
            "modes": {"core.git": "warn"},
            "allow": [{"prefix": "git push --force", "reason": "mine"}],
            "severities": None,
        }
        guard = flowgate.Guard(policy)
        self.assertEqual(guard.check("git reset --hard").decision, "warn")
        self.assertEqual(guard.check("git push --force origin main").decision, "allow")
        self.assertEqual(guard.check("rm -rf /").decision, "deny")

    def test_an_exception_of_a_policy_ends(self) -> None:
        allow = {"exact": "git reset --hard", "reason": "mine"}
        for expires, may in (("2020-01-01", False), ("9000-01-01", True)):
            guard = flowgate.Guard({"allow": [{**allow, "expires": expires}]})
            self.assertIs(bool(guard.check("git reset --hard")), may)

    def test_packs(self) -> None:
        guard = flowgate.Guard(packs=[PACK])
        self.assertEqual(guard.check("sudo mytool wipe now").rule, "my.tool:wipe")
        pack = guard.packs()[-1]
        self.assertEqual((pack.id, pack.rules[0].deny), ("my.tool", ("mytool wipe now",)))
        self.assertEqual(pickle.loads(pickle.dumps(pack)), pack)
        self.assertNotIn("my.tool", [pack.id for pack in GUARD.packs()])

    def test_mistakes(self) -> None:
        mistakes: list[tuple[str, dict[str, Any]]] = [
            ("guard.policy.format", {"policy": {"alow": []}}),
            ("guard.policy.format", {"policy": {"mode": "of"}}),
            ("guard.policy.unknown", {"policy": {"packs": ["nope"]}}),
            ("guard.policy.allow", {"policy": {"allow": [{"rule": "*", "reason": "x"}]}}),
            ("guard.pack.format", {"packs": ["id: ["]}),
            ("guard.pack.rules", {"packs": [PACK.replace("my.tool", "core.git")]}),
        ]
        for code, arguments in mistakes:
            with self.subTest(arguments), self.assertRaises(flowgate.GuardError) as raised:
                flowgate.Guard(**arguments)
            self.assertEqual(raised.exception.code, code)
            self.assertIsInstance(raised.exception, ValueError)
            self.assertTrue(str(raised.exception))
        for wrong in ({"policy": 3}, {"policy": "mode: off"}, {"packs": PACK}):
            with self.subTest(wrong), self.assertRaises(TypeError):
                flowgate.Guard(**wrong)


class Values(unittest.TestCase):
    def test_verdicts_compare_hash_and_pickle(self) -> None:
        verdicts = GUARD.check_batch(["ls", "rm -rf /", "rm -rf ~", "git stash clear"])
        self.assertEqual(len(set(verdicts)), 4)
        for verdict in verdicts:
            for same in (pickle.loads(pickle.dumps(verdict)), copy.deepcopy(verdict)):
                self.assertEqual(same, verdict)
                self.assertEqual(hash(same), hash(verdict))
        self.assertNotEqual(verdicts[0], "allow")
        self.assertEqual(repr(verdicts[0]), "<flowgate.Verdict allow rule=None>")
        self.assertEqual(verdicts[0], flowgate.Verdict("allow"))
        with self.assertRaises(AttributeError):
            verdicts[0].decision = "deny"  # type: ignore[misc]
        with self.assertRaisesRegex(ValueError, "allow, warn, ask, deny"):
            flowgate.Verdict("nope")  # type: ignore[arg-type]

    def test_denied_pickles(self) -> None:
        denied = flowgate.Denied(GUARD.check("rm -rf /"), "rm -rf /")
        same = pickle.loads(pickle.dumps(denied))
        self.assertEqual(
            (str(same), same.verdict, same.command, same.code),
            (str(denied), denied.verdict, "rm -rf /", "guard.denied"),
        )
        self.assertIsInstance(same, PermissionError)


class Runs(unittest.TestCase):
    def test_what_may_run_runs(self) -> None:
        done = GUARD.run("echo $((1 + 1))", capture_output=True, text=True)
        self.assertEqual(done.stdout, "2\n")
        done = GUARD.run(["echo", "rm -rf / $HOME"], capture_output=True, text=True)
        self.assertEqual(done.stdout, "rm -rf / $HOME\n")
        done = GUARD.run([Path(sys.executable), "-c", "print(3)"], stdout=subprocess.PIPE)
        self.assertEqual(done.stdout, b"3\n")

    def test_what_may_not_run_does_not(self) -> None:
        refused: list[tuple[Any, dict[str, Any]]] = [
            ("rm -rf /", {}),
            ("git stash clear", {}),
            (["rm", "-rf", "/"], {}),
            (["sh", "-c", "rm -rf /"], {}),
            (["git", "stash", "clear"], {}),
            (["echo", "-rf", "/"], {"executable": "/bin/rm"}),
            ("rm -rf /", {"executable": "/bin/bash"}),
            ("rm -rf ..", {"cwd": "/home/dev"}),
            ("rm -rf /srv/me", {"env": {"HOME": "/srv/me"}}),
        ]
        with mock.patch("subprocess.run") as run:
            for command, options in refused:
                with self.subTest(command), self.assertRaises(flowgate.Denied) as raised:
                    GUARD.run(command, **options)
                self.assertFalse(raised.exception.verdict)
                self.assertTrue(raised.exception.verdict.rule)
            run.assert_not_called()

    def test_nobody_chooses_the_shell(self) -> None:
        with self.assertRaises(TypeError):
            GUARD.run(["rm -rf /nowhere"], shell=True)

    def test_protect(self) -> None:
        @GUARD.protect
        def tool(command: str | list[str], times: int = 1) -> str:
            """A tool."""
            return f"{command} {times}"

        self.assertEqual(tool("ls", times=2), "ls 2")
        self.assertEqual(tool(command=["ls", "-l"]), "['ls', '-l'] 1")
        self.assertEqual((tool.__name__, tool.__doc__), ("tool", "A tool."))
        with self.assertRaises(flowgate.Denied):
            tool("rm -rf /")
        with self.assertRaises(flowgate.Denied):
            tool(command=["rm", "-rf", "/"])
        with self.assertRaises(TypeError):
            tool(times=2)  # type: ignore[call-arg]

    def test_protect_a_coroutine(self) -> None:
        @GUARD.protect
        async def tool(command: str) -> str:
            return command

        self.assertEqual(asyncio.run(tool("ls")), "ls")
        with self.assertRaises(flowgate.Denied):
            asyncio.run(tool("rm -rf /"))


if __name__ == "__main__":
    unittest.main()
