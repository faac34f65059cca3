"""Sends requests through a pool of accounts with any HTTP client, and tries again where that helps.

    python examples/python/pool_http.py

The provider is a server of our own that refuses the first key, so that no account is needed. ``client``
stands for `httpx.Client`, `requests.Session` or, as here, nothing but the standard library: whatever
has a status, headers and a body.
"""

import http.server
import json
import threading
import urllib.error
import urllib.request

import flowgate

KEYS = {"work-1": "sk-spent", "work-2": "sk-fresh"}


def complete(pool: flowgate.Pool, url: str, prompt: str, session: str) -> dict[str, object]:
    """One request, by whichever account can serve it. A conversation stays with its account."""
    body = json.dumps({"model": "gpt-5", "input": prompt}).encode()
    for lease in pool.attempts(model="gpt-5", session=session, tokens=len(body) // 4, timeout=20):
        with lease:  # an exception of the network is reported, and swallowed if there is another try
            request = urllib.request.Request(url, body, {"authorization": f"Bearer {KEYS[lease.account]}"})
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    status, headers, answer = response.status, response.headers, response.read()
            except urllib.error.HTTPError as refused:
                status, headers, answer = refused.code, refused.headers, refused.read()
            verdict = lease.report(status, headers, answer)
            print(f"{lease.account}: {status}, {verdict.class_}")
    if status != 200:
        raise RuntimeError(f"the provider answered {status}: {answer!r}")
    result: dict[str, object] = json.loads(answer)
    return result


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers as OpenAI does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        spent = "spent" in self.headers["authorization"]
        self.send_response(429 if spent else 200)
        if spent:
            self.send_header("retry-after", "120")
        self.end_headers()
        self.wfile.write(b'{"error": {"type": "tokens"}}' if spent else b'{"output": "hello"}')

    def log_message(self, *_: object) -> None:
        """Nothing."""


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/v1/responses"
    accounts = flowgate.Pool(
        [{"id": id, "provider": "openai"} for id in KEYS], settings={"strategy": "fill_first"}
    )
    assert complete(accounts, address, "hi", "chat-1") == {"output": "hello"}
    assert complete(accounts, address, "hi again", "chat-1") == {"output": "hello"}
    for event in accounts.drain_events():
        print(event["event"], event["account"], event["class"])
    server.shutdown()
