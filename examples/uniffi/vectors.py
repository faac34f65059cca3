"""Runs the shared vectors through what uniffi generates for Python, the stand-in for Kotlin and Swift."""

import json
import unittest
from pathlib import Path

import flowgate

DATA = Path(__file__).parents[2] / "flowgate-core/testdata"
VECTORS = json.loads((DATA / "vectors.json").read_text(encoding="utf-8"))
GUARD = json.loads((DATA / "guard_vectors.json").read_text(encoding="utf-8"))
ACCOUNTS = json.loads((DATA / "accounts_vectors.json").read_text(encoding="utf-8"))
NOW = 1_700_000_000_000


def answer_of(vector):
    transport = vector["transport"]
    return flowgate.ProviderAnswer(
        status=vector["status"],
        headers=vector["headers"],
        body=vector["body"],
        transport=transport and flowgate.Transport[transport.upper()],
    )


class Vectors(unittest.TestCase):
    def test_config(self):
        for vector in VECTORS["config"]:
            with self.subTest(vector["name"]):
                config = None
                try:
                    config = flowgate.Config.from_yaml(vector["yaml"])
                    found = config.diagnostics()
                except flowgate.FlowgateError.ConfigError as error:
                    found = error.diagnostics
                self.assertEqual(config is not None, vector["ok"])
                places = [[d.code, d.span.line, d.span.column] for d in found]
                self.assertEqual(places, vector["problems"])
                if config is not None and "document" in vector:
                    self.assertEqual(json.loads(config.to_json()), vector["document"])

    def test_merge(self):
        for vector in VECTORS["merge"]:
            with self.subTest(vector["name"]):
                merge = flowgate.merge(json.dumps(vector["base"]), json.dumps(vector["overlay"]))
                self.assertEqual(json.dumps(json.loads(merge.merged)), json.dumps(vector["merged"]))
                self.assertEqual([d.code for d in merge.warnings], vector["warnings"])

    def test_paths(self):
        for vector in VECTORS["paths"]:
            with self.subTest(vector["name"]):
                try:
                    resolved = flowgate.resolve_path(vector["path"], vector["dir"], vector["home"])
                except flowgate.FlowgateError.ConfigError:
                    resolved = None
                self.assertEqual(resolved, vector["resolved"])

    def test_profiles(self):
        profiles = VECTORS["profile"]
        config = flowgate.Config.from_yaml(profiles["yaml"])
        for vector in profiles["cases"]:
            with self.subTest(vector["name"]):
                if "error" in vector:
                    with self.assertRaises(flowgate.FlowgateError.ProfileError) as raised:
                        config.profile(vector["name"])
                    self.assertEqual(raised.exception.code, vector["error"])
                    continue
                profile = config.profile(vector["name"])
                self.assertEqual(profile.render(profiles["secrets"]), vector["rendered"])
                self.assertEqual(json.loads(profile.to_json()), vector["document"])
                origins = [[o.path, o.layer, o.span.line] for o in profile.origins()]
                self.assertEqual(origins, vector["origins"])
        diff = profiles["diff"]
        changes = config.profile(diff["before"]).diff(config.profile(diff["after"]))
        value = lambda text: None if text is None else json.loads(text)
        found = [[c.path, c.kind.name.lower(), value(c.before), value(c.after)] for c in changes]
        self.assertEqual(found, diff["changes"])

    def test_guard(self):
        guard = flowgate.Guard()
        for vector in GUARD:
            with self.subTest(vector["name"]):
                place = flowgate.Context(cwd=vector["cwd"], home=vector["home"])
                verdict = guard.check(vector["command"], place)
                self.assertEqual(verdict.decision.name.lower(), vector["decision"])
                self.assertEqual(verdict.rule, vector["rule"])
                self.assertEqual(guard.check_batch([vector["command"]], place), [verdict])

    def test_spans_count_characters(self):
        verdict = flowgate.Guard().check("echo é; rm -rf /", flowgate.Context(cwd="/w", home="/h"))
        self.assertEqual("echo é; rm -rf /"[verdict.span.start : verdict.span.end], "rm -rf /")

    def test_a_policy_that_cannot_be_used(self):
        with self.assertRaises(flowgate.FlowgateError.GuardError) as raised:
            flowgate.Guard("packs: [nothing]")
        self.assertEqual(raised.exception.code, "guard.policy.unknown")

    def test_classify(self):
        for vector in ACCOUNTS:
            with self.subTest(vector["name"]):
                found = flowgate.classify(vector["provider"], answer_of(vector), NOW)
                self.assertEqual(
                    [found.kind, found.scope, found.action, found.cooldown_ms],
                    [
                        flowgate.Class[vector["class"].upper()],
                        flowgate.AnswerScope[vector["scope"].upper()],
                        flowgate.Action[vector["action"].upper()],
                        vector["cooldown_ms"],
                    ],
                )

    def test_a_refused_account_rests_and_another_serves(self):
        accounts = json.dumps([{"id": id, "provider": "openai"} for id in "ab"])
        settings = '{"strategy": "fill_first", "jitter": false}'
        pool = flowgate.Pool(accounts, NOW, settings)
        first = pool.pick(NOW, "m")
        refused = flowgate.ProviderAnswer(status=429, headers={"retry-after": "20"})
        verdict = pool.report(NOW, first.permit, refused)
        self.assertEqual((verdict.account, verdict.until), ("a", NOW + 20_000))
        self.assertIsNone(pool.report(NOW, first.permit, refused).account)
        second = pool.pick(NOW, "m", exclude=["nobody"])
        self.assertEqual(second.account, "b")
        served = flowgate.ProviderAnswer(status=200)
        self.assertEqual(pool.report(NOW, second.permit, served).kind, flowgate.Class.OK)
        [event] = json.loads(pool.drain_events())
        self.assertEqual((event["event"], event["account"]), ("cooled", "a"))
        again = flowgate.Pool(accounts, NOW, settings, state=pool.snapshot())
        standings = [c["standing"] for c in json.loads(again.explain(NOW))]
        self.assertEqual(standings, ["waiting", "eligible"])
        self.assertEqual(pool.next_deadline(), NOW + 20_000)
        again.set_enabled(NOW, "b", False)
        waits = again.pick(NOW, "m")
        self.assertEqual((waits.until, waits.why), (NOW + 20_000, flowgate.Why.COOLDOWN))
        with self.assertRaises(flowgate.FlowgateError.AccountsError) as raised:
            flowgate.Pool('[{"name": "a"}]', NOW)
        self.assertEqual(raised.exception.code, "accounts.invalid")

    def test_a_service_that_ends_comes_back_when_its_time_has_come(self):
        yaml = "config_version: 2\nservices: {a: {command: {args: [sleep, '9']}, readiness: {log: up}}}\n"
        config = flowgate.Config.from_yaml(yaml).resolve("/srv", None)
        supervisor = flowgate.Supervisor(config, 7)

        def effects(actions):
            return [type(action.effect).__name__.rpartition(".")[2] for action in actions]

        def spawned(actions):
            [spawn] = [action for action in actions if action.effect.is_spawn()]
            self.assertEqual(json.loads(spawn.effect.spec)["command"]["args"], ["sleep", "9"])
            return spawn.generation

        generation = spawned(supervisor.start(0, []))
        event = flowgate.ProcessEvent
        actions = supervisor.happened(1, "a", generation, event.SPAWNED(pid=5, started=9))
        self.assertTrue(any(action.effect.is_start_probe() for action in actions))
        ready = event.PROBE_OK(purpose=flowgate.Purpose.READINESS, port_is_ours=False, port_owner=None)
        told = [a.effect.event for a in supervisor.happened(2, "a", generation, ready) if a.effect.is_tell()]
        self.assertIn("service.ready", told)
        self.assertEqual(json.loads(supervisor.status())[0]["public"], "running")
        exited = event.EXITED(code=3, signal=None, last_lines=["oh"])
        supervisor.happened(50, "a", generation, exited)
        supervisor.happened(50, "a", generation, event.TREE_EMPTY())
        self.assertEqual(json.loads(supervisor.status())[0]["last_exit"], {"code": 3})
        self.assertEqual(supervisor.tick(supervisor.next_deadline() - 1), [], effects)
        again = spawned(supervisor.tick(supervisor.next_deadline()))
        self.assertEqual(again, generation + 1)
        # What an old process does means nothing any more.
        self.assertEqual(supervisor.happened(60_000, "a", generation, exited), [])
        supervisor.happened(60_000, "a", again, event.SPAWNED(pid=6, started=10))
        stop = supervisor.shutdown(60_001, True)
        self.assertTrue(any(action.effect.is_sweep() for action in stop), effects(stop))
        exited = event.EXITED(code=None, signal=9, last_lines=[])
        supervisor.happened(60_002, "a", again, exited)
        end = supervisor.happened(60_002, "a", again, event.TREE_EMPTY())
        self.assertTrue(end[-1].effect.is_finished() and supervisor.is_finished())


if __name__ == "__main__":
    unittest.main()
