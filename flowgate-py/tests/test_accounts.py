"""Leases: who sends, how it went, when to try again, and what the network says by an exception."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
import time
import unittest
from pathlib import Path
from typing import Any

import flowgate

DATA = Path(__file__).parents[2] / "flowgate-core/testdata"
VECTORS: list[dict[str, Any]] = json.loads((DATA / "accounts_vectors.json").read_text(encoding="utf-8"))

#: So that what a test sees does not depend on chance.
EXACT: dict[str, Any] = {"jitter": False, "strategy": "fill_first"}


def pool(*ids: str, **settings: Any) -> flowgate.Pool:
    accounts = [{"id": id, "provider": "openai"} for id in ids]
    return flowgate.Pool(accounts, settings={**EXACT, **settings})


class Classify(unittest.TestCase):
    def test_vectors(self) -> None:
        for vector in VECTORS:
            for kind in (dict, lambda headers: list(headers.items())):
                with self.subTest(vector["name"], kind=kind):
                    found = flowgate.classify(
                        vector["provider"],
                        status=vector["status"],
                        headers=kind(vector["headers"]),
                        body=vector["body"].encode(),
                        transport=vector["transport"],
                        now=1_700_000_000_000,
                    )
                    expected = flowgate.Classification(
                        vector["class"], vector["scope"], vector["action"], vector["cooldown_ms"]
                    )
                    self.assertEqual(found, expected)

    def test_rules_come_first(self) -> None:
        rules = flowgate.ClassifyRules([{"status": [418], "class": "overloaded", "cooldown_ms": 5}])
        found = flowgate.classify("any", status=418, rules=rules)
        self.assertEqual((found.class_, found.cooldown_ms), ("overloaded", 5))
        with self.assertRaisesRegex(flowgate.AccountsError, r"rules\[0\].*stats"):
            flowgate.ClassifyRules([{"stats": [418]}])
        with self.assertRaises(flowgate.AccountsError) as raised:
            flowgate.ClassifyRules([{"matches": "("}])
        self.assertEqual(raised.exception.code, "accounts.bad_pattern")

    def test_a_classification_is_a_value(self) -> None:
        found = flowgate.classify("openai", status=429, headers={b"retry-after": b"2"})
        self.assertEqual(pickle.loads(pickle.dumps(found)), found)
        self.assertEqual(hash(pickle.loads(pickle.dumps(found))), hash(found))
        self.assertIn("cooldown_ms=2000", repr(found))

    def test_wrong_types_are_refused_and_not_shown(self) -> None:
        for headers in ({"a": 1}, [("a",)], 5):
            with self.assertRaises((TypeError, ValueError)):
                flowgate.classify("x", status=200, headers=headers)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "^body: expected str or bytes$"):
            flowgate.classify("x", status=200, body=["sk-secret"])  # type: ignore[arg-type]
        with self.assertRaisesRegex(ValueError, "transport"):
            flowgate.classify("x", transport="pigeon")  # type: ignore[arg-type]


class Making(unittest.TestCase):
    def test_what_cannot_be_used_says_where(self) -> None:
        for accounts, said in (
            ([{"id": "a", "weigth": 1}], r"accounts\[0\].*weigth"),
            ([{"id": "a"}, {"id": "a"}], r"accounts\[1\].*`a` is there twice"),
            ([{"provider": "x"}], r"accounts\[0\].*id"),
        ):
            with self.assertRaisesRegex(flowgate.AccountsError, said) as raised:
                flowgate.Pool(accounts)
            self.assertEqual(raised.exception.code, "accounts.invalid")
        with self.assertRaisesRegex(flowgate.AccountsError, "settings.*strategy|variant"):
            flowgate.Pool([], settings={"strategy": "luck"})

    def test_accounts_come_and_go(self) -> None:
        accounts = pool("a")
        accounts.upsert({"id": "b", "provider": "openai"})
        self.assertEqual(accounts.accounts, ["a", "b"])
        accounts.set_enabled("a", False)
        with accounts.lease() as lease:
            self.assertEqual(lease.account, "b")
        accounts.remove("b")
        with self.assertRaises(KeyError):
            accounts.reset("b")
        with self.assertRaises(flowgate.NoAccount) as raised, accounts.lease():
            pass
        self.assertEqual(raised.exception.why, "unavailable")
        self.assertIsNone(raised.exception.retry_after)

    def test_a_snapshot_continues(self) -> None:
        before = pool("a", "b")
        with before.lease() as lease:
            lease.report(429, {"retry-after": "60"})
        state = before.snapshot()
        accounts = [{"id": "a", "provider": "openai"}, {"id": "c", "provider": "openai"}]
        after = flowgate.Pool(accounts, settings=EXACT, state=state)
        self.assertEqual(after.accounts, ["a", "c"])
        standings = {c.id: c.standing for c in after.explain()}
        self.assertEqual(standings, {"a": "waiting", "c": "eligible"})
        for broken in ("", "{}", "[1"):
            with self.assertRaises(flowgate.AccountsError):
                flowgate.Pool([], state=broken)


class Leases(unittest.TestCase):
    def test_a_refused_account_rests_and_another_serves(self) -> None:
        accounts = pool("a", "b")
        with accounts.lease(model="m") as lease:
            verdict = lease.report(429, {"Retry-After": "20"}, b"")
        self.assertEqual((verdict.account, verdict.class_, verdict.action), ("a", "rate", "next"))
        self.assertFalse(verdict.served)
        assert verdict.until is not None
        self.assertAlmostEqual(verdict.until / 1000, time.time() + 20, delta=2)
        with accounts.lease(model="m") as lease:
            self.assertEqual(lease.account, "b")
            self.assertTrue(lease.report(200, tokens=12).served)
        resting = accounts.explain(model="m")[0]
        self.assertEqual((resting.standing, resting.why, resting.class_), ("waiting", "cooldown", "rate"))
        events = accounts.drain_events()
        self.assertEqual([(e["event"], e["account"]) for e in events], [("cooled", "a")])
        self.assertEqual(accounts.drain_events(), [])

    def test_a_session_stays(self) -> None:
        accounts = pool("a", "b", "c", strategy="round_robin")
        seen = set()
        for _ in range(6):
            with accounts.lease(session="chat") as lease:
                seen.add(lease.account)
                lease.report(200)
        self.assertEqual(len(seen), 1)

    def test_the_end_of_a_lease_is_a_report(self) -> None:
        accounts = pool("a")
        with accounts.lease():
            self.assertEqual(accounts.inflight, 1)
        self.assertEqual(accounts.inflight, 0)
        self.assertEqual(accounts.explain()[0].standing, "eligible")

        with self.assertRaises(ZeroDivisionError), accounts.lease():
            1 / 0
        self.assertEqual(accounts.explain()[0].standing, "eligible")

        with self.assertRaises(ConnectionResetError), accounts.lease() as lease:
            raise ConnectionResetError
        assert lease.verdict is not None
        self.assertEqual(lease.verdict.class_, "network")

    def test_only_the_first_report_counts(self) -> None:
        accounts = pool("a")
        with accounts.lease() as lease:
            lease.report(200)
            with self.assertRaises(RuntimeError):
                lease.report(500)
        with self.assertRaises(RuntimeError):
            accounts.lease().report(200)

    def test_headers_of_a_stream(self) -> None:
        accounts = pool("a")
        headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "7"}
        with accounts.lease() as lease:
            lease.on_headers(200, headers)
            requests = accounts.explain()[0].requests
            assert requests is not None
            self.assertEqual(requests.limit, 60)
            lease.report(200)

    def test_the_names_of_clients_exceptions(self) -> None:
        from flowgate.accounts import _transport

        class ReadTimeout(type("TimeoutException", (Exception,), {})):  # type: ignore[misc]
            """As httpx has it."""

        class ConnectTimeout(type("ConnectionError", (OSError,), {}), type("Timeout", (OSError,), {})):  # type: ignore[misc]
            """As requests has it."""

        for error, said in (
            (ReadTimeout(), "timeout"),
            (ConnectTimeout(), "timeout"),
            (TimeoutError(), "timeout"),
            (asyncio.TimeoutError(), "timeout"),
            (ConnectionRefusedError(), "connect"),
            (ConnectionResetError(), "reset"),
            (type("RemoteProtocolError", (Exception,), {})(), "eof"),
            (KeyboardInterrupt(), "cancelled"),
            (ValueError(), "cancelled"),
        ):
            self.assertEqual(_transport(error), said, repr(error))


class Waiting(unittest.TestCase):
    def test_a_lease_waits_for_a_report(self) -> None:
        accounts = flowgate.Pool([{"id": "a", "max_inflight": 1}])
        first = accounts.lease()
        first.__enter__()
        got: list[str] = []

        def second() -> None:
            with accounts.lease(timeout=30) as lease:
                got.append(lease.account)

        waiting = threading.Thread(target=second)
        waiting.start()
        while not accounts._waiters:
            time.sleep(0.001)
        self.assertEqual(got, [])
        first.report(200)
        waiting.join(5)
        self.assertEqual(got, ["a"])
        self.assertEqual(accounts._waiters, {})

    def test_a_lease_gives_up_at_its_timeout(self) -> None:
        accounts = flowgate.Pool([{"id": "a", "max_inflight": 1}])
        with accounts.lease():
            begun = time.monotonic()
            with self.assertRaises(flowgate.NoAccount) as raised, accounts.lease(timeout=0.05):
                pass
            self.assertEqual(raised.exception.why, "concurrency")
            self.assertLess(time.monotonic() - begun, 5)

    def test_a_cooldown_beyond_the_timeout_is_not_waited_for(self) -> None:
        accounts = pool("a")
        with accounts.lease() as lease:
            lease.report(429, {"retry-after": "3600"})
        begun = time.monotonic()
        with self.assertRaises(flowgate.NoAccount) as raised, accounts.lease(timeout=60):
            pass
        self.assertLess(time.monotonic() - begun, 5)
        error = raised.exception
        assert error.retry_after is not None
        self.assertGreater(error.retry_after, 60)
        self.assertEqual((error.why, error.code), ("cooldown", "accounts.none"))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((str(again), again.why, again.until), (str(error), error.why, error.until))

    def test_a_short_cooldown_is_waited_for(self) -> None:
        accounts = pool("a")
        with accounts.lease() as lease:
            lease.report(429, {"retry-after-ms": "60"})
        with accounts.lease(timeout=30) as lease:
            self.assertEqual(lease.account, "a")

    def test_async_leases_wait_beside_each_other(self) -> None:
        accounts = flowgate.Pool([{"id": "a", "max_inflight": 2}])
        most = 0

        async def send() -> None:
            nonlocal most
            async with accounts.lease(timeout=30) as lease:
                most = max(most, accounts.inflight)
                await asyncio.sleep(0.001)
                lease.report(200)

        async def main() -> None:
            await asyncio.gather(*(send() for _ in range(20)))

        asyncio.run(main())
        self.assertEqual((most, accounts.inflight, accounts._waiters), (2, 0, {}))

    def test_a_task_that_is_cancelled_gives_its_lease_back(self) -> None:
        accounts = pool("a")

        async def send() -> None:
            async with accounts.lease():
                await asyncio.sleep(60)

        async def main() -> None:
            task = asyncio.create_task(send())
            await asyncio.sleep(0)
            while not accounts.inflight:
                await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        self.assertEqual(accounts.inflight, 0)

    def test_threads(self) -> None:
        accounts = flowgate.Pool([{"id": str(n), "max_inflight": 2} for n in range(3)])

        def work() -> None:
            for _ in range(200):
                with accounts.lease(timeout=60) as lease:
                    lease.report(200)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((accounts.inflight, accounts._waiters), (0, {}))


class Attempts(unittest.TestCase):
    def test_another_account_is_tried(self) -> None:
        accounts = pool("a", "b", "c")
        seen = []
        answers = iter([429, 500, 200])
        for lease in accounts.attempts(model="m"):
            with lease:
                seen.append(lease.account)
                lease.report(next(answers), {"retry-after": "60"})
        self.assertEqual(seen, ["a", "b", "c"])

    def test_what_is_wrong_with_the_request_is_not_tried_again(self) -> None:
        seen = []
        for lease in pool("a", "b").attempts():
            with lease:
                seen.append(lease.account)
                lease.report(400, body='{"error": {"type": "invalid_request_error"}}')
        self.assertEqual(seen, ["a"])

    def test_an_exception_of_the_network_is_swallowed_while_there_is_hope(self) -> None:
        seen = []
        for lease in pool("a", "b").attempts():
            with lease:
                seen.append(lease.account)
                if len(seen) == 1:
                    raise ConnectionRefusedError
                lease.report(200)
        self.assertEqual(seen, ["a", "b"])
        with self.assertRaises(ConnectionRefusedError):
            for lease in pool("a", retry={"max_attempts": 3}).attempts(timeout=0.01):
                with lease:
                    raise ConnectionRefusedError
        with self.assertRaises(ZeroDivisionError):
            for lease in pool("a", "b").attempts():
                with lease:
                    1 / 0

    def test_the_last_answer_is_the_callers_when_nobody_is_left(self) -> None:
        statuses = []
        for lease in pool("a").attempts(timeout=1):
            with lease:
                statuses.append(429)
                lease.report(429, {"retry-after": "600"})
        self.assertEqual(statuses, [429])
        with self.assertRaises(flowgate.NoAccount):
            for lease in flowgate.Pool([]).attempts():
                self.fail("there is nobody")

    def test_a_credential_is_refreshed_once(self) -> None:
        accounts = pool("a")
        keys = {"a": "old"}
        refreshed = []

        def refresh(id: str) -> bool:
            refreshed.append(id)
            keys[id] = "new"
            return True

        statuses = []
        for lease in accounts.attempts(refresh=refresh):
            with lease:
                statuses.append(200 if keys[lease.account] == "new" else 401)
                lease.report(statuses[-1])
        self.assertEqual((statuses, refreshed), ([401, 200], ["a"]))

    def test_leaving_the_loop_gives_the_lease_back(self) -> None:
        accounts = pool("a")
        for _ in accounts.attempts():
            break
        # The generator is closed when nobody holds it any more.
        self.assertEqual(accounts.inflight, 0)

    def test_in_an_event_loop(self) -> None:
        accounts = pool("a", "b")

        async def refresh(id: str) -> bool:
            await asyncio.sleep(0)
            return True

        async def main() -> list[str]:
            seen = []
            answers = iter([401, 429, 200])
            async for lease in accounts.attempts(refresh=refresh):
                async with lease:
                    seen.append(lease.account)
                    lease.report(next(answers), {"retry-after": "60"})
            return seen

        self.assertEqual(asyncio.run(main()), ["a", "a", "b"])


if __name__ == "__main__":
    unittest.main()
