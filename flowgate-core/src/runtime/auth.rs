//! Signing in over HTTP.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::http::{Http, HttpError, MOST_BODY, body, no_answer, parse, retry_after};
use crate::Timestamp;
use crate::auth::{
    Action, Error, Event, Method, Outcome, Prompt, Provider, Request, SignIn, Timing,
};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Signs in at a provider: shows what is to be shown, asks until it is decided, and stops at once
/// when `cancelled` is done.
///
/// Time is measured by a clock that nobody sets. A management key goes with every request, and only
/// to endpoints of the provider: redirects are not followed.
///
/// # Errors
///
/// [`Error::NotPossible`] if the provider has no way to. How it ended otherwise is the [`Outcome`].
pub async fn sign_in(
    provider: &Provider,
    timing: Timing,
    management_key: Option<&SecretString>,
    mut show: impl FnMut(&Prompt),
    cancelled: impl Future<Output = ()>,
) -> Result<Outcome, Error> {
    // The time of day, which nobody sets back in between.
    let (began, started) = (UNIX_EPOCH.elapsed().unwrap_or_default(), Instant::now());
    let now = || {
        let now = began + started.elapsed();
        Timestamp::try_from(now.as_millis()).unwrap_or(Timestamp::MAX)
    };
    let (mut machine, first) = SignIn::start(provider, timing, now())?;
    let http = Http::direct();
    let mut cancelled = pin!(cancelled);
    let mut actions = vec![first];
    loop {
        let mut event = Event::Tick;
        for action in actions {
            match action {
                Action::Show(prompt) => show(&prompt),
                Action::Finish(outcome) => return Ok(outcome),
                Action::Wait { until } => {
                    let pause = Duration::from_millis(until.saturating_sub(now()));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => event = Event::Tick,
                        () = &mut cancelled => event = Event::Cancelled,
                    }
                }
                Action::Send(request) => {
                    // A request that waits too long would outlive the sign-in.
                    let left = Duration::from_millis(machine.deadline().saturating_sub(now()));
                    let most = REQUEST_TIMEOUT.min(left.max(Duration::from_secs(1)));
                    tokio::select! {
                        answer = send(&http, &request, management_key, most) => event = answer,
                        () = &mut cancelled => event = Event::Cancelled,
                    }
                }
            }
        }
        actions = machine.step(event, now());
    }
}

