//! Turns `packs/*.yaml` and `wrappers.yaml` into static tables in `$OUT_DIR`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::{env, fs, path::Path, process};

#[allow(dead_code, unreachable_pub)]
#[path = "src/guard/compile.rs"]
mod compile;
#[allow(dead_code, unreachable_pub)]
#[path = "src/guard/format.rs"]
mod format;
#[allow(dead_code, unreachable_pub)]
#[path = "src/guard/ruleset.rs"]
mod ruleset;
#[path = "build/wrappers.rs"]
mod wrappers;

use ruleset::{Code, Flag, List, Matcher, Pattern, RuleSet, Text, Tool};

fn main() {
    println!("cargo::rerun-if-changed=packs");
    println!("cargo::rerun-if-changed=wrappers.yaml");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/guard/compile.rs");
    println!("cargo::rerun-if-changed=src/guard/format.rs");
    println!("cargo::rerun-if-changed=src/guard/ruleset.rs");
    let mut paths: Vec<_> = fs::read_dir("packs")
        .expect("the packs directory is readable")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    paths.sort();
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a pack file is readable");
        match serde_yaml::from_str::<format::PackFile>(&text) {
            Ok(file) => {
                if path.file_stem().is_none_or(|stem| stem != file.id.as_str()) {
                    problems.push(format!(
                        "{}: the file is not called `{}.yaml`",
                        path.display(),
                        file.id
                    ));
                }
                files.push(file);
            }
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
    }
    let text = fs::read_to_string("wrappers.yaml").expect("wrappers.yaml is readable");
    let table = wrappers::print(&text).unwrap_or_else(|problem| {
        problems.push(problem);
        String::new()
    });
    let set = match compile::compile(&files, None) {
        Ok(set) if problems.is_empty() => set,
        Ok(_) => stop(&problems),
        Err(more) => {
            problems.extend(more);
            stop(&problems)
        }
    };
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let write = |name: &str, code: String| {
        fs::write(Path::new(&out).join(name), code).expect("OUT_DIR is writable");
    };
    write("packs.rs", Printer::default().print(&set));
    write("wrappers.rs", table);
}

fn stop(problems: &[String]) -> ! {
    for problem in problems {
        println!("cargo::error={}", problem.replace('\n', " "));
    }
    process::exit(1);
}

/// Prints tables as Rust statics; equal lists share one.
#[derive(Default)]
struct Printer {
    statics: String,
    /// The name of each list, by what it holds.
    names: HashMap<String, String>,
}

impl Printer {
    fn print(mut self, set: &RuleSet) -> String {
        let packs = self.list("Pack", &set.packs, |_, p| {
            format!(
                "Pack {{ id: {}, name: {}, description: {} }}",
                text(&p.id),
                text(&p.name),
                text(&p.description)
            )
        });
        let rules = self.list("Rule", &set.rules, |s, r| {
            let suggestion = r.suggestion.as_ref().map_or("None".to_owned(), |t| format!("Some({})", text(t)));
            let decision = r.decision.map_or("None".to_owned(), |d| format!("Some(Action::{d:?})"));
            format!(
                "Rule {{ pack: {}, id: {}, severity: Level::{:?}, decision: {decision}, reason: {}, suggestion: {suggestion}, deny: {}, allow: {} }}",
                r.pack, text(&r.id), r.severity, text(&r.reason), s.texts(&r.deny), s.texts(&r.allow)
            )
        });
        let matchers = self.list("Matcher", &set.matchers, Self::matcher);
        let tools = self.list("Tool", &set.tools, Self::tool);
        let entries = self.list("Entry", &set.entries, |s, e| {
            format!(
                "Entry {{ name: {}, tool: {}, matchers: {} }}",
                text(&e.name),
                e.tool,
                s.list("Candidate", &e.matchers, |_, c| {
                    format!("Candidate {{ first: {}, matcher: {} }}", c.first, c.matcher)
                })
            )
        });
        let hash = self.list("u16", &set.hash, |_, n| n.to_string());
        let prefixes = self.list("(Text, u16)", &set.prefixes, |_, (prefix, entry)| {
            format!("({}, {entry})", text(prefix))
        });
        let mut out = self.statics;
        writeln!(out, "pub(crate) static BUILT_IN: RuleSet = RuleSet {{ packs: {packs}, rules: {rules}, matchers: {matchers}, tools: {tools}, entries: {entries}, hash: {hash}, prefixes: {prefixes} }};").expect("writing to a string");
        out
    }

