//! What a command writes, as far as its words and its input tell.

use super::join;
use crate::guard::ruleset::Name;
use crate::guard::value::{Flow, Producer, TEMP_NAME, UNKNOWN, UNKNOWN_TEXT};
use crate::guard::walk::{Arg, Io, Origin, Walker};

impl Walker<'_> {
    /// Tools that only read and write text.
    pub(in crate::guard) fn text_tool(
        &mut self,
        name: Name<'_>,
        args: &[Arg<'_>],
        io: &Io<'_>,
    ) -> Flow {
        if name.text == "tee" {
            for arg in args[1..].iter().filter(|a| !a.text.starts_with('-')) {
                if !args.iter().any(|a| a.text == "-a" || a.text == "--append") {
                    self.truncates(arg.text, arg.span);
                }
                self.starts_later(arg.text, io.stdin, arg.span);
                if let Flow::Literal(text) = io.stdin {
                    self.state.files.push((arg.text.to_owned(), text.clone()));
                    // `tee >(bash)`
                    let spelled = self
                        .command
                        .get(arg.span.0 as usize..arg.span.1 as usize)
                        .unwrap_or_default();
                    if let Some(code) = spelled.strip_prefix(">(").and_then(|c| c.strip_suffix(')'))
                    {
                        self.nested(
                            code,
                            Origin::at(arg.span, None),
                            Flow::Literal(text.clone()),
                            false,
                        );
                    }
                }
            }
        }
        self.apply(name, args, io);
        if io.wanted {
            self.output(name.text, args, io)
        } else {
            Flow::Unknown(Producer::Other)
        }
    }

    /// What a command writes, as far as its words tell.
    pub(in crate::guard) fn output(&mut self, name: &str, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let words = &args[1..];
        match name {
            "echo" => {
                let skip = words
                    .iter()
                    .take_while(|a| matches!(a.text, "-n" | "-e" | "-E" | "-ne" | "-en"))
                    .count();
                let mut text = join(&words[skip..]);
                if words[..skip].iter().any(|a| a.text.contains('e')) {
                    text = crate::guard::expand::ansi(&text);
                }
                Flow::Literal(text + "\n")
            }
            "printf" => printf(words),
            "cat" | "tee" if words.iter().all(|a| a.text.starts_with('-')) || name == "tee" => {
                io.stdin.clone()
            }
            "cat" => match words {
                [file] => self.file(file.text),
                _ => Flow::Unknown(Producer::Other),
            },
            "base64" | "gbase64" | "base32" | "xxd" | "openssl" | "gunzip" | "zcat"
            | "uudecode" | "rev" | "tr" => decoded(name, words, io.stdin),
            // What goes through a filter is at most what goes in.
            "sort" | "uniq" | "head" | "tail" | "tac" | "grep" | "rg" if filters(name, words) => {
                io.stdin.clone()
            }
            "ls" if words.iter().any(|a| a.text.contains('*')) => {
                let files = words.iter().filter(|a| !a.text.starts_with('-'));
                Flow::Literal(files.map(|a| format!("{}\n", a.text)).collect())
            }
            "sed" | "gsed" => match replaced(words, io.stdin) {
                Some(text) => Flow::Literal(text),
                None => written(name, words),
            },
            "awk" | "gawk" | "mawk" => written(name, words),
            "jq" | "gojq" => strings(words, io.stdin),
            "cut" => cut(words, io.stdin),
            "command" if words.first().is_some_and(|a| a.text == "-v") => {
                self.output("which", words, io)
            }
            "pwd" => Flow::Literal(
                self.state
                    .directory(self.context)
                    .unwrap_or(UNKNOWN_TEXT)
                    .to_owned(),
            ),
            "which" => match words {
                [program] if !program.text.contains(['/', UNKNOWN]) => {
                    Flow::Literal(format!("/usr/bin/{}", program.text))
                }
                _ => Flow::Unknown(Producer::Other),
            },
            "mktemp" => Flow::Literal(TEMP_NAME.to_owned()),
            "git" if words.iter().any(|a| a.text == "--show-toplevel") => {
                Flow::Literal(self.context.cwd.clone())
            }
            "curl" | "wget" | "fetch" | "aria2c" | "nc" | "ncat" | "socat" | "http" | "https"
            | "xh" => Flow::Unknown(Producer::Network),
            "basename" | "realpath" | "readlink" | "dirname" => match words.last() {
                Some(last) if !last.text.contains(UNKNOWN) && name != "readlink" => {
                    let path = last.text.trim_end_matches('/');
                    let at = path.rfind('/');
                    Flow::Literal(match name {
                        "basename" => path[at.map_or(0, |a| a + 1)..].to_owned(),
                        "dirname" => at
                            .map_or(".", |a| if a == 0 { "/" } else { &path[..a] })
                            .to_owned(),
                        _ => last.text.to_owned(),
                    })
                }
                _ => Flow::Unknown(Producer::Other),
            },
            "true" | "false" | ":" | "test" | "[" | "sleep" | "set" | "cd" | "export" | "mkdir" => {
                Flow::Nothing
            }
            _ => Flow::Unknown(Producer::Other),
        }
    }
}