/// [`sign_in`] for a program without a runtime of its own; Ctrl-C stops it.
///
/// # Errors
///
/// [`super::Error::Write`] if no runtime can be made; otherwise as [`sign_in`].
pub fn sign_in_blocking(
    provider: &Provider,
    timing: Timing,
    management_key: Option<&SecretString>,
    show: impl FnMut(&Prompt),
) -> Result<Result<Outcome, Error>, super::Error> {
    let stopped = async {
        // Without a handler for it, Ctrl-C ends the program all the same.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    super::http::block_on(sign_in(provider, timing, management_key, show, stopped))
}

async fn send(
    http: &Http,
    request: &Request,
    key: Option<&SecretString>,
    timeout: Duration,
) -> Event {
    match exchange(http, request, key, timeout).await {
        Ok(event) => event,
        Err(error) => Event::Failed {
            permanent: !error.is_transient(),
            error: error.reason(),
        },
    }
}

async fn exchange(
    http: &Http,
    request: &Request,
    key: Option<&SecretString>,
    timeout: Duration,
) -> Result<Event, HttpError> {
    let mut url = parse(&request.url)?;
    let client = http.client(&url)?;
    let builder = match request.method {
        Method::Get => {
            if !request.fields.is_empty() {
                url.query_pairs_mut().extend_pairs(&request.fields);
            }
            client.get(url.clone())
        }
        Method::Post => {
            // A form is written as a query is.
            let mut form = url.clone();
            form.query_pairs_mut().clear().extend_pairs(&request.fields);
            let kind = "application/x-www-form-urlencoded";
            let text = form.query().unwrap_or_default().to_owned();
            client
                .post(url.clone())
                .header(CONTENT_TYPE, kind)
                .body(text)
        }
    };
    let mut builder = builder.header(ACCEPT, "application/json").timeout(timeout);
    if let Some(key) = key {
        let bearer = format!("Bearer {}", key.expose_secret().trim());
        let value = HeaderValue::try_from(bearer).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        builder = builder.header(AUTHORIZATION, value.map_err(|_| bad_key(&url))?);
    }
    let response = builder
        .send()
        .await
        .map_err(|error| no_answer(&url, &error))?;
    let status = response.status().as_u16();
    let pause = retry_after(&response, SystemTime::now());
    let body = body(response, MOST_BODY).await?;
    Ok(Event::Answer {
        status,
        retry_after: pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
        body,
    })
}

fn bad_key(url: &reqwest::Url) -> HttpError {
    HttpError::NoAnswer {
        url: super::http::shown(url),
        reason: "the management key cannot be sent: it has characters that a header may not hold"
            .to_owned(),
        hint: "check the credential",
        permanent: true,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use super::*;

    /// A server that answers each connection with the next text, the last one again and again, and
    /// gives back what it was asked.
    struct Server {
        base: String,
        thread: JoinHandle<Vec<String>>,
    }

    impl Server {
        fn new(answers: Vec<String>, connections: usize) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let thread = std::thread::spawn(move || {
                let mut asked = Vec::new();
                for number in 0..connections {
                    let (mut stream, _) = listener.accept().unwrap();
                    asked.push(head(&mut stream));
                    let answer = answers.get(number).or(answers.last()).unwrap();
                    let _ = stream.write_all(answer.as_bytes());
                }
                asked
            });
            Self { base, thread }
        }

        fn provider(&self) -> Provider {
            Provider::polled(
                "acme",
                &format!("{}/auth_url", self.base),
                &format!("{}/status", self.base),
            )
        }
    }

    fn head(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
            text.push(byte[0]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn http(status: &str, more: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    }

    fn ok(body: &str) -> String {
        http("200 OK", "", body)
    }

    const QUICK: Timing = Timing {
        timeout: 5_000,
        interval: 100,
    };

    fn run(provider: &Provider, timing: Timing, key: Option<&str>) -> (Outcome, Vec<Prompt>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let key = key.map(|key| SecretString::from(key.to_owned()));
        let mut shown = Vec::new();
        let show = |prompt: &Prompt| shown.push(prompt.clone());
        let done = sign_in(provider, timing, key.as_ref(), show, std::future::pending());
        let outcome = runtime.block_on(done).unwrap();
        (outcome, shown)
    }

    fn after_page(answers: &[String], connections: usize) -> (Outcome, Vec<String>) {
        let page = ok(r#"{"url": "https://acme.example/l", "token": "t 1&"}"#);
        let answers = [&[page], answers].concat();
        let server = Server::new(answers, connections);
        let (outcome, _) = run(&server.provider(), QUICK, None);
        (outcome, server.thread.join().unwrap())
    }

    #[test]
    fn a_person_signs_in() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n9\r\n{\"status\"\r\nb\r\n: \"pending\"\r\n1\r\n}\r\n0\r\n\r\n";
        let last = ok(r#"{"status": "success", "credentials": {"access_token": "a"}}"#);
        let (outcome, asked) = after_page(&[chunked.to_owned(), last], 3);
        assert!(
            matches!(
                outcome,
                Outcome::Success {
                    credentials: Some(_),
                    ..
                }
            ),
            "{outcome:?}"
        );
        assert!(asked[0].starts_with("GET /auth_url HTTP/1.1"));
        assert!(
            asked[2].starts_with("GET /status?token=t+1%26 HTTP/1.1"),
            "{}",
            asked[2]
        );
    }

    #[test]
    fn what_breaks_on_the_way_is_tried_again() {
        let done = ok(r#"{"status": "success"}"#);
        for broken in [
            String::new(),
            "SSH-2.0-OpenSSH_9\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}".to_owned(),
            http("503 Busy", "retry-after: 1\r\n", "{}"),
            http("200 OK", "content-type: text/plain\r\n", "<html>"),
        ] {
            let (outcome, asked) = after_page(&[broken.clone(), done.clone()], 3);
            assert_eq!(
                (outcome.code(), asked.len()),
                ("auth.success", 3),
                "{broken}"
            );
        }
    }

    #[test]
    fn r19_redirects_and_endless_answers_are_not_followed() {
        for (first, problem) in [
            (
                http("302 Found", "location: file:///etc/passwd\r\n", ""),
                "HTTP 302",
            ),
            (
                http("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
                "HTTP 302",
            ),
            (
                ok(&format!(
                    "{{\"url\": \"https://a\", \"pad\": \"{}\"}}",
                    "x".repeat(MOST_BODY)
                )),
                "too long",
            ),
            ("SSH-2.0-OpenSSH_9\r\n".to_owned(), "does not speak HTTP"),
            (String::new(), "closed the connection"),
        ] {
            let server = Server::new(vec![first], 1);
            let (outcome, shown) = run(&server.provider(), QUICK, None);
            assert!(outcome.to_string().contains(problem), "{outcome}");
            assert!(shown.is_empty() && server.thread.join().unwrap().len() == 1);
        }
    }

    #[test]
    fn the_management_key_goes_along_and_is_not_shown() {
        let server = Server::new(vec![http("401 No", "", r#"{"error": "wrong key"}"#)], 1);
        let (outcome, _) = run(&server.provider(), QUICK, Some("tok-key\n"));
        assert!(
            outcome.to_string().contains("wrong key") && !outcome.to_string().contains("tok-key")
        );
        assert!(server.thread.join().unwrap()[0].contains("authorization: Bearer tok-key\r\n"));
    }

    #[test]
    fn nobody_waits_for_a_server_that_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let provider = Provider::polled("acme", &base, &base);
        let started = Instant::now();
        let (outcome, _) = run(
            &provider,
            Timing {
                timeout: 100,
                interval: 100,
            },
            None,
        );
        assert!(
            outcome.to_string().contains("too long to answer"),
            "{outcome}"
        );
        assert!(started.elapsed() < Duration::from_secs(5));
        drop(listener);
        let (outcome, _) = run(&provider, QUICK, None);
        assert!(
            outcome.to_string().contains("connection refused"),
            "{outcome}"
        );
        let unknown = Provider::polled("acme", "http://no-such-host.invalid/a", "http://h/s");
        let (outcome, _) = run(&unknown, QUICK, None);
        assert_eq!(outcome.code(), "auth.unreachable", "{outcome}");
    }

    #[test]
    fn it_stops_at_once_when_it_is_told_to() {
        let server = Server::new(vec![ok(r#"{"url": "https://a"}"#)], 1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let mut tell = Some(tell);
        let show = |_: &Prompt| drop(tell.take());
        let stop = async { drop(told.await) };
        let timing = Timing {
            timeout: 60_000,
            interval: 30_000,
        };
        let provider = server.provider();
        let outcome = runtime.block_on(sign_in(&provider, timing, None, show, stop));
        assert_eq!(outcome.unwrap(), Outcome::Cancelled);
    }
}
