//! From pack files to tables.
//!
//! Used twice: by `build.rs` for the built-in packs and by [`pack`](super::pack) for user packs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::format::{MatchDef, OneOrMany, PackFile, RuleDef, ToolDef};
use super::ruleset::{
    Candidate, Code, Entry, Flag, List, Matcher, Pack, Pattern, Rule, RuleSet, Text, Tool, hash,
    word_bit,
};

/// Names of the checks that rules may use; [`rules`](super::rules) implements them.
pub(crate) const CHECKS: &[&str] = &[
    "find_delete",
    "git_checkout_paths",
    "git_restore",
    "guard_file",
    "kept_target",
    "move_whole",
    "remote_copy_target",
];

/// Compiles packs; gives every problem at once.
///
/// `base` holds tools that are known already (for user packs: the built-in ones).
pub(crate) fn compile(files: &[PackFile], base: Option<&RuleSet>) -> Result<RuleSet, Vec<String>> {
    let mut problems = Vec::new();
    let mut packs: Vec<&PackFile> = files.iter().collect();
    packs.sort_by(|a, b| a.id.cmp(&b.id));
    for pair in packs.windows(2) {
        if pair[0].id == pair[1].id {
            problems.push(format!("two packs have the id `{}`", pair[0].id));
        }
    }
    let aliases = aliases(&packs);
    let mut build = Builder::default();
    for (index, pack) in packs.iter().enumerate() {
        build.packs.push(Pack {
            id: own(&pack.id),
            name: own(&pack.name),
            description: own(&pack.description),
        });
        let mut rules: Vec<&RuleDef> = pack.rules.iter().collect();
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        for rule in rules {
            build.rule(index as u16, pack, rule, &aliases, &mut problems);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(build.finish(&packs, base))
}

fn aliases(packs: &[&PackFile]) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for tool in packs.iter().flat_map(|p| &p.tools) {
        if let Some(first) = tool.names.as_slice().first() {
            let names = map.entry(first.clone()).or_default();
            for name in tool.names.as_slice() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
    }
    map
}

#[derive(Default)]
struct Builder {
    packs: Vec<Pack>,
    rules: Vec<Rule>,
    matchers: Vec<Matcher>,
    /// Matchers and the long options they name, by command word.
    words: BTreeMap<String, (Vec<Candidate>, Vec<String>)>,
}

impl Builder {
    fn rule(
        &mut self,
        pack: u16,
        file: &PackFile,
        def: &RuleDef,
        aliases: &BTreeMap<String, Vec<String>>,
        problems: &mut Vec<String>,
    ) {
        let id = format!("{}:{}", file.id, def.id);
        if def.deny.is_empty() || def.allow.is_empty() {
            problems.push(format!(
                "rule `{id}` needs at least one deny and one allow example"
            ));
        }
        if self.rules.iter().any(|r| r.id == id) {
            problems.push(format!("two rules have the id `{id}`"));
        }
        let index = self.rules.len() as u16;
        for matcher in def.matchers.as_slice() {
            if let Err(problem) = self.matcher(index, matcher, aliases) {
                problems.push(format!("rule `{id}`: {problem}"));
            }
        }
        self.rules.push(Rule {
            pack,
            id: Cow::Owned(id),
            severity: def.severity,
            decision: def.decision,
            reason: own(def.reason.trim()),
            suggestion: def.suggestion.as_deref().map(|s| own(s.trim())),
            deny: texts(&def.deny),
            allow: texts(&def.allow),
        });
    }

    fn matcher(
        &mut self,
        rule: u16,
        def: &MatchDef,
        aliases: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), String> {
        let index = self.matchers.len() as u16;
        let mut names: Vec<String> = Vec::new();
        for command in def.command.as_slice() {
            match aliases.get(command) {
                Some(all) => names.extend(all.iter().cloned()),
                None => names.push(command.clone()),
            }
        }
        if names.is_empty() {
            names.push(virtual_command(def)?.to_owned());
        }
        let matcher = matcher_of(rule, def)?;
        let long: Vec<String> = [&matcher.flags_any, &matcher.flags_all, &matcher.flags_none]
            .into_iter()
            .flat_map(|list| list.iter())
            .flat_map(|flag| flag.any.iter())
            .filter(|spelling| spelling.dashes == 2)
            .map(|spelling| spelling.name.clone().into_owned())
            .collect();
        let candidate = Candidate {
            first: first_words(def, &matcher),
            matcher: index,
        };
        self.matchers.push(matcher);
        names.sort();
        names.dedup();
        for name in names {
            let word = self.words.entry(name).or_default();
            word.0.push(candidate);
            word.1.extend(long.iter().cloned());
        }
        Ok(())
    }

    fn finish(mut self, packs: &[&PackFile], base: Option<&RuleSet>) -> RuleSet {
        let mut tools: BTreeMap<String, Vec<&ToolDef>> = BTreeMap::new();
        for tool in packs.iter().flat_map(|p| &p.tools) {
            for name in tool.names.as_slice() {
                tools.entry(name.clone()).or_default().push(tool);
                self.words.entry(name.clone()).or_default();
            }
        }
        let mut out_tools = Vec::new();
        let mut entries = Vec::new();
        for (name, (matchers, known)) in self.words {
            let defs = tools.get(&name).map(Vec::as_slice).unwrap_or_default();
            let inherited =
                base.and_then(|b| b.entry(name.as_str()).map(|e| &b.tools[e.tool as usize]));
            out_tools.push(tool_of(defs, known, inherited));
            entries.push(Entry {
                name: Cow::Owned(name),
                tool: out_tools.len() as u16 - 1,
                matchers: List::Owned(matchers),
            });
        }
        let prefixes = entries
            .iter()
            .enumerate()
            .filter_map(|(i, e)| Some((own(e.name.strip_suffix('*')?), i as u16)))
            .collect();
        RuleSet {
            hash: List::Owned(table(&entries)),
            packs: List::Owned(self.packs),
            rules: List::Owned(self.rules),
            matchers: List::Owned(self.matchers),
            tools: List::Owned(out_tools),
            entries: List::Owned(entries),
            prefixes: List::Owned(prefixes),
        }
    }
}

fn virtual_command(def: &MatchDef) -> Result<&'static str, String> {
    if def.http.is_some() {
        Ok("http:")
    } else if !def.call.as_slice().is_empty() {
        Ok("call:")
    } else if !def.redirect.as_slice().is_empty() {
        Ok("redirect:")
    } else if def.regex.is_some() {
        Ok("any:")
    } else {
        Err("`match` needs a `command` (or `http`, `call` or `redirect`)".to_owned())
    }
}

fn matcher_of(rule: u16, def: &MatchDef) -> Result<Matcher, String> {
    if let Some(check) = &def.check
        && !CHECKS.contains(&check.as_str())
    {
        return Err(format!("no check is called `{check}`"));
    }
    for option in def
        .flags
        .any
        .iter()
        .chain(&def.flags.all)
        .chain(&def.flags.none)
    {
        if option
            .split('|')
            .any(|o| o.len() < 2 || !o.starts_with(['-', '/']))
            && !option.contains('=')
        {
            return Err(format!(
                "`{option}` is not an option: it does not start with `-`"
            ));
        }
    }
    let http = def.http.clone().unwrap_or_default();
    let subcommand = def
        .subcommand
        .as_slice()
        .iter()
        .map(|path| List::Owned(path.split_whitespace().map(Pattern::new).collect()))
        .collect();
    Ok(Matcher {
        rule,
        subcommand: List::Owned(subcommand),
        flags_any: flags(&def.flags.any),
        flags_all: flags(&def.flags.all),
        flags_none: flags(&def.flags.none),
        args_any: patterns(&def.args.any),
        args_all: patterns(&def.args.all),
        args_none: patterns(&def.args.none),
        args_min: def.args.min.unwrap_or(0),
        args_max: def.args.max.unwrap_or(255),
        paths: bits(&def.paths, |c| c as u32),
        redirect: bits(&def.redirect, |c| c as u32),
        sql: bits(&def.sql, |c| c as u32),
        method: patterns(http.method.as_slice()),
        url: patterns(http.url.as_slice()),
        body: patterns(http.body.as_slice()),
        call: texts(def.call.as_slice()),
        stdin: patterns(def.stdin.as_slice()),
        check: own(def.check.as_deref().unwrap_or_default()),
        regex: own(def.regex.as_deref().unwrap_or_default()),
    })
}

/// The set of first words that may match; all if one of them is a pattern or none is asked for.
/// For a call, the words are the last parts of the names.
fn first_words(def: &MatchDef, matcher: &Matcher) -> u64 {
    if !def.call.as_slice().is_empty() {
        let last = |name: &str| {
            let last = name
                .trim_end_matches("()")
                .rsplit('.')
                .next()
                .unwrap_or(name);
            if last.contains('*') {
                u64::MAX
            } else {
                word_bit(last)
            }
        };
        let names = def.call.as_slice().iter().flat_map(|name| name.split('|'));
        return names.fold(0, |set, name| set | last(name));
    }
    let firsts = matcher.subcommand.iter().filter_map(|path| path.first());
    match firsts.fold(0, |set, first| set | first.bits) {
        0 => u64::MAX,
        set => set,
    }
}

fn tool_of(defs: &[&ToolDef], mut known: Vec<String>, inherited: Option<&Tool>) -> Tool {
    let mut tool = inherited.cloned().unwrap_or_default();
    let join = |list: &List<Text>, more: Vec<String>| {
        let mut all: Vec<Text> = list
            .iter()
            .cloned()
            .chain(more.into_iter().map(Cow::Owned))
            .collect();
        all.sort();
        all.dedup();
        List::Owned(all)
    };
    let every = |f: fn(&ToolDef) -> &Vec<String>| {
        defs.iter()
            .flat_map(|d| f(d).iter().cloned())
            .collect::<Vec<_>>()
    };
    tool.values = join(&tool.values, every(|d| &d.values));
    for value in tool.values.iter() {
        tool.value_bits |= word_bit(value.trim_start_matches('-'));
        if let [b'-', letter] = value.as_bytes() {
            tool.value_letters |= 1 << (letter & 127);
        }
    }
    let (inert, dry_run) = (every(|d| &d.inert), every(|d| &d.dry_run));
    known.extend(
        tool.values
            .iter()
            .map(|v| &**v)
            .chain(inert.iter().chain(&dry_run).map(String::as_str))
            .filter_map(|o| o.strip_prefix("--"))
            .map(|o| o.split('=').next().unwrap_or_default().to_owned()),
    );
    let options: Vec<&String> = inert.iter().filter(|o| o.starts_with('-')).collect();
    tool.inert = joined(&tool.inert, flags(&options));
    let words = inert.iter().filter(|o| !o.starts_with('-'));
    let (last, first): (Vec<&String>, Vec<&String>) = words.partition(|w| w.starts_with("* "));
    let last = last.into_iter().map(|w| w.replacen("* ", "", 1)).collect();
    tool.inert_first = join(&tool.inert_first, first.into_iter().cloned().collect());
    tool.inert_last = join(&tool.inert_last, last);
    tool.dry_run = joined(&tool.dry_run, flags(&dry_run));
    tool.known = join(&tool.known, known);
    tool.single_dash |= defs.iter().any(|d| d.single_dash);
    tool.help_first |= defs.iter().any(|d| d.help_first);
    tool.ignore_case |= defs.iter().any(|d| d.ignore_case);
    let mut code: Vec<Code> = tool.code.to_vec();
    code.extend(defs.iter().filter_map(|d| d.code.as_ref()).map(|c| Code {
        language: c.language,
        options: texts(&c.options),
        positional: c.positional.unwrap_or(0),
        stdin: c.stdin,
    }));
    tool.code = List::Owned(code);
    tool
}

fn table(entries: &[Entry]) -> Vec<u16> {
    let size = (entries.len() * 4).next_power_of_two().max(16);
    let mut table = vec![0u16; size];
    for (index, entry) in entries.iter().enumerate() {
        let mut slot = hash(&entry.name) as usize & (size - 1);
        while table[slot] != 0 {
            slot = (slot + 1) & (size - 1);
        }
        table[slot] = index as u16 + 1;
    }
    table
}

fn bits<T: Copy>(list: &OneOrMany<T>, bit: fn(T) -> u32) -> u32 {
    list.as_slice()
        .iter()
        .fold(0, |bits, &item| bits | 1 << bit(item))
}

fn joined<T: Clone>(list: &[T], more: List<T>) -> List<T> {
    List::Owned(list.iter().chain(more.iter()).cloned().collect())
}

fn patterns<S: AsRef<str>>(list: &[S]) -> List<Pattern> {
    List::Owned(list.iter().map(|p| Pattern::new(p.as_ref())).collect())
}

fn flags<S: AsRef<str>>(list: &[S]) -> List<Flag> {
    List::Owned(list.iter().map(|f| Flag::new(f.as_ref())).collect())
}

fn texts<S: AsRef<str>>(list: &[S]) -> List<Text> {
    List::Owned(list.iter().map(own).collect())
}

fn own(text: impl AsRef<str>) -> Text {
    Cow::Owned(text.as_ref().to_owned())
}