pub(super) fn printf(words: &[Arg<'_>]) -> Flow {
    let words = if words.first().is_some_and(|a| a.text == "--") {
        &words[1..]
    } else {
        words
    };
    let Some((format, values)) = words.split_first() else {
        return Flow::Nothing;
    };
    if format.text == "-v" {
        return Flow::Nothing;
    }
    let mut out = String::new();
    let mut values = values.iter();
    loop {
        let before = values.len();
        let mut rest = format.text;
        while let Some(at) = rest.find('%') {
            out.push_str(&crate::guard::expand::ansi(&rest[..at]));
            let spec = rest[at + 1..]
                .find(|c: char| c.is_ascii_alphabetic() || c == '%')
                .map_or(rest.len(), |n| at + 2 + n);
            if rest[at..spec].ends_with('%') {
                out.push('%');
            } else if let Some(value) = values.next() {
                out.push_str(value.text);
            }
            rest = &rest[spec..];
        }
        out.push_str(&crate::guard::expand::ansi(rest));
        if values.len() == 0 || values.len() == before {
            return Flow::Literal(out);
        }
    }
}

/// The output of a decoder.
fn decoded(name: &str, words: &[Arg<'_>], stdin: &Flow) -> Flow {
    let decodes = match name {
        "base64" | "gbase64" | "base32" => words
            .iter()
            .any(|a| matches!(a.text, "-d" | "-D" | "--decode" | "-di")),
        "xxd" => words.iter().any(|a| a.text.starts_with("-r")),
        "openssl" => words.iter().any(|a| a.text == "-d"),
        _ => true,
    };
    if !decodes {
        return Flow::Unknown(Producer::Other);
    }
    let Some(text) = stdin.literal() else {
        return Flow::Unknown(Producer::Decoder);
    };
    match name {
        "base64" | "gbase64" => {
            base64(text).map_or(Flow::Unknown(Producer::Decoder), Flow::Literal)
        }
        "xxd" => hex(text).map_or(Flow::Unknown(Producer::Decoder), Flow::Literal),
        "rev" => Flow::Literal(
            text.lines()
                .map(|l| l.chars().rev().collect::<String>() + "\n")
                .collect(),
        ),
        "tr" => match words {
            [from, to] => {
                let (from, to) = (set(from.text), set(to.text));
                Flow::Literal(text.chars().map(|c| translated(c, &from, &to)).collect())
            }
            _ => Flow::Unknown(Producer::Other),
        },
        _ => Flow::Unknown(Producer::Decoder),
    }
}

/// The characters of a set of `tr`, in order: `a-z` is a range.
fn set(text: &str) -> Vec<char> {
    let chars: Vec<char> = crate::guard::expand::ansi(text).chars().collect();
    let mut set = Vec::new();
    let mut i = 0;
    while let Some(&first) = chars.get(i) {
        match (chars.get(i + 1), chars.get(i + 2)) {
            (Some('-'), Some(&last)) if first.is_ascii() && last.is_ascii() => {
                set.extend(first..=last);
                i += 3;
            }
            _ => {
                set.push(first);
                i += 1;
            }
        }
    }
    set
}

/// What `tr` makes of a character: that at its place in the other set, or the last one there.
fn translated(c: char, from: &[char], to: &[char]) -> char {
    match from.iter().position(|one| *one == c) {
        Some(at) => to.get(at).or(to.last()).copied().unwrap_or(c),
        None => c,
    }
}

fn base64(text: &str) -> Option<String> {
    let mut bits = 0u32;
    let mut count = 0;
    let mut out = Vec::new();
    for byte in text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && *b != b'=')
    {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    String::from_utf8(out).ok()
}

fn hex(text: &str) -> Option<String> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let (pairs, _) = digits.as_chunks();
    let bytes = pairs.iter().map(|&[high, low]| {
        let [high, low] = [high, low].map(|digit| (digit as char).to_digit(16));
        Some((high? * 16 + low?) as u8)
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// Whether a command only passes on some lines of its input: no word of it is a file.
fn filters(name: &str, words: &[Arg<'_>]) -> bool {
    let files = words.iter().filter(|a| !a.text.starts_with('-')).count();
    let pattern = usize::from(matches!(name, "grep" | "rg"));
    let counts = words.iter().any(|a| {
        a.text.starts_with('-') && !a.text.starts_with("--") && a.text.contains(['c', 'n', 'q'])
    });
    // `head -n 5`, `tail -n +2`: the number is no file.
    let number = matches!(name, "head" | "tail")
        && words
            .iter()
            .any(|a| a.text.trim_start_matches('+').parse::<u32>().is_ok());
    files == pattern + usize::from(number) && (pattern == 0 || !counts)
}

/// What `sed s/this/that/` makes of known text, if `this` is no pattern.
fn replaced(words: &[Arg<'_>], stdin: &Flow) -> Option<String> {
    let [script] = words else { return None };
    let (this, that, flags) = substitution(script.text)?;
    let plain =
        |text: &str| !text.is_empty() && !text.contains(['\\', '*', '.', '[', '^', '$', '&']);
    (plain(this) && (that.is_empty() || plain(that)) && matches!(flags, Some("" | "g")))
        .then(|| stdin.literal().map(|text| text.replace(this, that)))?
}

/// What `jq` may take out of known JSON, or spell out itself: the texts in it.
fn strings(words: &[Arg<'_>], stdin: &Flow) -> Flow {
    let program = words.iter().find(|a| !a.text.starts_with('-'));
    let mut out = String::new();
    for source in [stdin.literal(), program.map(|a| a.text)]
        .into_iter()
        .flatten()
    {
        for text in source.split('"').skip(1).step_by(2) {
            out.push_str(text);
            out.push('\n');
        }
    }
    if out.is_empty() {
        Flow::Unknown(Producer::Other)
    } else {
        Flow::Literal(out)
    }
}

/// `cut -d: -f2` of known text.
fn cut(words: &[Arg<'_>], stdin: &Flow) -> Flow {
    let given = |option: &str| {
        words.iter().enumerate().find_map(|(at, word)| {
            let value = word.text.strip_prefix(option)?;
            if value.is_empty() {
                words.get(at + 1).map(|a| a.text)
            } else {
                Some(value)
            }
        })
    };
    let field = given("-f").and_then(|f| f.split([',', '-']).next()?.parse::<usize>().ok());
    let mark = given("-d").unwrap_or("\t");
    match (stdin.literal(), field) {
        (Some(text), Some(field @ 1..)) if !mark.is_empty() => Flow::Literal(
            text.lines()
                .map(|line| line.split(mark).nth(field - 1).unwrap_or(line).to_owned() + "\n")
                .collect(),
        ),
        _ => Flow::Unknown(Producer::Other),
    }
}

/// What `awk` and `sed` make of input that is not known: the parts that their program spells out.
fn written(name: &str, words: &[Arg<'_>]) -> Flow {
    let program = words.iter().find(|a| !a.text.starts_with('-'));
    let line = program.and_then(|program| {
        if name.ends_with("awk") {
            printed(program.text)
        } else {
            substituted(program.text)
        }
    });
    line.map_or(Flow::Unknown(Producer::Other), |line| {
        Flow::Literal(line + "\n")
    })
}

/// `{print "rm " $1}`: texts as they are, all else unknown. Nothing if there are no texts.
fn printed(program: &str) -> Option<String> {
    let after = &program[program.find("print")? + "print".len()..];
    let end = after.find([';', '}']).unwrap_or(after.len());
    let mut parts = after[..end].split('"');
    let mut line = String::new();
    let mut texts = 0;
    while let Some(between) = parts.next() {
        if between.bytes().any(|b| b.is_ascii_alphanumeric()) {
            line.push_str(UNKNOWN_TEXT);
        }
        if let Some(text) = parts.next() {
            texts += 1;
            line.push_str(text);
        }
    }
    (texts > 0).then_some(line)
}

/// The pattern, the replacement and the flags of `s/pattern/replacement/flags`. There are no flags if
/// the last mark is missing.
pub(super) fn substitution(script: &str) -> Option<(&str, &str, Option<&str>)> {
    let rest = script.strip_prefix('s')?;
    let mark = rest.chars().next()?;
    let mut parts = rest[mark.len_utf8()..].split(mark);
    Some((parts.next()?, parts.next()?, parts.next()))
}

/// `s/^/rm /`: the replacement, with the rest of the line where it stands.
fn substituted(script: &str) -> Option<String> {
    let (pattern, replacement, _) = substitution(script)
        .filter(|_| script[1..].starts_with(|mark: char| mark.is_ascii_punctuation()))?;
    if replacement.is_empty() || replacement.ends_with('\\') {
        return None;
    }
    let text = ["&", "\\1", "\\2"]
        .iter()
        .fold(replacement.to_owned(), |t, group| {
            t.replace(group, UNKNOWN_TEXT)
        });
    Some(match pattern {
        "^" => format!("{text}{UNKNOWN_TEXT}"),
        "$" => format!("{UNKNOWN_TEXT}{text}"),
        _ if pattern.contains(".*") => text,
        _ => return None,
    })
}
