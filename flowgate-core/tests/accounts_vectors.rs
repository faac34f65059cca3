//! The vectors of classification that every language runs.

use std::collections::BTreeMap;

use flowgate_core::accounts::{Answer, Classification, Rules, Transport, classify};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    provider: String,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: String,
    transport: Option<Transport>,
    #[serde(flatten)]
    meaning: Classification,
}

#[test]
fn classification() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../testdata/accounts_vectors.json")).unwrap();
    for vector in vectors {
        let answer = Answer {
            provider: &vector.provider,
            status: vector.status,
            headers: &vector.headers,
            body: vector.body.as_bytes(),
            transport: vector.transport,
        };
        let found = classify(&answer, 1_700_000_000_000, &Rules::default());
        assert_eq!(found, vector.meaning, "{}", vector.name);
    }
}
