//! Matching rules against one simple command.

use super::checks;
use super::format::{Action, ClassDef, Language, Level};
use super::glob;
use super::http::Request;
use super::options::Line;
use super::path;
use super::ruleset::{BARE, Matcher, Name, Rule, RuleSet, Tool, word_bit};
use super::run::certain;
use super::sql;
use super::value::Flow;
use super::walk::{Arg, Io, Origin, Walker};
use super::{BUILT_IN, Decision, Severity};

/// The set a rule is in: the built-in packs or those of the user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Set {
    BuiltIn,
    User,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finding {
    pub(crate) set: Set,
    pub(crate) rule: u16,
    pub(crate) decision: Decision,
    pub(crate) severity: Severity,
    pub(crate) span: (u32, u32),
    pub(crate) certain: bool,
}

impl Severity {
    pub(crate) fn of(level: Level) -> Self {
        match level {
            Level::Critical => Self::Critical,
            Level::High => Self::High,
            Level::Medium => Self::Medium,
            Level::Low => Self::Low,
        }
    }
}

/// What a rule decides when no policy says otherwise.
pub(crate) fn default_decision(rule: &Rule) -> Decision {
    match (rule.decision, rule.severity) {
        (Some(Action::Warn), _) | (None, Level::Low) => Decision::Warn,
        (Some(Action::Ask), _) | (None, Level::Medium) => Decision::Ask,
        (Some(Action::Deny), _) | (None, Level::Critical | Level::High) => Decision::Deny,
    }
}