    fn matcher(&mut self, m: &Matcher) -> String {
        let subcommand = self.list("List<Pattern>", &m.subcommand, |s, path| s.patterns(path));
        let flags: Vec<String> = [
            ("flags_any", &m.flags_any),
            ("flags_all", &m.flags_all),
            ("flags_none", &m.flags_none),
        ]
        .into_iter()
        .map(|(name, list)| format!("{name}: {}", self.flags(list)))
        .collect();
        let patterns: Vec<String> = [
            ("args_any", &m.args_any),
            ("args_all", &m.args_all),
            ("args_none", &m.args_none),
            ("method", &m.method),
            ("url", &m.url),
            ("body", &m.body),
            ("stdin", &m.stdin),
        ]
        .into_iter()
        .map(|(name, list)| format!("{name}: {}", self.patterns(list)))
        .collect();
        format!(
            "Matcher {{ rule: {}, subcommand: {subcommand}, {}, {}, call: {}, args_min: {}, args_max: {}, paths: {}, redirect: {}, sql: {}, check: {}, regex: {} }}",
            m.rule,
            flags.join(", "),
            patterns.join(", "),
            self.texts(&m.call),
            m.args_min,
            m.args_max,
            m.paths,
            m.redirect,
            m.sql,
            text(&m.check),
            text(&m.regex)
        )
    }

    fn tool(&mut self, t: &Tool) -> String {
        let code = self.list("Code", &t.code, |s, c: &Code| {
            format!(
                "Code {{ language: Language::{:?}, options: {}, positional: {}, stdin: {} }}",
                c.language,
                s.texts(&c.options),
                c.positional,
                c.stdin
            )
        });
        format!(
            "Tool {{ values: {}, value_letters: {}, value_bits: {}, inert: {}, inert_first: {}, inert_last: {}, dry_run: {}, known: {}, single_dash: {}, help_first: {}, ignore_case: {}, code: {code} }}",
            self.texts(&t.values),
            t.value_letters,
            t.value_bits,
            self.flags(&t.inert),
            self.texts(&t.inert_first),
            self.texts(&t.inert_last),
            self.flags(&t.dry_run),
            self.texts(&t.known),
            t.single_dash,
            t.help_first,
            t.ignore_case
        )
    }

    fn flags(&mut self, list: &List<Flag>) -> String {
        self.list("Flag", list, |s, flag| {
            let any = s.list("Spelling", &flag.any, |_, one| {
                let value = one.value.as_ref().map(|v| text(v));
                format!(
                    "Spelling {{ dashes: {}, name: {}, value: {} }}",
                    one.dashes,
                    text(&one.name),
                    value.map_or("None".to_owned(), |v| format!("Some({v})"))
                )
            });
            format!("Flag {{ any: {any}, initials: {} }}", flag.initials)
        })
    }

    fn patterns(&mut self, list: &List<Pattern>) -> String {
        self.list("Pattern", list, |s, pattern| {
            format!(
                "Pattern {{ any: {}, bits: {}, least: {} }}",
                s.texts(&pattern.any),
                pattern.bits,
                pattern.least
            )
        })
    }

    fn texts(&mut self, list: &List<Text>) -> String {
        self.list("Text", list, |_, t| text(t))
    }

    fn list<T>(
        &mut self,
        kind: &str,
        list: &List<T>,
        item: impl Fn(&mut Self, &T) -> String,
    ) -> String {
        if list.is_empty() {
            return "List::Static(&[])".to_owned();
        }
        let items: Vec<String> = list.iter().map(|t| item(self, t)).collect();
        let value = format!("[{kind}; {}] = [{}]", items.len(), items.join(", "));
        let next = self.names.len();
        let name = self.names.entry(value).or_insert_with_key(|value| {
            let name = format!("L{next}");
            writeln!(self.statics, "static {name}: {value};").expect("writing to a string");
            name
        });
        format!("List::Static(&{name})")
    }
}

fn text(text: &str) -> String {
    format!("Text::Borrowed({text:?})")
}
