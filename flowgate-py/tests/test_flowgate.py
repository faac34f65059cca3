"""What Python adds: types, exceptions, pickling, threads, files."""

from __future__ import annotations

import copy
import doctest
import json
import os
import pickle
import stat
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import flowgate

SECRETS = {"cliproxy": "sk-secret"}
WRONG = "config_version: 2\nprofile: {}\nservices: {a: {port: x}}\n"
DUPLICATE = "config_version: 2\nprofiles: {a: {}, a: {}}\n"


def starter() -> flowgate.Config:
    return flowgate.Config.from_yaml(flowgate.STARTER)


def load_tests(_: unittest.TestLoader, tests: unittest.TestSuite, __: object) -> unittest.TestSuite:
    """Runs the example of the package's documentation too."""
    tests.addTests(doctest.DocTestSuite(flowgate))
    return tests


class Documents(unittest.TestCase):
    def test_keys_keep_their_order_and_integers_their_digits(self) -> None:
        config = flowgate.Config.from_yaml(
            f"config_version: 2\nx-z: {2**127 - 1}\nx-a: {-(2**127)}\nx-f: 1.0\nx-u: \"\\0é😀\"\n"
        )
        self.assertEqual(
            list(config.to_dict().items()),
            [
                ("config_version", 2),
                ("x-z", 2**127 - 1),
                ("x-a", -(2**127)),
                ("x-f", 1.0),
                ("x-u", "\0é😀"),
            ],
        )

    def test_what_to_dict_returns_belongs_to_the_caller(self) -> None:
        config = starter()
        config.to_dict().clear()
        self.assertEqual(config.to_dict()["config_version"], 2)

    def test_merge_keeps_what_a_document_can_hold(self) -> None:
        base = MappingProxyType({"n": None, "t": True, "i": 2**100, "f": 1.0, "l": (1, [2])})
        merged = flowgate.merge(base, {"s": "\ufffe"}).merged
        expected = {"n": None, "t": True, "i": 2**100, "f": 1.0, "l": [1, [2]], "s": "\ufffe"}
        self.assertEqual(merged, expected)
        self.assertIs(merged["t"], True)
        self.assertIsInstance(merged["f"], float)

    def test_merge_refuses_what_a_document_cannot_hold(self) -> None:
        endless: dict[str, Any] = {}
        endless["a"] = endless
        many: list[Any] = []
        for _ in range(60):
            many = [many, many]
        refused: list[tuple[type[Exception], Any]] = [
            (TypeError, {1: 2}),
            (TypeError, {"a": b"x"}),
            (TypeError, {"a": {1}}),
            (TypeError, [1]),
            (TypeError, None),
            (ValueError, {"a": float("nan")}),
            (ValueError, {"a": float("-inf")}),
            (ValueError, {"a": 2**127}),
            (ValueError, {"a": "\ud800"}),
            (ValueError, endless),
            (ValueError, {"a": many}),
        ]
        for number, (error, document) in enumerate(refused):
            with self.subTest(number), self.assertRaises(error):
                flowgate.merge(document, {})
            with self.subTest(number), self.assertRaises(error):
                flowgate.merge({}, document)

    def test_a_failing_mapping_fails_with_its_own_error(self) -> None:
        class Broken(dict[str, int]):
            def items(self) -> Any:
                raise RuntimeError("broken")

        with self.assertRaisesRegex(RuntimeError, "broken"):
            flowgate.merge(Broken(a=1), {})

    def test_migrate_says_what_it_did_and_what_is_left(self) -> None:
        migration = flowgate.migrate("config_version: 1  # old\nsecrets: [a]\nfoo: 1\n")
        self.assertEqual(
            migration.text, "config_version: 2  # old\nsecret_files: [a]\nfoo: 1\n"
        )
        self.assertEqual(len(migration.changes), 2)
        self.assertEqual([d.code for d in migration.remaining], ["config.unknown_key"])
        self.assertEqual(flowgate.migrate("config_version: 2\n").changes, ())

    def test_the_schema_is_a_schema(self) -> None:
        self.assertIn("profiles", flowgate.json_schema()["properties"])


