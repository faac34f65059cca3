//! The days that policies are tried on.

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// A day: accounts, what they allow, and what is asked of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Its short name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The accounts.
    pub fleet: Fleet,
    /// What is asked, as a part of what the accounts allow when every prompt is warm.
    pub load: f64,
    /// How long it lasts, in milliseconds.
    pub duration_ms: u64,
    /// How long a request may wait, in milliseconds.
    pub deadline_ms: u64,
    /// Whether answers state the quota.
    pub headers: bool,
    /// How many of the refusals state how long to wait, of 1.
    pub hints: f64,
    /// The part of the accounts' quota that others use, of 1.
    pub unseen: f64,
    /// When the provider fails.
    pub outages: Outages,
    /// What a token of a warm prompt counts, of 1.
    pub warm_cost: f64,
    /// How many requests are wrong in themselves, of 1.
    pub wrong: f64,
}

/// Accounts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fleet {
    /// How many.
    pub accounts: usize,
    /// Requests a minute, of a usual account. Zero: not counted.
    pub rpm: f64,
    /// Tokens a minute, of a usual account. Zero: not counted.
    pub tpm: f64,
    /// How much the accounts allow, in turn, of what a usual one does.
    pub sizes: &'static [f64],
    /// How many requests at a time.
    pub concurrency: Option<u32>,
    /// A long window.
    pub window: Option<Window>,
    /// How many accounts lose their credential on the way.
    pub revoked: usize,
}

/// A long window, as subscriptions have it: it begins with the first request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// How many tokens.
    pub tokens: f64,
    /// How long.
    pub length_ms: u64,
    /// How often a window is reset before its time, over the whole day.
    pub early_resets: usize,
}

/// Times in which most requests fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outages {
    /// How many.
    pub count: usize,
    /// How long each is.
    pub length_ms: u64,
    /// How many requests fail, of 1.
    pub failing: f64,
}

const NO_OUTAGES: Outages = Outages {
    count: 0,
    length_ms: 0,
    failing: 0.0,
};

const KEYS: Fleet = Fleet {
    accounts: 6,
    rpm: 60.0,
    tpm: 600_000.0,
    sizes: &[1.0],
    concurrency: None,
    window: None,
    revoked: 0,
};

const USUAL: Scenario = Scenario {
    name: "",
    about: "",
    fleet: KEYS,
    load: 0.7,
    duration_ms: HOUR,
    deadline_ms: 60_000,
    headers: true,
    hints: 1.0,
    unseen: 0.0,
    outages: NO_OUTAGES,
    warm_cost: 0.1,
    wrong: 0.01,
};

const SUBSCRIPTIONS: Fleet = Fleet {
    accounts: 5,
    rpm: 0.0,
    tpm: 0.0,
    window: Some(Window {
        tokens: 6_000_000.0,
        length_ms: 5 * HOUR,
        early_resets: 0,
    }),
    ..KEYS
};

/// The days that there are, from the calm to the bad.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "A1",
        about: "6 keys at 70 % load",
        ..USUAL
    },
    Scenario {
        name: "A2",
        about: "6 keys at 95 % load",
        load: 0.95,
        ..USUAL
    },
    Scenario {
        name: "A3",
        about: "6 keys at 120 % load",
        load: 1.2,
        ..USUAL
    },
    Scenario {
        name: "A4",
        about: "no quota headers, a third of the refusals say how long, 80 %",
        load: 0.8,
        headers: false,
        hints: 0.3,
        ..USUAL
    },
    Scenario {
        name: "A5",
        about: "keys of half, usual and double size, 85 %",
        load: 0.85,
        fleet: Fleet {
            sizes: &[0.5, 1.0, 2.0],
            ..KEYS
        },
        ..USUAL
    },
    Scenario {
        name: "A6",
        about: "others use 30 % of the keys, 60 %",
        load: 0.6,
        unseen: 0.3,
        ..USUAL
    },
    Scenario {
        name: "A7",
        about: "tokens are scarce: a cold prompt takes what five warm ones do, 90 %",
        load: 0.9,
        fleet: Fleet {
            tpm: 300_000.0,
            ..KEYS
        },
        ..USUAL
    },
    Scenario {
        name: "B1",
        about: "5 subscriptions with windows of 5 h, 75 % of their budget, 24 h",
        load: 0.75,
        fleet: SUBSCRIPTIONS,
        duration_ms: 24 * HOUR,
        ..USUAL
    },
    Scenario {
        name: "B2",
        about: "5 subscriptions at 105 %, some windows are reset early, 24 h",
        load: 1.05,
        fleet: Fleet {
            window: Some(Window {
                tokens: 6_000_000.0,
                length_ms: 5 * HOUR,
                early_resets: 8,
            }),
            ..SUBSCRIPTIONS
        },
        duration_ms: 24 * HOUR,
        ..USUAL
    },
    Scenario {
        name: "C1",
        about: "two outages of 10 minutes",
        outages: Outages {
            count: 2,
            length_ms: 10 * MINUTE,
            failing: 0.95,
        },
        ..USUAL
    },
    Scenario {
        name: "C2",
        about: "twelve brown-outs of 30 seconds",
        outages: Outages {
            count: 12,
            length_ms: 30_000,
            failing: 0.95,
        },
        ..USUAL
    },
    Scenario {
        name: "D1",
        about: "200 keys, 3 of them revoked on the way, 85 %",
        load: 0.85,
        fleet: Fleet {
            accounts: 200,
            revoked: 3,
            ..KEYS
        },
        duration_ms: 30 * MINUTE,
        ..USUAL
    },
    Scenario {
        name: "H2",
        about: "4 keys of half size, 92 %",
        load: 0.92,
        fleet: Fleet {
            accounts: 4,
            rpm: 30.0,
            tpm: 300_000.0,
            ..KEYS
        },
        ..USUAL
    },
    Scenario {
        name: "H3",
        about: "warm prompts count in full, 92 %",
        load: 0.92,
        warm_cost: 1.0,
        fleet: Fleet {
            tpm: 2_000_000.0,
            ..KEYS
        },
        ..USUAL
    },
    Scenario {
        name: "H5",
        about: "20 keys of mixed sizes, 90 %",
        load: 0.9,
        fleet: Fleet {
            accounts: 20,
            sizes: &[0.5, 1.0, 1.0, 2.0],
            ..KEYS
        },
        ..USUAL
    },
    Scenario {
        name: "H6",
        about: "a hidden limit of 8 requests at a time, 70 %",
        fleet: Fleet {
            concurrency: Some(8),
            ..KEYS
        },
        hints: 0.0,
        ..USUAL
    },
    Scenario {
        name: "H7",
        about: "20 keys of mixed sizes without headers and hints, 80 %",
        load: 0.8,
        headers: false,
        hints: 0.0,
        fleet: Fleet {
            accounts: 20,
            sizes: &[0.5, 1.0, 1.0, 2.0],
            ..KEYS
        },
        ..USUAL
    },
    Scenario {
        name: "H9",
        about: "others use 40 % of the keys, 50 %",
        load: 0.5,
        unseen: 0.4,
        ..USUAL
    },
];

impl Scenario {
    /// The same day, but shorter.
    #[must_use]
    pub const fn shortened(mut self, by: u64) -> Self {
        self.duration_ms /= by;
        self
    }
}
