use proptest::prelude::*;

use super::*;
use crate::auth::{Error, describe, providers};
use crate::config::Config;

/// What a server of the tests does when it is asked.
#[derive(Clone, Debug)]
enum Does {
    Answers(u16, &'static str),
    AnswersLater(u16, &'static str, u64),
    Fails,
    FailsForGood,
}
use Does::{Answers, AnswersLater, Fails, FailsForGood};

/// A sign-in against a server that does one thing after another, the last again and again. Time
/// passes only by waiting.
struct Run {
    outcome: Outcome,
    requests: Vec<Request>,
    shown: Vec<Prompt>,
    took: u64,
}

fn run_at(provider: &Provider, first: Does, then: &[Does], timing: Timing) -> Run {
    let (mut sign_in, action) = SignIn::start(provider, timing, 0).unwrap();
    let mut run = Run {
        outcome: Outcome::Cancelled,
        requests: Vec::new(),
        shown: Vec::new(),
        took: 0,
    };
    let mut script = std::iter::once(first)
        .chain(then.iter().cloned())
        .peekable();
    let mut actions = vec![action];
    for _ in 0..10_000 {
        let mut event = None;
        for action in actions {
            match action {
                Action::Show(prompt) => run.shown.push(prompt),
                Action::Wait { until } => {
                    assert!(until >= run.took, "time does not go back");
                    run.took = until;
                    event = Some(Event::Tick);
                }
                Action::Send(request) => {
                    run.requests.push(request);
                    let does = script
                        .next()
                        .unwrap_or_else(|| then.last().cloned().unwrap_or(Fails));
                    event = Some(answer(does));
                }
                Action::Finish(outcome) => {
                    run.outcome = outcome;
                    assert!(
                        sign_in.step(Event::Tick, run.took).is_empty(),
                        "over is over"
                    );
                    return run;
                }
            }
        }
        // What is stored and taken up again goes on as if nothing had been.
        sign_in = serde_json::from_str(&serde_json::to_string(&sign_in).unwrap()).unwrap();
        actions = sign_in.step(event.unwrap(), run.took);
    }
    panic!("it never ends");
}

fn answer(does: Does) -> Event {
    let (status, body, retry_after) = match does {
        Answers(status, body) => (status, body, None),
        AnswersLater(status, body, after) => (status, body, Some(after)),
        Fails | FailsForGood => {
            return Event::Failed {
                error: "connection refused".to_owned(),
                permanent: matches!(does, FailsForGood),
            };
        }
    };
    Event::Answer {
        status,
        retry_after,
        body: body.to_owned(),
    }
}

fn acme() -> Provider {
    Provider::polled(
        "acme",
        "http://127.0.0.1:9/auth_url",
        "http://127.0.0.1:9/status",
    )
}

const TIMING: Timing = Timing {
    timeout: 60_000,
    interval: 2_000,
};

/// A sign-in whose first answer is right.
fn poll(then: &[Does]) -> Run {
    run_at(
        &acme(),
        Answers(200, r#"{"url": "https://acme.example/l"}"#),
        then,
        TIMING,
    )
}

/// A sign-in of which only the first answer counts.
fn begin(first: Does) -> Run {
    run_at(
        &acme(),
        first,
        &[Answers(200, r#"{"status": "success"}"#)],
        TIMING,
    )
}

fn page(run: &Run) -> &str {
    assert_eq!(run.outcome.code(), "auth.success", "{:?}", run.outcome);
    &run.shown[0].url
}

#[test]
fn the_page_is_found_under_any_of_its_names() {
    for (body, url) in [
        (
            r#"{"auth_url": "https://a.example/l?x=1"}"#,
            "https://a.example/l?x=1",
        ),
        (
            r#"{"url": "https://a.example/l?x=1"}"#,
            "https://a.example/l?x=1",
        ),
        (
            r#"{"login_url": "https://a.example/l?x=1"}"#,
            "https://a.example/l?x=1",
        ),
        (
            r#"{"login_url": "https://c", "url": "https://b", "auth_url": "https://a"}"#,
            "https://a",
        ),
        (r#"{"auth_url": "", "url": "https://b"}"#, "https://b"),
        (r#"{"auth_url": null, "url": " https://b "}"#, "https://b"),
        (r#"{"url": "https://a", "url": "https://b"}"#, "https://b"),
    ] {
        assert_eq!(page(&begin(Answers(200, body))), url, "{body}");
    }
    assert_eq!(
        page(&begin(Answers(201, r#"{"url": "https://b"}"#))),
        "https://b"
    );
}

#[test]
fn a_first_answer_that_is_no_good_says_what_it_is_and_where() {
    for (does, problem) in [
        (
            Answers(200, r#"{"auth_url": "", "url": " ", "login_url": ""}"#),
            "no `auth_url`",
        ),
        (
            Answers(200, r#"{"data": {"url": "https://a"}}"#),
            "no `auth_url`",
        ),
        (Answers(200, r#"{"url": 5}"#), "no `auth_url`"),
        (Answers(200, "[1]"), "not an object"),
        (Answers(200, "\"x\""), "not an object"),
        (Answers(200, "<html>login</html>"), "HTML, not JSON"),
        (Answers(200, ""), "empty"),
        (Answers(204, ""), "no content"),
        (
            Answers(200, r#"{"url": "https://a", "x": NaN}"#),
            "not JSON",
        ),
        (
            Answers(200, "{\"url\": \"https://x/\\u001b[2Jevil\"}"),
            "no http or https URL",
        ),
        (
            Answers(200, r#"{"url": "file:///etc/passwd"}"#),
            "no http or https URL",
        ),
        (
            Answers(200, r#"{"url": "javascript:alert(1)"}"#),
            "no http or https URL",
        ),
        (
            Answers(200, r#"{"status": "error", "error": "no such provider"}"#),
            "no such provider",
        ),
        (
            Answers(401, r#"{"error": "missing management key"}"#),
            "HTTP 401: missing management key; give the management key",
        ),
        (Answers(403, "{}"), "auth.management_key"),
        (Answers(404, "404 page not found"), "no management key"),
        (Answers(500, "<html>"), "HTTP 500"),
        (Answers(302, ""), "HTTP 302"),
        (Fails, "cannot be reached: connection refused"),
    ] {
        let run = begin(does.clone());
        let said = run.outcome.to_string();
        assert!(
            said.contains(problem) && said.contains("127.0.0.1:9/auth_url"),
            "{does:?}: {said}"
        );
        assert_eq!((run.requests.len(), run.shown.len()), (1, 0));
    }
}

#[test]
fn every_word_of_success_counts_however_it_is_written() {
    for body in [
        r#"{"status": "success"}"#,
        r#"{"status": "completed"}"#,
        r#"{"status": "authorized"}"#,
        r#"{"status": "authenticated"}"#,
        r#"{"status": "ok"}"#,
        r#"{"status": "SUCCESS"}"#,
        r#"{"status": "  Authorized "}"#,
        r#"{"status": "success", "more": 1}"#,
    ] {
        let run = poll(&[Answers(200, body)]);
        assert_eq!(
            (run.outcome.code(), run.requests.len(), run.took),
            ("auth.success", 2, 2_000),
            "{body}"
        );
    }
}

#[test]
fn every_word_of_failure_ends_it_with_what_the_server_says() {
    for (word, code) in [
        ("failed", "auth.failed"),
        ("error", "auth.failed"),
        ("denied", "auth.denied"),
        ("cancelled", "auth.denied"),
        ("canceled", "auth.denied"),
        ("expired", "auth.expired"),
    ] {
        for key in ["error", "message", "error_description"] {
            let body: &'static str =
                format!(r#"{{"status": "{word}", "{key}": "user said no"}}"#).leak();
            let run = poll(&[Answers(200, r#"{"status": "pending"}"#), Answers(200, body)]);
            assert_eq!(
                (run.outcome.code(), run.requests.len()),
                (code, 3),
                "{body}"
            );
            assert!(
                run.outcome.to_string().contains("user said no"),
                "{:?}",
                run.outcome
            );
        }
    }
}

#[test]
fn who_waits_too_long_is_told_what_came_last() {
    let run = poll(&[Answers(200, r#"{"status": "pending"}"#)]);
    assert_eq!((run.outcome.code(), run.took), ("auth.timed_out", 60_000));
    assert_eq!(
        run.requests.len(),
        31,
        "one for the page, one every two seconds, one at the end"
    );
    assert!(run.outcome.to_string().contains("`pending`"));

    let run = poll(&[Answers(200, r#"{"status": "pending"}"#), Answers(503, "{}")]);
    let said = run.outcome.to_string();
    assert!(
        said.contains("`pending`") && said.contains("HTTP 503"),
        "{said}"
    );
    assert!(
        run.requests.len() < 10,
        "it asks less often: {}",
        run.requests.len()
    );

    let run = poll(&[Fails]);
    assert!(run.outcome.to_string().contains("connection refused"));
    assert_eq!(
        poll(&[Answers(200, r#"{"status": ""}"#)]).outcome.code(),
        "auth.timed_out"
    );
}

#[test]
fn the_status_is_asked_for_once_at_least_and_never_in_a_rush() {
    for (timeout, interval, then, requests) in [
        (0, 2_000, Answers(200, r#"{"status": "success"}"#), 2),
        (1, 2_000, Answers(200, r#"{"status": "pending"}"#), 2),
        (1_000, 0, Answers(200, r#"{"status": "pending"}"#), 11),
    ] {
        let first = Answers(200, r#"{"url": "https://a"}"#);
        let run = run_at(&acme(), first, &[then], Timing { timeout, interval });
        assert_eq!((run.requests.len(), run.took <= timeout), (requests, true));
    }
}

#[test]
fn what_may_be_over_soon_is_tried_again() {
    for does in [
        Answers(500, "{}"),
        Answers(502, "<html>"),
        Answers(408, ""),
        Answers(200, "<html>"),
        Answers(200, "[1]"),
        Answers(200, ""),
        Answers(204, ""),
        Fails,
    ] {
        let run = poll(&[does.clone(), Answers(200, r#"{"status": "success"}"#)]);
        assert_eq!(
            (run.outcome.code(), run.requests.len()),
            ("auth.success", 3),
            "{does:?}"
        );
    }
    let run = poll(&[
        AnswersLater(429, "{}", 9_000),
        Answers(200, r#"{"status": "success"}"#),
    ]);
    assert_eq!((run.outcome.code(), run.took), ("auth.success", 11_000));
    let run = poll(&[
        AnswersLater(429, "{}", 9_000_000),
        Answers(200, r#"{"status": "success"}"#),
    ]);
    assert_eq!(
        (run.outcome.code(), run.took),
        ("auth.success", 60_000),
        "no longer than there is time"
    );
    let run = poll(&[
        Fails,
        Fails,
        Fails,
        Answers(200, r#"{"status": "success"}"#),
    ]);
    assert_eq!(run.took, 2_000 + 2_000 + 4_000 + 8_000, "longer each time");
}

#[test]
fn what_will_not_change_ends_it_at_once() {
    for status in [400, 401, 403, 404, 410] {
        let run = poll(&[Answers(status, r#"{"error": "not here"}"#)]);
        let said = run.outcome.to_string();
        assert_eq!(
            (run.outcome.code(), run.requests.len()),
            ("auth.refused", 2)
        );
        assert!(
            said.contains(&format!("HTTP {status}: not here")) && said.contains("/status"),
            "{said}"
        );
    }
    assert_eq!(poll(&[FailsForGood]).outcome.code(), "auth.unreachable");
}

#[test]
fn a_status_that_nobody_knows_is_not_waited_for_until_the_end() {
    for body in [
        r#"{"status": "weird"}"#,
        r#"{"status": true}"#,
        r#"{"status": 1}"#,
        r#"{"status": null}"#,
        "{}",
    ] {
        let run = poll(&[Answers(200, body)]);
        assert_eq!(
            (run.outcome.code(), run.requests.len()),
            ("auth.refused", 6),
            "{body}"
        );
    }
    let run = poll(&[
        Answers(200, r#"{"status": "weird"}"#),
        Answers(200, r#"{"status": "success"}"#),
    ]);
    assert_eq!(run.outcome.code(), "auth.success");
}

fn codex() -> Provider {
    let config = Config::from_yaml(
        "services: { cliproxyapi_plus: { host: 0.0.0.0, command: { args: [x] } } }",
    )
    .unwrap();
    Provider::find(&providers(config.settings()), "codex")
        .unwrap()
        .clone()
}

#[test]
fn r19_the_state_goes_along_and_without_one_nothing_is_believed() {
    let ok = [
        Answers(200, r#"{"status": "wait"}"#),
        Answers(200, r#"{"status": "ok"}"#),
    ];
    let run = run_at(
        &codex(),
        Answers(
            200,
            r#"{"status": "ok", "url": "https://a", "state": "s1"}"#,
        ),
        &ok,
        TIMING,
    );
    assert_eq!(run.outcome.code(), "auth.success");
    assert_eq!(
        run.requests[0].url,
        "http://127.0.0.1:8317/v0/management/codex-auth-url"
    );
    assert_eq!(
        run.requests[1].url,
        "http://127.0.0.1:8317/v0/management/get-auth-status"
    );
    assert_eq!(
        run.requests[2].fields,
        [("state".to_owned(), "s1".to_owned())]
    );
    let run = run_at(
        &codex(),
        Answers(200, r#"{"status": "ok", "url": "https://a"}"#),
        &ok,
        TIMING,
    );
    assert_eq!(
        (run.outcome.code(), run.shown.len()),
        ("auth.refused", 0),
        "{:?}",
        run.outcome
    );
    let other = [Answers(200, r#"{"status": "ok", "state": "s2"}"#)];
    let run = run_at(
        &codex(),
        Answers(200, r#"{"url": "https://a", "state": "s1"}"#),
        &other,
        TIMING,
    );
    assert!(
        run.outcome.to_string().contains("another sign-in"),
        "{:?}",
        run.outcome
    );
}

#[test]
fn a_code_is_shown_when_it_comes() {
    let first = Answers(
        200,
        r#"{"status": "ok", "state": "k1", "method": "device_code"}"#,
    );
    let code = Answers(
        200,
        r#"{"status": "device_code", "verification_url": "https://v", "user_code": "AB-CD"}"#,
    );
    let run = run_at(
        &codex(),
        first,
        &[
            Answers(200, r#"{"status": "wait"}"#),
            code.clone(),
            code,
            Answers(200, r#"{"status": "ok"}"#),
        ],
        TIMING,
    );
    assert_eq!(run.outcome.code(), "auth.success");
    assert_eq!(
        run.shown,
        [Prompt {
            url: "https://v".to_owned(),
            user_code: Some("AB-CD".to_owned())
        }],
        "once"
    );
    let page = Answers(200, r#"{"status": "auth_url", "url": "https://later"}"#);
    let run = run_at(
        &codex(),
        Answers(200, r#"{"state": "k1", "method": "device_code"}"#),
        &[page, Answers(200, r#"{"status": "ok"}"#)],
        TIMING,
    );
    assert_eq!(run.shown[0].url, "https://later");
}

#[test]
fn credentials_come_with_the_answer_and_are_not_shown() {
    let first = Answers(200, r#"{"auth_url": "https://a", "token": "tok-1"}"#);
    let then = [Answers(
        200,
        r#"{"status": "success", "credentials": {"access_token": "tok-2"}}"#,
    )];
    let run = run_at(&acme(), first, &then, TIMING);
    assert_eq!(
        run.requests[1].fields,
        [("token".to_owned(), "tok-1".to_owned())]
    );
    let Outcome::Success { credentials, .. } = &run.outcome else {
        panic!()
    };
    assert_eq!(credentials.as_ref().unwrap()["access_token"], "tok-2");
    let shown = format!(
        "{:?} {:?} {}",
        run.outcome,
        run.requests,
        serde_json::to_string(&run.outcome).unwrap()
    );
    assert!(!shown.contains("tok-"), "{shown}");
}

#[test]
fn how_long_credentials_last_becomes_the_moment_they_end() {
    let first = Answers(200, r#"{"auth_url": "https://a", "token": "tok-1"}"#);
    let end_of = |body: &'static str| {
        let run = run_at(&acme(), first.clone(), &[Answers(200, body)], TIMING);
        let Outcome::Success {
            credentials: Some(credentials),
            ..
        } = run.outcome
        else {
            panic!()
        };
        let text = serde_json::to_string(&credentials).unwrap();
        (describe(&text).unwrap().expires, run.took)
    };
    let (end, now) = end_of(r#"{"status": "success", "access_token": "a", "expires_in": 3600}"#);
    assert_eq!(end, Some(now + 3_600_000));
    let said = r#"{"status": "ok", "access_token": "a", "expires_in": 3600, "expired": "2026-03-01T00:00:00Z"}"#;
    assert_eq!(end_of(said).0, Some(1_772_323_200_000));
    let endless = r#"{"status": "ok", "access_token": "a", "expires_in": 18446744073709551615}"#;
    end_of(endless);
}

#[test]
fn a_device_is_signed_in_as_rfc_8628_says() {
    let config = Config::from_yaml("
auth:
  providers:
    tool: { method: device_code, client_id: c1, scope: read, auth_url_endpoint: 'https://p.example/device', status_endpoint: 'https://p.example/token' }
").unwrap();
    let tool = Provider::find(&providers(config.settings()), "tool")
        .unwrap()
        .clone();
    let first = || {
        Answers(
            200,
            r#"{"device_code": "d1", "user_code": "AB-CD", "verification_uri": "https://p.example/go", "expires_in": 900, "interval": 5}"#,
        )
    };
    let pending = Answers(400, r#"{"error": "authorization_pending"}"#);
    let done = Answers(200, r#"{"access_token": "tok-1", "token_type": "bearer"}"#);
    let run = run_at(
        &tool,
        first(),
        &[
            pending.clone(),
            Answers(400, r#"{"error": "slow_down"}"#),
            done,
        ],
        TIMING,
    );
    assert_eq!(
        (run.outcome.code(), run.took),
        ("auth.success", 5_000 + 5_000 + 10_000)
    );
    assert_eq!(
        (run.requests[0].method, run.requests[0].fields.len()),
        (Method::Post, 2)
    );
    let names: Vec<&str> = run.requests[1]
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["grant_type", "client_id", "device_code"]);
    let Outcome::Success {
        credentials: Some(credentials),
        ..
    } = run.outcome
    else {
        panic!()
    };
    assert_eq!(credentials["access_token"], "tok-1");
    for (error, code) in [
        ("access_denied", "auth.denied"),
        ("expired_token", "auth.expired"),
    ] {
        let body: &'static str = format!(r#"{{"error": "{error}"}}"#).leak();
        assert_eq!(
            run_at(&tool, first(), &[Answers(400, body)], TIMING)
                .outcome
                .code(),
            code
        );
    }
    let short = Answers(
        200,
        r#"{"device_code": "d1", "user_code": "A", "verification_uri": "https://p", "expires_in": 10}"#,
    );
    assert_eq!(
        run_at(&tool, short, &[pending], TIMING).took,
        10_000,
        "no longer than the code is good"
    );
}

#[test]
fn it_can_be_stopped_at_any_point() {
    let (mut sign_in, _) = SignIn::start(&acme(), TIMING, 0).unwrap();
    assert_eq!(
        sign_in.step(Event::Cancelled, 1),
        [Action::Finish(Outcome::Cancelled)]
    );
    assert_eq!(sign_in.step(Event::Cancelled, 2), []);
    let (mut sign_in, _) = SignIn::start(&acme(), TIMING, 0).unwrap();
    sign_in.step(answer(Answers(200, r#"{"url": "https://a"}"#)), 1);
    assert_eq!(
        sign_in.step(Event::Tick, 2),
        [Action::Wait { until: 2_001 }],
        "too early"
    );
    assert_eq!(
        sign_in.step(Event::Cancelled, 3),
        [Action::Finish(Outcome::Cancelled)]
    );
}

#[test]
fn only_http_is_spoken_and_providers_are_known_by_name() {
    for url in [
        "file:///etc/hostname",
        "127.0.0.1:9/x",
        "http://127.0.0.1:9/a b",
        "ftp://h/x",
    ] {
        let provider = Provider::polled("p", url, "http://h/s");
        assert!(
            matches!(
                SignIn::start(&provider, TIMING, 0),
                Err(Error::NotPossible { .. })
            ),
            "{url}"
        );
    }
    let config = Config::from_yaml("auth: { providers: { mine: { auth_url_endpoint: 'http://h/a', status_endpoint: 'http://h/s' }, half: { status_endpoint: 'http://h/s' } } }").unwrap();
    let providers = providers(config.settings());
    let find = |name| Provider::find(&providers, name);
    assert!(find("mine").unwrap().flow().is_ok());
    assert!(
        find("half")
            .unwrap()
            .flow()
            .unwrap_err()
            .to_string()
            .contains("auth_url_endpoint")
    );
    assert!(
        find("codex")
            .unwrap()
            .flow()
            .unwrap_err()
            .to_string()
            .contains("cliproxyapi_plus")
    );
    let unknown = find("nosuch").unwrap_err();
    assert!(
        unknown.to_string().contains("codex, copilot, gemini, half"),
        "{unknown}"
    );
}

proptest! {
    #[test]
    fn whatever_a_server_does_it_ends_in_time(
        first in 0_usize..4,
        script in prop::collection::vec((100_u16..600, "(\\{\"status\": ?(\"[a-z_]{0,8}\"|1|null)\\}|[<\\[\\PC]{0,9})", prop::option::of(0_u64..99_999), any::<bool>()), 0..12),
        timeout in 0_u64..100_000,
        interval in 0_u64..9_000,
    ) {
        let firsts = [r#"{"url": "https://a"}"#, r#"{"method": "device_code", "state": "s", "interval": 3}"#, "{}", "x"];
        let then: Vec<Does> = script.iter().map(|(status, body, after, fails)| {
            let body: &'static str = body.clone().leak();
            match (fails, after) {
                (true, _) => Fails,
                (_, Some(after)) => AnswersLater(*status, body, *after),
                (_, None) => Answers(*status, body),
            }
        }).collect();
        let run = run_at(&acme(), Answers(200, firsts[first]), &then, Timing { timeout, interval });
        prop_assert!(run.took <= timeout);
        prop_assert!(!run.outcome.to_string().contains(char::is_control));
    }
}
