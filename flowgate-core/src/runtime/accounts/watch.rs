//! What the body of a success says while it passes by: errors inside it, and what it took.

use serde::Deserialize;

use crate::Timestamp;
use crate::accounts::{Answer, Class, Classification, Rules, SCANNED, classify};

/// Looks at a body without holding it up.
#[derive(Debug, Default)]
pub(super) struct Watch {
    streams: bool,
    /// The event that is coming in, or the start of the whole body.
    held: Vec<u8>,
    /// The line that is coming in has something in it.
    in_line: bool,
    /// The event is too long to be of interest.
    skips: bool,
    input: u64,
    output: u64,
    total: u64,
    /// The first error.
    error: Option<Classification>,
}

/// What passes by is about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) provider: &'a str,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

impl Watch {
    /// * `streams`: whether the body is a stream of server-sent events.
    pub(super) fn new(streams: bool) -> Self {
        Self {
            streams,
            ..Self::default()
        }
    }

    /// A part of the body.
    pub(super) fn see(&mut self, mut part: &[u8], about: About<'_>) {
        while self.streams {
            // An event ends with an empty line, which two parts may share.
            let Some(end) = part.iter().position(|b| *b == b'\n') else {
                break;
            };
            let (line, rest) = part.split_at(end + 1);
            let empty = !self.in_line && line.trim_ascii().is_empty();
            self.hold(line);
            if empty {
                self.event(about);
            }
            self.in_line = false;
            part = rest;
        }
        self.in_line |= !part.trim_ascii().is_empty();
        self.hold(part);
    }

    fn hold(&mut self, part: &[u8]) {
        let room = SCANNED.saturating_sub(self.held.len());
        self.skips |= part.len() > room;
        self.held.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn event(&mut self, about: About<'_>) {
        let held = std::mem::take(&mut self.held);
        if !std::mem::take(&mut self.skips) {
            let data = held
                .split(|b| *b == b'\n')
                .find_map(|line| line.strip_prefix(b"data:"));
            if let Some(data) = data {
                self.read(data.trim_ascii(), about);
            }
        }
        self.held = held;
        self.held.clear();
    }

    fn read(&mut self, document: &[u8], about: About<'_>) {
        if memchr::memmem::find(document, b"\"usage\"").is_some()
            && let Ok(said) = serde_json::from_slice::<Said>(document)
        {
            for usage in said.all() {
                self.input = self.input.max(usage.input());
                self.output = self.output.max(usage.output());
                self.total = self.total.max(usage.total_tokens.unwrap_or(0));
            }
        }
        if self.error.is_none() {
            let answer = Answer {
                provider: about.provider,
                status: Some(200),
                body: document,
                ..Answer::default()
            };
            let meaning = classify(&answer, about.now, about.rules);
            self.error = (meaning.class != Class::Ok).then_some(meaning);
        }
    }

    /// The body is complete: the error in it, if there is one, and how many tokens it took.
    pub(super) fn end(mut self, about: About<'_>) -> (Option<Classification>, Option<u32>) {
        if self.streams {
            self.event(about);
        } else if !self.skips {
            let held = std::mem::take(&mut self.held);
            self.read(&held, about);
        }
        let tokens = self.total.max(self.input + self.output);
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        (self.error, (tokens > 0).then_some(tokens))
    }
}

/// Where answers say what they took.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    usage: Option<Usage>,
    message: Option<Inner>,
    response: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    usage: Option<Usage>,
}

/// OpenAI's two spellings, and Anthropic's, which counts what it reads from its cache apart.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl Said {
    fn all(self) -> impl Iterator<Item = Usage> {
        let inner = [self.message, self.response].into_iter().flatten();
        self.usage
            .into_iter()
            .chain(inner.filter_map(|inner| inner.usage))
    }
}

impl Usage {
    fn input(&self) -> u64 {
        let input = self.input_tokens.or(self.prompt_tokens).unwrap_or(0);
        input.saturating_add(self.cache_creation_input_tokens.unwrap_or(0))
    }

    fn output(&self) -> u64 {
        self.output_tokens.or(self.completion_tokens).unwrap_or(0)
    }
}

/// Watches any body, in one piece and in two, for the fuzzer: where it is cut must not matter.
#[cfg(fuzzing)]
pub(in crate::runtime) fn fuzz(bytes: &[u8]) {
    let rules = Rules::default();
    let about = About {
        provider: "openai",
        rules: &rules,
        now: 1_700_000_000_000,
    };
    for streams in [true, false] {
        let seen = |parts: &[&[u8]]| {
            let mut watch = Watch::new(streams);
            parts.iter().for_each(|part| watch.see(part, about));
            watch.end(about)
        };
        let (head, tail) = bytes.split_at(bytes.len() / 3);
        assert_eq!(seen(&[bytes]), seen(&[head, tail]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watch(streams: bool, parts: &[&[u8]]) -> (Option<Class>, Option<u32>) {
        let rules = Rules::default();
        let about = About {
            provider: "openai",
            rules: &rules,
            now: 0,
        };
        let mut watch = Watch::new(streams);
        for part in parts {
            watch.see(part, about);
        }
        let (error, tokens) = watch.end(about);
        (error.map(|error| error.class), tokens)
    }

    const CLAUDE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n";

    #[test]
    fn tokens_are_found_in_every_shape() {
        for (streams, body, tokens) in [
            (
                false,
                r#"{"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
                12,
            ),
            (
                false,
                r#"{"type":"message","usage":{"input_tokens":5,"output_tokens":7}}"#,
                12,
            ),
            (true, CLAUDE, 40),
            (
                true,
                "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\r\n\r\ndata: [DONE]\r\n\r\n",
                9,
            ),
            (
                true,
                "data: {\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}",
                3,
            ),
        ] {
            assert_eq!(
                watch(streams, &[body.as_bytes()]),
                (None, Some(tokens)),
                "{body}"
            );
        }
        assert_eq!(watch(false, &[b"{}"]), (None, None));
    }

    #[test]
    fn an_error_in_the_middle_is_seen() {
        let body = "data: {\"choices\":[]}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
        assert_eq!(watch(true, &[body.as_bytes()]).0, Some(Class::Overloaded));
        let said = r#"data: {"delta":{"text":"{\"error\":{\"type\":\"overloaded_error\"}}"}}"#;
        assert_eq!(watch(true, &[said.as_bytes()]).0, None);
    }

    #[test]
    fn what_is_too_long_is_passed_over() {
        let long = format!("data: {{\"text\":\"{}\"}}\n\n", "x".repeat(SCANNED));
        assert_eq!(
            watch(true, &[long.as_bytes(), CLAUDE.as_bytes()]),
            (None, Some(40))
        );
        assert_eq!(watch(false, &[long.as_bytes()]), (None, None));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_stream_is_cut(cuts in proptest::collection::vec(0..CLAUDE.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, CLAUDE.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &CLAUDE.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(watch(true, &parts), (None, Some(40)));
        }
    }
}
