//! Interpreters of other languages: code in options, on standard input, in scripts.

use super::base_name;
use crate::guard::code;
use crate::guard::format::Language;
use crate::guard::value::{Flow, Producer, UNKNOWN};
use crate::guard::walk::{Arg, Io, Origin, Walker};

impl Walker<'_> {
    /// An interpreter of another language: `-c CODE`, `-e CODE`, standard input, a script.
    pub(crate) fn interpreter(
        &mut self,
        language: Language,
        name: &str,
        args: &[Arg<'_>],
        io: &Io<'_>,
    ) -> Flow {
        let (letters, values): (&str, &[&str]) = match language {
            Language::Python => ("c", &["-W", "-X", "-Q"]),
            Language::Javascript => ("ep", &["-r", "--require", "--import", "--loader", "-C"]),
            Language::Ruby => ("e", &["-I", "-r", "-C"]),
            Language::Perl => ("eE", &["-I", "-M", "-m"]),
            Language::Php => ("rBRE", &["-d", "-c", "-f", "-z"]),
            Language::Awk => (
                "",
                &[
                    "-F",
                    "-v",
                    "-f",
                    "-i",
                    "-l",
                    "--include",
                    "--assign",
                    "--field-separator",
                ],
            ),
            _ => ("e", &["-l"]),
        };
        let mut i = 1;
        let mut any = false;
        while let Some(arg) = args.get(i) {
            let text = arg.text;
            if text == "--" || text == "-" || !text.starts_with('-') {
                break;
            }
            let next = args.get(i + 1);
            if text == "-m" && language == Language::Python {
                break;
            }
            if let Some(long) = text.strip_prefix("--") {
                let (name, value) = long
                    .split_once('=')
                    .map_or((long, None), |(n, v)| (n, Some(v)));
                if matches!(
                    name,
                    "eval" | "print" | "run" | "execute" | "source" | "command"
                ) {
                    match (value, next) {
                        (Some(_), _) => self.code_of(language, arg, name.len() + 3),
                        (None, Some(next)) => {
                            self.code_of(language, next, 0);
                            i += 1;
                        }
                        _ => {}
                    }
                    any = true;
                } else if value.is_none() && values.contains(&text) {
                    i += 1;
                }
            } else if values.contains(&text) {
                i += 1;
            } else if let Some(at) = text[1..].find(|c| letters.contains(c)).filter(|&at| {
                text[1..1 + at].chars().all(|c| c.is_ascii_alphanumeric())
                    && !values.iter().any(|v| text.starts_with(v))
            }) {
                any = true;
                if text.len() > at + 2 {
                    self.code_of(language, arg, at + 2);
                } else if let Some(next) = next {
                    self.code_of(language, next, 0);
                    i += 1;
                }
                if language == Language::Python {
                    break;
                }
            }
            i += 1;
        }
        let rest = args.get(i..).unwrap_or_default();
        if rest
            .get(1)
            .is_some_and(|module| rest[0].text == "-m" && module.text == "timeit")
        {
            for word in rest[2..].iter().filter(|a| !a.text.starts_with('-')) {
                self.code_of(language, word, 0);
            }
        }
        match rest.first() {
            Some(program)
                if language == Language::Awk && !args[1..i].iter().any(|a| a.text == "-f") =>
            {
                self.code_of(language, program, 0);
            }
            Some(verb) if name == "go" => {
                if let Some(file) = rest.get(1).filter(|_| verb.text == "run") {
                    match self.file(file.text) {
                        Flow::Literal(code) => {
                            self.language(language, &code, Origin::at(file.span, None), file.span)
                        }
                        _ if matches!(file.text, "-" | "/dev/stdin") => {
                            self.stdin_language(language, io)
                        }
                        _ => {}
                    }
                }
            }
            // deno eval CODE, bun run FILE
            Some(verb)
                if language == Language::Javascript && verb.text == "eval" && name == "deno" =>
            {
                if let Some(code) = rest.get(1) {
                    self.code_of(language, code, 0);
                }
            }
            Some(file) if !any && !matches!(file.text, "-" | "/dev/stdin") => {
                // Django's shells read code and SQL.
                match (base_name(file.text), rest.get(1).map(|verb| verb.text)) {
                    ("manage.py", Some("shell" | "shell_plus")) => {
                        self.stdin_language(Language::Python, io)
                    }
                    ("manage.py", Some("dbshell")) => self.stdin_language(Language::Sql, io),
                    _ => {}
                }
                self.downloaded(file);
                if let Flow::Literal(code) = self.file(file.text) {
                    self.language(language, &code, Origin::at(file.span, None), file.span);
                }
                if !matches!(name, "bun" | "deno" | "go") {
                    let module = usize::from(file.text == "-m");
                    self.named_script(&rest[module..], io);
                }
            }
            _ if !any && language != Language::Awk => self.stdin_language(language, io),
            _ => {}
        }
        self.apply(name, args, io);
        if io.wanted
            && let Some(text) = args[1..]
                .iter()
                .find_map(|a| code::printed(language, a.text))
        {
            Flow::Literal(text)
        } else if io.wanted {
            self.output(name, args, io)
        } else {
            Flow::Nothing
        }
    }

    /// Program text on standard input.
    pub(crate) fn stdin_language(&mut self, language: Language, io: &Io<'_>) {
        match io.stdin {
            Flow::Literal(code) => {
                let span = io.input_span.unwrap_or(io.span);
                let origin = if io.input_span.is_some() {
                    self.origin_of(span, code)
                } else {
                    Origin::at(span, None)
                };
                self.language(language, &code.clone(), origin, span);
            }
            Flow::Unknown(Producer::Network) => {
                self.special("core.shell:remote-code", io.span, false)
            }
            Flow::Unknown(Producer::Decoder) => {
                self.special("core.shell:decoded-code", io.span, false)
            }
            _ => {}
        }
    }

    /// Program text in a word, from an offset on.
    pub(in crate::guard) fn code_of(&mut self, language: Language, arg: &Arg<'_>, offset: usize) {
        let code = arg.text.get(offset..).unwrap_or_default();
        if code.contains(UNKNOWN) {
            self.hidden_code(arg.span);
        }
        let origin = self.origin_of(arg.span, code);
        if let (Language::Python, Some(code)) = (language, code.strip_prefix('!')) {
            // IPython runs such a line as a shell does.
            self.nested(code, origin, Flow::Nothing, false);
        }
        self.language(language, code, origin, arg.span);
    }
}