class Profiles(unittest.TestCase):
    def test_a_profile_outlives_its_configuration(self) -> None:
        config = starter()
        balanced = config.profile("balanced")
        del config
        self.assertEqual((balanced.name, balanced.diagnostics), ("balanced", []))
        self.assertEqual(balanced.references, ["cliproxy"])
        origins = {origin.path: origin for origin in balanced.origins}
        self.assertEqual(origins["litellm_settings.num_retries"].layer, "profiles.balanced")
        self.assertEqual(balanced.diff(balanced), [])

    def test_what_profiles_do_to_the_base_is_questioned(self) -> None:
        config = flowgate.Config.from_yaml(
            "config_version: 2\nlitellm_base: {s: {a: 1}}\nprofiles: {p: {s: ~}}\n", file="f.yaml"
        )
        self.assertEqual(config.profile_diagnostics(), config.profile("p").diagnostics)
        (warning,) = config.profile_diagnostics()
        self.assertEqual((warning.severity, warning.code), ("warning", "profile.type_change"))
        self.assertEqual((warning.file, warning.path), ("f.yaml", "profiles.p.s"))
        self.assertTrue(str(warning).startswith("f.yaml:3:"), str(warning))

    def test_resolve_starts_at_the_directory_of_the_file(self) -> None:
        config = flowgate.Config.from_yaml(flowgate.STARTER, file="/etc/flowgate/a.yaml")
        self.assertEqual(config.to_dict()["paths"]["runtime_dir"], ".router/runtime")
        resolved = config.resolve()
        self.assertEqual(
            resolved.to_dict()["paths"]["runtime_dir"], "/etc/flowgate/.router/runtime"
        )
        self.assertEqual(resolved.resolve().to_dict(), resolved.to_dict())


class Errors(unittest.TestCase):
    def raised(self, call: Any, *args: Any, **kwargs: Any) -> flowgate.FlowgateError:
        with self.assertRaises(flowgate.FlowgateError) as raised:
            call(*args, **kwargs)
        return raised.exception

    def every_kind(self) -> list[flowgate.FlowgateError]:
        return [
            self.raised(flowgate.Config.from_yaml, "- a", file="a.yaml"),
            self.raised(starter().profile, "nope"),
            self.raised(flowgate.Config.load, "/no/such/file"),
        ]

    def test_they_are_what_a_python_programmer_would_catch(self) -> None:
        config, profile, file = self.every_kind()
        self.assertEqual((config.code, type(config)), ("config.invalid", flowgate.ConfigError))
        self.assertEqual((profile.code, type(profile)), ("profile.unknown", flowgate.ProfileError))
        self.assertEqual((file.code, type(file)), ("runtime.cannot_read", flowgate.FileError))
        self.assertIsInstance(config, ValueError)
        self.assertIsInstance(profile, LookupError)
        assert isinstance(file, OSError)
        self.assertEqual(file.filename, "/no/such/file")

    def test_they_survive_pickling_and_copying(self) -> None:
        for error in self.every_kind():
            error.__dict__["more"] = "kept"
            for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
                self.assertIs(type(again), type(error))
                self.assertEqual(str(again), str(error))
                self.assertEqual(again.__dict__, error.__dict__)
                self.assertEqual(getattr(again, "filename", 0), getattr(error, "filename", 0))

    def test_a_config_error_says_every_problem_with_its_place(self) -> None:
        error = self.raised(flowgate.Config.from_yaml, WRONG, file="a.yaml")
        self.assertGreater(len(error.diagnostics), 1)
        for problem in error.diagnostics:
            self.assertEqual(problem.file, "a.yaml")
            self.assertIn(str(problem), str(error))

    def test_a_duplicate_points_at_both_places(self) -> None:
        (problem,) = self.raised(flowgate.Config.from_yaml, DUPLICATE).diagnostics
        self.assertEqual((problem.code, problem.column), ("yaml.duplicate_key", 19))
        self.assertEqual([related.column for related in problem.related], [12])

    def test_wrong_types_are_type_errors(self) -> None:
        config: Any = starter()
        profile = config.profile("cost")
        calls: list[Any] = [
            lambda: flowgate.Config(),
            lambda: flowgate.Config.load(3),  # type: ignore[arg-type]
            lambda: flowgate.Config.load(b"a.yaml"),  # type: ignore[arg-type]
            lambda: flowgate.Config.from_yaml(b"a: 1"),  # type: ignore[arg-type]
            lambda: config.profile(None),
            lambda: profile.diff("cost"),
            lambda: profile.render([("cliproxy", "sk-secret")]),
            lambda: profile.render({"cliproxy": b"sk-secret"}),
            lambda: flowgate.activate("a.yaml", "cost"),  # type: ignore[arg-type]
            lambda: flowgate.migrate(None),  # type: ignore[arg-type]
        ]
        for number, call in enumerate(calls):
            with self.subTest(number), self.assertRaises(TypeError) as raised:
                call()
            self.assertNotIn("sk-secret", repr(raised.exception))

    def test_no_text_makes_it_panic(self) -> None:
        for text in ("\ud800", "\0", "a: \0", "[" * 100_000, "x" * 5_000_000, "&a [*a]", "{", "\ufeff"):
            with self.subTest(text[:10]):
                for call in (flowgate.Config.from_yaml, flowgate.migrate):
                    with self.assertRaises(ValueError):
                        call(text)
                if len(text) < 1000:
                    with self.assertRaises((flowgate.FileError, UnicodeError)):
                        flowgate.Config.load("/no/such/" + text)
                    with self.assertRaises((flowgate.ProfileError, UnicodeError)):
                        starter().profile(text)


