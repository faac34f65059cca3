//! Server-sent events, as the WHATWG HTML standard has them, in bytes that may break off.

use std::borrow::Cow;

/// The names that a line of a stream begins with; a line that begins with a colon is a comment.
const FIELDS: [&[u8]; 5] = [b":", b"data:", b"event:", b"id:", b"retry:"];

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'t> {
    /// Whether it is named `error`.
    pub(crate) is_error: bool,
    /// Its data; lines of it are joined.
    pub(crate) data: Cow<'t, [u8]>,
}

/// The events of a text that is a stream of them, or the end of one. Other texts have none.
pub(crate) fn events(text: &[u8]) -> Events<'_> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = text.trim_ascii_start();
    let streams = FIELDS.iter().any(|field| text.starts_with(field));
    Events(if streams { text } else { b"" })
}

/// What is left of a stream.
pub(crate) struct Events<'t>(&'t [u8]);

impl<'t> Events<'t> {
    /// The next line; it ends with a line feed, a carriage return, or both.
    fn line(&mut self) -> Option<&'t [u8]> {
        let text = self.0;
        let end = memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len());
        let (line, rest) = text.split_at(end);
        let next = match rest {
            [] if line.is_empty() => return None,
            [] => rest,
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        };
        self.0 = next;
        Some(line)
    }
}

impl<'t> Iterator for Events<'t> {
    type Item = Event<'t>;

    /// An event without data is none. The last one counts even if no empty line ends it.
    fn next(&mut self) -> Option<Self::Item> {
        let mut is_error = false;
        let mut data: Option<Cow<'t, [u8]>> = None;
        while let Some(line) = self.line() {
            if line.is_empty() {
                if data.is_some() {
                    break;
                }
                is_error = false;
            } else if let Some(value) = value(line, b"event:") {
                is_error = value == b"error";
            } else if let Some(value) = value(line, b"data:") {
                match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        let data = data.to_mut();
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                }
            }
        }
        data.map(|data| Event { is_error, data })
    }
}

/// What a line says of a field: one blank after the colon is not part of it.
fn value<'l>(line: &'l [u8], field: &[u8]) -> Option<&'l [u8]> {
    let value = line.strip_prefix(field)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> Vec<String> {
        let data = events(text.as_bytes()).map(|event| event.data.into_owned());
        data.map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn lines_end_in_three_ways() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "data: a\ndata: b\n\ndata:c\n\n".replace('\n', end);
            assert_eq!(data(&text), ["a\nb", "c"], "{end:?}");
        }
    }

    #[test]
    fn a_stream_may_begin_with_any_field() {
        for first in [
            "",
            "\u{feff}",
            "\n\n",
            ": keep-alive\n\n",
            ":\n",
            "id: 7\n",
            "retry: 3000\n",
            "event: x\n\n",
        ] {
            let text = format!("{first}data: a\n\n");
            assert_eq!(data(&text), ["a"], "{first:?}");
        }
        for other in ["", "{\"data\": 1}", "<html>", "no data: here\ndata: a\n\n"] {
            assert_eq!(data(other), [""; 0], "{other:?}");
        }
    }

    #[test]
    fn a_name_is_that_of_its_own_event() {
        let text = "event: error\n\nevent: error\ndata: a\n\ndata: b\n\nevent: errors\ndata: c";
        let named: Vec<bool> = events(text.as_bytes())
            .map(|event| event.is_error)
            .collect();
        assert_eq!(named, [true, false, false]);
    }

    #[test]
    fn one_blank_after_the_colon_is_not_data() {
        assert_eq!(data("data:  a \ndata:\ndatas: b\n\n"), [" a \n"]);
    }
}
