//! One hot path, again and again, for a simulator that counts instructions: see `instructions`.
//!
//! `hot NAME TIMES` sets NAME up, does it TIMES times and prints nothing; `hot` lists the names.

use std::hint::black_box;
use std::sync::LazyLock;

use flowgate_benches::{BASE, starter};
use flowgate_core::accounts::{
    AccountSpec, Answer, Class, Model, Outcome, Pick, Pool, QuotaView, Request, Rules, Settings,
    classify,
};
use flowgate_core::config::{Config, STARTER};
use flowgate_core::guard::{Context, Guard};

const NOW: u64 = 1_700_000_000_000;

/// Sets a path up; what comes back does it once.
type SetUp = fn() -> Box<dyn FnMut()>;

/// What can be counted.
const PATHS: [(&str, SetUp); 11] = [
    ("guard: git status", || check("git status")),
    ("guard: a pipeline", || {
        check("cat src/main.rs | grep -n 'fn ' | sort | head -20")
    }),
    ("guard: rm -rf / behind sudo", || {
        check("X=/; cd src && sudo rm -rf $X")
    }),
    ("guard: inline Python", || {
        check("python3 -c 'import json; print(json.load(open(\"a.json\")))'")
    }),
    ("guard: a thousand commands", || check(&THOUSAND)),
    ("accounts: pick and report, 10", || pick(10, true)),
    ("accounts: pick and report, 1000", || pick(1_000, true)),
    ("accounts: the same without a session", || {
        pick(1_000, false)
    }),
    ("accounts: classify a 429", classify_429),
    ("config: load, check, resolve", load),
    ("profile: merge", merge),
];

static THOUSAND: LazyLock<String> = LazyLock::new(|| "true; ".repeat(1_000));

fn check(command: &'static str) -> Box<dyn FnMut()> {
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    Box::new(move || {
        black_box(guard.check(black_box(command), &context));
    })
}

fn pick(accounts: u32, in_session: bool) -> Box<dyn FnMut()> {
    let mut pool = Pool::new(Settings::default());
    for number in 0..accounts {
        let slot = pool.upsert(&AccountSpec::new(format!("a{number}"), "anthropic"), NOW);
        if number.is_multiple_of(2) {
            pool.learn_cooldown(NOW, slot, Model::ANY, NOW + 86_400_000, Class::Rate);
        }
    }
    let model = pool.model("m");
    let mut turn = 0;
    Box::new(move || {
        turn += 1;
        let request = Request {
            model,
            session: in_session.then_some(turn % 64),
            tokens: 1_000,
            ..Request::default()
        };
        if let Pick::Use(permit) = pool.pick(NOW + turn, &request) {
            black_box(pool.report(NOW + turn, permit, &Outcome::ok(None)));
        }
    })
}

fn classify_429() -> Box<dyn FnMut()> {
    let headers = [
        ("content-type", "application/json"),
        ("retry-after", "20"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m20s"),
    ];
    let rules = Rules::default();
    Box::new(move || {
        let answer = Answer {
            provider: "openai",
            status: Some(429),
            headers: &headers,
            body: br#"{"error":{"type":"rate_limit_exceeded","message":"Rate limit reached"}}"#,
            transport: None,
        };
        black_box(classify(&answer, NOW, &rules));
        black_box(QuotaView::from_headers(&headers, NOW));
    })
}

fn load() -> Box<dyn FnMut()> {
    Box::new(|| {
        let config = Config::from_yaml(black_box(STARTER)).expect("the starter is right");
        black_box(config.resolve(&BASE)).expect("paths resolve");
    })
}

fn merge() -> Box<dyn FnMut()> {
    let config = starter();
    Box::new(move || {
        black_box(config.profile(black_box("cost"))).expect("the profile is there");
    })
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let Some(name) = arguments.next() else {
        PATHS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let times: u32 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let found = PATHS.iter().find(|(known, _)| *known == name);
    let Some((_, set_up)) = found else {
        eprintln!("{name}: not a path; `hot` lists them");
        std::process::exit(2);
    };
    let mut once = set_up();
    for _ in 0..times {
        once();
    }
}