class Secrets(unittest.TestCase):
    def test_they_are_never_shown(self) -> None:
        config = flowgate.Config.from_yaml(
            "config_version: 2\n"
            "litellm_base: {model_list: [{model_name: m, litellm_params: {api_key: sk-secret}}]}\n"
            "profiles: {a: {}, b: {model_list: []}}\n"
        )
        a, b = config.profile("a"), config.profile("b")
        merge = flowgate.merge(config.to_dict(), {"k": "sk-secret"})
        migration = flowgate.migrate("config_version: 1\nx-key: sk-secret\n")
        for value in (config, a, a.origins, a.diff(b), b.diff(a), merge, migration):
            self.assertNotIn("sk-secret", repr(value))
            self.assertNotIn("sk-secret", str(value))

    def test_not_even_one_that_is_not_text(self) -> None:
        profile = starter().profile("cost")
        with self.assertRaises(ValueError) as raised:
            profile.render({"cliproxy": "sk-secret\ud800"})
        self.assertNotIn("sk-secret", repr(raised.exception))
        self.assertIsNone(raised.exception.__context__)

    def test_render_puts_them_in_and_names_what_is_missing(self) -> None:
        profile = starter().profile("cost")
        self.assertIn("api_key: sk-secret\n", profile.render(MappingProxyType(SECRETS)))
        with self.assertRaisesRegex(flowgate.ProfileError, "`cliproxy`") as raised:
            profile.render({})
        self.assertEqual(raised.exception.code, "profile.credentials")


class Values(unittest.TestCase):
    def test_they_compare_hash_pickle_and_cannot_change(self) -> None:
        with self.assertRaises(flowgate.ConfigError) as raised:
            flowgate.Config.from_yaml(DUPLICATE)
        config = starter()
        change = config.profile("cost").diff(config.profile("balanced"))[0]
        values: list[Any] = [
            raised.exception.diagnostics[0],
            raised.exception.diagnostics[0].related[0],
            config.profile("cost").origins[0],
            change,
            flowgate.migrate("config_version: 1\n"),
            flowgate.State("a", "2026-02-16T00:00:00.123Z"),
            flowgate.Activation("a", Path("a"), Path("b"), True),
        ]
        for value in values:
            with self.subTest(type(value).__name__):
                again = pickle.loads(pickle.dumps(value))
                self.assertEqual(again, value)
                self.assertEqual(hash(again), hash(value))
                self.assertIn(type(value).__name__, repr(value))
                with self.assertRaises(AttributeError):
                    setattr(value, value.__match_args__[0], "x")
        match change:
            case flowgate.Change(path, "changed"):
                self.assertEqual(path, "litellm_settings.num_retries")
            case _:
                self.fail(repr(change))


