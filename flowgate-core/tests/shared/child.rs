//! A process of its own with a pool of its own: this test program, started again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use flowgate_core::accounts::{Classification, Request, SharedPool};
use flowgate_core::runtime::shared::{Clock, Fleet, Mode, Options, State};
use serde_json::{Value, json};

use crate::log::{self, BEGIN, MODELS, Player};

const URL: &str = "FLOWGATE_TEST_SERVER";
const MODE: &str = "FLOWGATE_TEST_MODE";

/// The other side of it.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(url: &str, mode: Mode) -> Self {
        Self::with(url, mode, &[])
    }

    /// The same, with more variables in its environment.
    pub(crate) fn with(url: &str, mode: Mode, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::a_process", "--ignored", "--nocapture"])
            .env(URL, url)
            .envs(environment.iter().copied())
            .env(
                MODE,
                if mode == Mode::Strict {
                    "strict"
                } else {
                    "local"
                },
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    pub(crate) fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").unwrap();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the process ended after {question}");
            // Everything else is the test harness.
            if let Some((_, answer)) = line.split_once('@') {
                return serde_json::from_str(answer).unwrap();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what the tests start as a process of its own.
#[test]
#[ignore = "is started by other tests"]
fn a_process() {
    let Some(url) = std::env::var_os(URL) else {
        return;
    };
    let strict = std::env::var(MODE).is_ok_and(|mode| mode == "strict");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(url.into_string().unwrap(), strict));
}

async fn serve(url: String, strict: bool) {
    let pool = SharedPool::from(log::pool());
    let time = Arc::new(AtomicU64::new(BEGIN));
    let clock = Arc::clone(&time);
    let options = Options::new(&url.into())
        .unwrap()
        .mode(if strict { Mode::Strict } else { Mode::Local })
        // The machine may be busy.
        .timeout(std::time::Duration::from_secs(5))
        .clock(Clock::Given(Arc::new(move || clock.load(SeqCst))));
    let fleet = Fleet::join(&pool, options, || {});
    fleet.settled().await;
    let mut player = Player::default();
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await.unwrap().unwrap();
        let Ok(question) = serde_json::from_str::<Value>(&line) else {
            return;
        };
        let number = |key: &str| question[key].as_u64().unwrap() as usize;
        let answer = match question["do"].as_str().unwrap() {
            "pick" => {
                let (number_of, account, model) =
                    (number("request"), number("account"), number("model"));
                let mut verdict = None;
                for _ in 0..6 {
                    verdict = if strict {
                        let (others, model) = {
                            let mut pool = pool.lock();
                            (log::others(&pool, account), pool.model(MODELS[model]))
                        };
                        let request = Request {
                            model,
                            exclude: &others,
                            ..Request::default()
                        };
                        let picked = fleet.pick(&request).await;
                        player.picked(&pool.lock(), number_of, picked)
                    } else {
                        player.pick(&mut pool.lock(), number_of, account, model)
                    };
                    if verdict.is_some() {
                        break;
                    }
                    fleet.exchanged().await;
                }
                json!(verdict)
            }
            "report" => {
                let answer: Classification =
                    serde_json::from_value(question["answer"].clone()).unwrap();
                json!(player.report(&mut pool.lock(), number("request"), answer))
            }
            "pass" => {
                let verdict = player.pass(&mut pool.lock(), question["time"].as_u64().unwrap());
                time.store(player.now, SeqCst);
                json!(verdict)
            }
            "exchange" => json!(fleet.exchanged().await),
            "standing" => json!(log::standing(&mut pool.lock(), player.now)),
            "inflight" => json!(pool.lock().inflight(None)),
            "state" => json!(fleet.status()),
            "await" => {
                let wanted = question["state"].as_str().unwrap();
                let wanted = if wanted == "shared" {
                    State::Shared
                } else {
                    State::Degraded
                };
                json!(fleet.reaches(|state| state == wanted).await)
            }
            other => panic!("what is {other}?"),
        };
        println!("@{answer}");
    }
}