impl<'g> Walker<'g> {
    fn set(&self, set: Set) -> &'g RuleSet {
        match set {
            Set::BuiltIn => &BUILT_IN,
            Set::User => self.guard.user_rules(),
        }
    }

    /// Applies the rules for a command word; also those for HTTP clients and for any command.
    pub(crate) fn apply<'n>(&mut self, name: impl Into<Name<'n>>, args: &[Arg<'_>], io: &Io<'_>) {
        let name = name.into();
        self.apply_set(Set::BuiltIn, name, args, io);
        if self.guard.has_user_rules() {
            self.apply_set(Set::User, name, args, io);
            self.apply_set(Set::User, "any:".into(), args, io);
        }
        if let Some(request) = Request::read(name.text, &args[1..], io.stdin) {
            self.http_rules(&request, args, io.span);
        }
        if sql::is_statement(args) {
            let text = super::run::join(args);
            let kinds = sql::kinds(&text);
            if kinds != 0 {
                self.sql_rules("sql", kinds, args, io);
            }
        }
    }

    fn apply_set(&mut self, which: Set, name: Name<'_>, args: &[Arg<'_>], io: &Io<'_>) {
        let set = self.set(which);
        let Some(entry) = set.entry(name) else { return };
        let tool = &set.tools[entry.tool as usize];
        let line = Line::read(&args[1..], tool);
        if line.inert() || line.dry_run() {
            self.step(io.span, || "it only prints or simulates".to_owned());
            return;
        }
        let kinds = if tool.code.is_empty() {
            0
        } else {
            self.tool_code(&line, tool, io)
        };
        self.work(entry.matchers.len());
        let first = line.first_words();
        let mut classes = None;
        for candidate in entry.matchers.iter() {
            if candidate.first != u64::MAX && candidate.first & first == 0 {
                continue;
            }
            let index = candidate.matcher;
            let matcher = &set.matchers[index as usize];
            if self.matches(which, index, matcher, &line, kinds, &mut classes, args, io) {
                self.report(which, matcher.rule, args, io.span);
            }
        }
    }

    pub(crate) fn sql_rules(&mut self, name: &str, kinds: u32, args: &[Arg<'_>], io: &Io<'_>) {
        for which in [Set::BuiltIn, Set::User] {
            let set = self.set(which);
            let Some(entry) = set.entry(name) else {
                continue;
            };
            for candidate in entry.matchers.iter() {
                let matcher = &set.matchers[candidate.matcher as usize];
                if matcher.sql & kinds != 0 {
                    self.report(which, matcher.rule, args, io.span);
                }
            }
        }
    }

    fn http_rules(&mut self, request: &Request<'_>, args: &[Arg<'_>], span: (u32, u32)) {
        for which in [Set::BuiltIn, Set::User] {
            let set = self.set(which);
            let Some(entry) = set.entry("http:") else {
                continue;
            };
            for candidate in entry.matchers.iter() {
                let matcher = &set.matchers[candidate.matcher as usize];
                if request.matches(matcher) {
                    self.report(which, matcher.rule, args, span);
                }
            }
        }
    }

    /// Applies the rules about calls in program text. `bare` is a call without arguments, or with
    /// an empty filter: a pattern with `()` at its end asks for that.
    pub(crate) fn call_rules(&mut self, callee: &str, bare: bool, span: (u32, u32)) {
        let last = word_bit(callee.rsplit('.').next().unwrap_or(callee));
        let called = |pattern: &str| match pattern.strip_suffix("()") {
            Some(name) => bare && glob::matches(name, callee, false),
            None => glob::matches(pattern, callee, false),
        };
        for which in [Set::BuiltIn, Set::User] {
            let set = self.set(which);
            let Some(entry) = set.entry("call:") else {
                continue;
            };
            for candidate in entry.matchers.iter().filter(|c| c.first & last != 0) {
                let matcher = &set.matchers[candidate.matcher as usize];
                if matcher.call.iter().any(|p| called(p)) {
                    self.report(which, matcher.rule, &[], span);
                }
            }
        }
    }

    /// Applies the rules about truncated files.
    pub(crate) fn redirect_rules(&mut self, class: u32, target: &str, span: (u32, u32)) {
        if checks::guard_file(target) {
            self.special("core.guard:policy-file", span, true);
        }
        if class == 0 {
            return;
        }
        for which in [Set::BuiltIn, Set::User] {
            let set = self.set(which);
            let Some(entry) = set.entry("redirect:") else {
                continue;
            };
            for candidate in entry.matchers.iter() {
                let matcher = &set.matchers[candidate.matcher as usize];
                let named =
                    matcher.args_any.is_empty() || glob::any(&matcher.args_any, target, false);
                if matcher.redirect & class != 0 && named {
                    self.report(which, matcher.rule, &[Arg { text: target, span }], span);
                }
            }
        }
    }

    /// Reports a rule that the analysis itself finds.
    pub(crate) fn special(&mut self, id: &str, span: (u32, u32), sure: bool) {
        if let Some(index) = BUILT_IN.rules.iter().position(|r| r.id == id) {
            let unknown = [Arg {
                text: if sure { "" } else { super::value::UNKNOWN_TEXT },
                span,
            }];
            self.report(Set::BuiltIn, index as u16, &unknown, span);
        }
    }

    fn report(&mut self, which: Set, rule: u16, args: &[Arg<'_>], span: (u32, u32)) {
        let decision = self.guard.decide(
            which,
            rule,
            args,
            self.context,
            self.state.directory(self.context),
        );
        let definition = &self.set(which).rules[rule as usize];
        self.step(span, || {
            format!("rule {}: {}", definition.id, decision.name())
        });
        if decision == Decision::Allow {
            return;
        }
        let found = Finding {
            set: which,
            rule,
            decision,
            severity: Severity::of(definition.severity),
            span,
            certain: args.iter().all(|a| certain(a.text)),
        };
        if let Some(all) = &mut self.all
            && all.len() < 10_000
        {
            all.push(found);
        }
        let worse = self
            .best
            .is_none_or(|best| (found.decision, found.severity) > (best.decision, best.severity));
        if worse {
            self.best = Some(found);
        }
    }

    #[expect(clippy::too_many_arguments)]
    fn matches(
        &mut self,
        which: Set,
        index: u16,
        m: &Matcher,
        line: &Line<'_>,
        kinds: u32,
        classes: &mut Option<(usize, u32)>,
        args: &[Arg<'_>],
        io: &Io<'_>,
    ) -> bool {
        let start = if m.subcommand.is_empty() {
            0
        } else {
            match m
                .subcommand
                .iter()
                .find_map(|path| line.subcommand(path, 0))
            {
                Some(start) => start,
                None => return false,
            }
        };
        if m.sql != 0 && m.sql & kinds == 0 {
            return false;
        }
        if !m.flags_all.iter().all(|f| line.has(f))
            || !m.flags_any.is_empty() && !m.flags_any.iter().any(|f| line.has(f))
            || m.flags_none.iter().any(|f| line.has(f))
        {
            return false;
        }
        let count = line.words.len().saturating_sub(start);
        if count < m.args_min as usize || m.args_max != 255 && count > m.args_max as usize {
            return false;
        }
        let fold = line.tool.ignore_case;
        if !m.args_any.is_empty()
            && !line
                .words_from(start)
                .any(|a| glob::any(&m.args_any, a.text, fold))
        {
            return false;
        }
        if !m
            .args_all
            .iter()
            .all(|p| line.words_from(start).any(|a| p.matches(a.text, fold)))
            || !m.args_none.is_empty()
                && line
                    .words_from(start)
                    .any(|a| glob::any(&m.args_none, a.text, fold))
        {
            return false;
        }
        if m.paths != 0 {
            // All matchers of a command ask for the classes of mostly the same words.
            let known = match *classes {
                Some((from, known)) if from == start => known,
                _ => {
                    self.work(count * 8);
                    // `/s` and `/q` are options of Windows.
                    let windows = m.flags_any.first().is_some_and(|f| f.initials == BARE);
                    let class = |a: &Arg<'_>| {
                        if windows && a.text.starts_with('/') && a.text.len() < 4 {
                            return 0;
                        }
                        path::classify(
                            a.text.strip_prefix("of=").unwrap_or(a.text),
                            &self.state,
                            self.context,
                            self.remote,
                        )
                    };
                    let mut known = line.words_from(start).fold(0, |all, a| all | class(a));
                    if known == path::bit(ClassDef::Regenerable) | path::bit(ClassDef::Project) {
                        let others = line.words_from(start).all(|a| {
                            class(a) == path::bit(ClassDef::Regenerable) || path::companion(a.text)
                        });
                        if others {
                            known = path::bit(ClassDef::Regenerable);
                        }
                    }
                    *classes = Some((start, known));
                    known
                }
            };
            if known & m.paths == 0 {
                return false;
            }
        }
        if !m.stdin.is_empty() {
            let Flow::Literal(text) = io.stdin else {
                return false;
            };
            if !text.lines().any(|l| glob::any(&m.stdin, l.trim(), true)) {
                return false;
            }
        }
        if !m.check.is_empty() && !checks::check(&m.check, self, line, start) {
            return false;
        }
        if !m.regex.is_empty() && which == Set::User {
            return self
                .guard
                .user_regex(index)
                .is_some_and(|r| r.is_match(&super::run::join(args)));
        }
        true
    }

    /// Reads the program text that a tool runs; gives the kinds of SQL statements in it.
    fn tool_code(&mut self, line: &Line<'_>, tool: &Tool, io: &Io<'_>) -> u32 {
        let mut kinds = 0;
        for code in tool.code.iter() {
            for option in line.options.iter() {
                let wanted = code.options.iter().any(|o| {
                    let name = o.trim_start_matches('-');
                    option.name == name
                        && (option.long == (o.len() - name.len() == 2) || tool.single_dash)
                });
                if wanted
                    && let Some(text) = option
                        .value
                        .or_else(|| line.args.get(option.index as usize + 1).map(|a| a.text))
                {
                    let span = line.args[option.index as usize].span;
                    kinds |= self.program(code.language, text, span, io);
                }
            }
            if code.positional > 0 {
                for arg in line.words_from(code.positional as usize - 1) {
                    kinds |= self.program(code.language, arg.text, arg.span, io);
                }
            }
            if code.stdin {
                match io.stdin {
                    Flow::Literal(text) => {
                        kinds |= self.program(
                            code.language,
                            &text.clone(),
                            io.input_span.unwrap_or(io.span),
                            io,
                        )
                    }
                    Flow::Unknown(_) | Flow::Nothing => {}
                }
            }
        }
        kinds
    }

    fn program(&mut self, language: Language, text: &str, span: (u32, u32), _io: &Io<'_>) -> u32 {
        self.work(text.len());
        if language != Language::Sql {
            let origin = self.origin_of(span, text);
            self.language(language, text, origin, span);
            return 0;
        }
        for code in sql::programs(text) {
            self.nested(code, Origin::at(span, None), Flow::Nothing, false);
        }
        for line in text.lines() {
            let line = line.trim_start();
            for escape in ["\\! ", "\\!", ".shell ", ".system ", "system ", "!"] {
                if let Some(code) = line.strip_prefix(escape) {
                    self.nested(
                        code.trim_end_matches(';'),
                        Origin::at(span, None),
                        Flow::Nothing,
                        false,
                    );
                    break;
                }
            }
        }
        let executed = sql::executed(text).fold(0, |all, code| all | sql::kinds(code));
        executed | sql::kinds(&sql::statements(text))
    }
}
