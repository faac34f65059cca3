//! Answering in bulk: one JSON object in a line, one out, and a bad line stops nothing.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::output::{Exit, Failure, Result};

/// Answers every line of standard input with one line of standard output.
pub(crate) fn answer_lines<I: DeserializeOwned, O: Serialize>(
    answer: impl Fn(I) -> std::result::Result<O, Value>,
) -> Result {
    let mut input = BufReader::with_capacity(64 << 10, io::stdin().lock());
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(Failure::Print)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = serde_json::from_slice::<I>(&line)
            .map_err(|error| {
                problem(
                    "cli.bad_line",
                    &format!("this line is not what is expected: {error}"),
                )
            })
            .and_then(&answer)
            .and_then(|answer| {
                to_line(&answer).map_err(|error| problem("cli.bad_answer", &error.to_string()))
            })
            .unwrap_or_else(|error| json!({ "error": error }).to_string());
        writeln!(out, "{answer}").map_err(Failure::Print)?;
        // Whoever waits for this answer before the next question gets it; in bulk, many go at once.
        if !input.buffer().contains(&b'\n') {
            out.flush().map_err(Failure::Print)?;
        }
    }
    out.flush().map_err(Failure::Print)?;
    Ok(Exit::Done)
}

/// JSON in ASCII: some readers end a line at U+0085 or U+2028.
fn to_line(answer: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(answer)?;
    if json.is_ascii() {
        return Ok(json);
    }
    let mut line = String::with_capacity(json.len() * 2);
    for c in json.chars() {
        if c.is_ascii() {
            line.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    Ok(line)
}

/// An error as an answer.
pub(crate) fn problem(code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message })
}