class Threads(unittest.TestCase):
    def test_one_configuration_serves_many(self) -> None:
        config = starter()

        def work(_: int) -> tuple[str, list[flowgate.Origin]]:
            profile = config.profile("cost")
            return profile.render(SECRETS), profile.origins

        alone = work(0)
        with ThreadPoolExecutor(8) as pool:
            for result in pool.map(work, range(200)):
                self.assertEqual(result, alone)

    def test_reading_a_large_document_lets_others_run(self) -> None:
        profiles = "\n".join(f"  p{i}: {{a: {{b: [1, 2, 3]}}}}" for i in range(20_000))
        text = f"config_version: 2\nprofiles:\n{profiles}\n"
        done = threading.Event()
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            while not done.wait(0.001):
                ticks += 1

        with ThreadPoolExecutor(1) as pool:
            pool.submit(tick)
            before = ticks
            config = flowgate.Config.from_yaml(text)
            ticks_meanwhile = ticks - before
            done.set()
        self.assertEqual(len(config.profiles), 20_000)
        self.assertGreater(ticks_meanwhile, 5)


class Files(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name).resolve()
        self.path = self.dir / "flowgate.yaml"
        self.path.write_text(flowgate.STARTER, encoding="utf-8")
        environment = mock.patch.dict(os.environ, CLIPROXY_API_KEY="sk-secret")
        environment.start()
        self.addCleanup(environment.stop)

    def test_a_path_may_be_text_or_path_like(self) -> None:
        class Like:
            def __fspath__(_) -> str:
                return str(self.path)

        for path in (str(self.path), self.path, Like()):
            self.assertEqual(flowgate.Config.load(path).file, str(self.path))

    @unittest.skipUnless(os.name == "posix", "modes are those of POSIX")
    def test_activate_writes_a_private_file_once(self) -> None:
        config = flowgate.Config.load(self.path)
        self.assertIsNone(flowgate.active_profile(config))
        first = flowgate.activate(config, "balanced")
        self.assertEqual((first.profile, first.changed), ("balanced", True))
        self.assertEqual(first.active_config, self.dir / ".router/runtime/litellm.active.yaml")
        self.assertNotIn("sk-secret", repr(first))
        self.assertIn("api_key: sk-secret\n", first.active_config.read_text(encoding="utf-8"))
        self.assertEqual(stat.S_IMODE(first.active_config.stat().st_mode), 0o600)

        state = flowgate.active_profile(config)
        assert state is not None
        self.assertEqual(state.current_profile, "balanced")
        self.assertEqual(json.loads(first.state_file.read_text())["updated_at"], state.updated_at)

        again = flowgate.activate(config, "balanced")
        self.assertFalse(again.changed)
        self.assertEqual(flowgate.active_profile(config), state)

    def test_a_profile_that_cannot_be_had_changes_nothing(self) -> None:
        config = flowgate.Config.load(self.path)
        flowgate.activate(config, "cost")
        state = flowgate.active_profile(config)
        del os.environ["CLIPROXY_API_KEY"]
        with self.assertRaisesRegex(flowgate.ProfileError, "CLIPROXY_API_KEY") as raised:
            flowgate.activate(config, "balanced")
        self.assertEqual(raised.exception.code, "profile.credentials")
        self.assertEqual(flowgate.active_profile(config), state)

    def test_a_file_that_cannot_be_written_is_named(self) -> None:
        (self.dir / ".router").write_text("in the way")
        with self.assertRaises(flowgate.FileError) as raised:
            flowgate.activate(flowgate.Config.load(self.path), "cost")
        self.assertEqual(raised.exception.code, "runtime.cannot_write")
        self.assertIn(".router", raised.exception.filename)

    def test_a_file_with_mistakes_is_named_in_each(self) -> None:
        self.path.write_text(WRONG, encoding="utf-8")
        with self.assertRaises(flowgate.ConfigError) as raised:
            flowgate.Config.load(self.path)
        self.assertEqual({d.file for d in raised.exception.diagnostics}, {str(self.path)})


if __name__ == "__main__":
    unittest.main()
