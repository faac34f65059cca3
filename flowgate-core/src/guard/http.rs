//! The request that a command-line HTTP client makes.

use super::glob;
use super::ruleset::Matcher;
use super::value::Flow;
use super::walk::Arg;

/// A request, as far as the words tell.
#[derive(Debug)]
pub(crate) struct Request<'t> {
    method: &'t str,
    /// Host and path of each address.
    addresses: Vec<String>,
    body: String,
}

impl<'t> Request<'t> {
    /// Reads the words after the name of an HTTP client; `None` if it is none.
    pub(crate) fn read(name: &str, args: &[Arg<'t>], stdin: &Flow) -> Option<Self> {
        match name.as_bytes() {
            b"curl" | b"wget" | b"curlie" => Some(Self::curl(args, stdin)),
            b"http" | b"https" | b"xh" | b"xhs" | b"httpie" => Some(Self::httpie(args, stdin)),
            _ if ["invoke-restmethod", "invoke-webrequest", "irm", "iwr"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n)) =>
            {
                Some(Self::powershell(args))
            }
            _ => None,
        }
    }

    fn powershell(args: &[Arg<'t>]) -> Self {
        let mut request = Self {
            method: "GET",
            addresses: Vec::new(),
            body: String::new(),
        };
        let mut words = args.iter().map(|a| a.text);
        while let Some(word) = words.next() {
            let option = word.to_ascii_lowercase();
            match option.as_str() {
                "-method" | "-custommethod" => request.method = words.next().unwrap_or_default(),
                "-body" => request.body.push_str(words.next().unwrap_or_default()),
                "-uri" => request.addresses.extend(words.next().map(address)),
                "-headers" | "-contenttype" | "-credential" | "-token" | "-outfile"
                | "-timeoutsec" | "-authentication" | "-proxy" => drop(words.next()),
                _ if option.starts_with('-') => {}
                _ => request.addresses.push(address(word)),
            }
        }
        request
    }

    fn curl(args: &[Arg<'t>], stdin: &Flow) -> Self {
        let mut request = Self {
            method: "",
            addresses: Vec::new(),
            body: String::new(),
        };
        let mut data = false;
        let mut i = 0;
        while let Some(arg) = args.get(i) {
            let text = arg.text;
            let next = args.get(i + 1).map_or("", |a| a.text);
            i += 1;
            let (option, joined) = match text.split_once('=') {
                Some((option, value)) if text.starts_with("--") => (option, Some(value)),
                _ => (text, None),
            };
            match option {
                "-X" | "--request" | "--method" => {
                    request.method = joined.unwrap_or_else(|| take(&mut i, next))
                }
                "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-ascii"
                | "--data-urlencode" | "--json" | "--post-data" | "--body-data" | "-F"
                | "--form" => {
                    data = true;
                    let value = joined.unwrap_or_else(|| take(&mut i, next));
                    request.body.push_str(if value == "@-" {
                        stdin.literal().unwrap_or_default()
                    } else {
                        value
                    });
                }
                "--url" => request
                    .addresses
                    .push(address(joined.unwrap_or_else(|| take(&mut i, next)))),
                "-H" | "--header" | "-u" | "--user" | "-o" | "--output" | "-A" | "--user-agent"
                | "-b" | "--cookie" | "-c" | "--cookie-jar" | "-e" | "--referer" | "-x"
                | "--proxy" | "-m" | "--max-time" | "--connect-timeout" | "-w" | "--write-out"
                | "-T" | "--upload-file" | "--cacert" | "--cert" | "-E" | "--key" | "--retry"
                | "--resolve" | "-K" | "--config" | "-r" | "--range" | "-O"
                    if option != "-O" =>
                {
                    if joined.is_none() {
                        i += 1;
                    }
                }
                _ if text.starts_with("-X") && text.len() > 2 => request.method = &text[2..],
                _ if text.starts_with("-d") && text.len() > 2 => {
                    data = true;
                    request.body.push_str(&text[2..]);
                }
                // A cluster of letters of which the last is the method: `-sX DELETE`.
                _ if text.starts_with('-') && !text.starts_with("--") && text.ends_with('X') => {
                    request.method = take(&mut i, next)
                }
                _ if text.starts_with('-') && text.len() > 1 => {}
                _ => request.addresses.push(address(text)),
            }
        }
        if request.method.is_empty() {
            request.method = if data { "POST" } else { "GET" };
        }
        request
    }

    fn httpie(args: &[Arg<'t>], stdin: &Flow) -> Self {
        let mut request = Self {
            method: "",
            addresses: Vec::new(),
            body: stdin.literal().unwrap_or_default().to_owned(),
        };
        let mut words = args.iter();
        while let Some(arg) = words.next() {
            let text = arg.text;
            if text.starts_with('-') {
                if matches!(
                    text,
                    "-a" | "--auth"
                        | "-A"
                        | "--auth-type"
                        | "-o"
                        | "--output"
                        | "-p"
                        | "--print"
                        | "-P"
                        | "--history-print"
                        | "-s"
                        | "--style"
                        | "--session"
                        | "--session-read-only"
                        | "--timeout"
                        | "--verify"
                        | "--proxy"
                        | "--cert"
                        | "--cert-key"
                        | "--ssl"
                        | "--pretty"
                        | "--max-redirects"
                        | "--boundary"
                        | "--bearer"
                        | "--raw"
                ) {
                    let value = words.next().map_or("", |a| a.text);
                    if text == "--raw" {
                        request.body.push_str(value);
                    }
                } else if let Some(body) = text.strip_prefix("--raw=") {
                    request.body.push_str(body);
                }
                continue;
            }
            if request.addresses.is_empty()
                && request.method.is_empty()
                && !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphabetic())
                && text.len() <= 7
            {
                request.method = text;
            } else if request.addresses.is_empty() {
                request.addresses.push(address(text));
            } else {
                request.body.push_str(text);
                request.body.push('\n');
            }
        }
        if request.method.is_empty() {
            request.method = if request.body.is_empty() {
                "GET"
            } else {
                "POST"
            };
        }
        request
    }

    /// Whether the request is of the kind a matcher asks for.
    pub(crate) fn matches(&self, matcher: &Matcher) -> bool {
        (matcher.method.is_empty() || glob::any(&matcher.method, self.method, true))
            && (matcher.url.is_empty()
                || self
                    .addresses
                    .iter()
                    .any(|a| glob::any(&matcher.url, a, false)))
            && (matcher.body.is_empty() || glob::any(&matcher.body, &self.body, true))
    }
}

fn take<'t>(i: &mut usize, next: &'t str) -> &'t str {
    *i += 1;
    next
}

/// `host[:port]/path` of an address.
fn address(text: &str) -> String {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    let local = if host.starts_with(':') || host.is_empty() {
        "localhost"
    } else {
        ""
    };
    let host = if host == ":" { "" } else { host };
    format!(
        "{local}{host}{}",
        if path.len() > 1 {
            path.trim_end_matches('/')
        } else {
            path
        }
    )
}
