//! What the body of a success says while it passes by: errors inside it, and what it took.

use serde::Deserialize;

use crate::Timestamp;
use crate::accounts::{Answer, Class, Classification, Rules, SCANNED, classify, sse};

/// Looks at a body without holding it up.
#[derive(Debug, Default)]
pub(super) struct Watch {
    streams: bool,
    /// The event that is coming in, or the whole body: as much of its start as is looked at.
    held: Vec<u8>,
    /// The line that is coming in has something in it.
    in_line: bool,
    /// A carriage return ended the last line: a line feed that follows belongs to it.
    after_return: bool,
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
        while self.streams && !part.is_empty() {
            if std::mem::take(&mut self.after_return) {
                part = part.strip_prefix(b"\n").unwrap_or(part);
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', part) else {
                break;
            };
            let line = &part[..end];
            self.hold(line);
            self.hold(b"\n");
            // An event ends with an empty line, which two parts may share.
            if line.is_empty() && !self.in_line {
                self.read(about);
            }
            self.in_line = false;
            self.after_return = part[end] == b'\r';
            part = &part[end + 1..];
        }
        self.in_line |= !part.is_empty();
        self.hold(part);
    }

    fn hold(&mut self, part: &[u8]) {
        let room = SCANNED.saturating_sub(self.held.len());
        self.held.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// An event is complete, or the body.
    fn read(&mut self, about: About<'_>) {
        let mut held = std::mem::take(&mut self.held);
        let mut events = sse::events(&held).peekable();
        if events.peek().is_none() {
            self.count(&held);
        }
        events.for_each(|event| self.count(&event.data));
        self.judge(&held, about);
        held.clear();
        self.held = held;
    }

    /// Counts the tokens that a document mentions.
    fn count(&mut self, document: &[u8]) {
        if memchr::memmem::find(document, b"\"usage\"").is_some()
            && let Ok(said) = serde_json::from_slice::<Said>(document)
        {
            for usage in said.all() {
                self.input = self.input.max(usage.input());
                self.output = self.output.max(usage.output());
                self.total = self.total.max(usage.total_tokens.unwrap_or(0));
            }
        }
    }

    fn judge(&mut self, body: &[u8], about: About<'_>) {
        if self.error.is_none() {
            let answer = Answer {
                provider: about.provider,
                status: Some(200),
                body,
                ..Answer::default()
            };
            let meaning = classify(&answer, about.now, about.rules);
            self.error = (meaning.class != Class::Ok).then_some(meaning);
        }
    }

    /// The body is complete: the error in it, if there is one, and how many tokens it took.
    pub(super) fn end(mut self, about: About<'_>) -> (Option<Classification>, Option<u32>) {
        self.read(about);
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
    fn an_error_is_seen_however_the_stream_is_written() {
        let failed = r#"data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#;
        for body in [
            format!(
                "data: {{\"type\":\"response.created\",\"response\":{{\"error\":null}}}}\n\n{failed}\n\n"
            ),
            format!(": PROCESSING\n\n{failed}\n\n"),
            format!(": error\rid: 7\rretry: 3\r{failed}\r\r"),
            "data: {\"error\":\r\ndata: {\"type\":\"rate_limit_error\"}}\r\n\r\n".to_owned(),
            format!("\u{feff}{failed}"),
        ] {
            for streams in [true, false] {
                assert_eq!(
                    watch(streams, &[body.as_bytes()]).0,
                    Some(Class::Rate),
                    "{body}"
                );
            }
            let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
            assert_eq!(watch(true, &bytes).0, Some(Class::Rate), "{body}");
        }
    }

    #[test]
    fn of_a_long_event_the_start_is_looked_at() {
        let failed = format!(
            r#"data: {{"type":"response.failed","response":{{"error":{{"code":"server_is_overloaded"}},"instructions":"{}"}}}}"#,
            "x".repeat(SCANNED)
        );
        assert_eq!(watch(true, &[failed.as_bytes()]).0, Some(Class::Overloaded));
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

    /// Lines of streams, in any order, with ends of any kind.
    fn stream() -> impl Strategy<Value = String> {
        let lines = vec![
            CLAUDE,
            "\u{feff}",
            ": comment",
            "event: error",
            "data: {\"error\":null}",
            "data: {\"error\":",
            "data: {\"type\":\"overloaded_error\"}}",
            "data: {\"usage\":{\"total_tokens\":9}}",
            "retry: 1",
            " ",
            "",
        ];
        let ends = vec!["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"];
        let line = (
            proptest::sample::select(lines),
            proptest::sample::select(ends),
        );
        proptest::collection::vec(line, 0..8).prop_map(|lines| {
            lines
                .iter()
                .map(|(line, end)| [*line, *end].concat())
                .collect()
        })
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_stream_is_cut(
            stream in stream(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(watch(true, &parts), watch(true, &[bytes]));
        }
    }
}
