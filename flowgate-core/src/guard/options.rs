//! The words of a command line: options with their values, and the words that are neither.

use smallvec::SmallVec;

use super::glob;
use super::ruleset::{BARE, Flag, Pattern, Spelling, Text, Tool, initial, word_bit};
use super::walk::Arg;

/// How many words are looked at for a subcommand.
const NEAR: usize = 64;

/// An option as it was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opt<'t> {
    /// Without dashes.
    pub(crate) name: &'t str,
    /// Two dashes (or one, for tools with `-long` options).
    pub(crate) long: bool,
    pub(crate) value: Option<&'t str>,
    /// Index among the words of the line.
    pub(crate) index: u32,
}

/// A word that is not an option.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Positional {
    pub(crate) index: u32,
    /// Its [`word_bit`].
    bit: u64,
    /// It follows an option that may take a value.
    maybe_value: bool,
}

/// A command line, read.
#[derive(Debug)]
pub(crate) struct Line<'t> {
    pub(crate) args: &'t [Arg<'t>],
    pub(crate) tool: &'t Tool,
    pub(crate) options: SmallVec<[Opt<'t>; 8]>,
    /// How the options begin, as a set of [`initial`]s.
    initials: u64,
    pub(crate) words: SmallVec<[Positional; 12]>,
    /// How many positional words stand before `--`; all if there is none.
    pub(crate) before_dashes: usize,
}

impl<'t> Line<'t> {
    /// Reads the words after the command word.
    pub(crate) fn read(args: &'t [Arg<'t>], tool: &'t Tool) -> Self {
        let mut line = Self {
            args,
            tool,
            options: SmallVec::new(),
            initials: BARE,
            words: SmallVec::new(),
            before_dashes: usize::MAX,
        };
        let mut i = 0;
        let mut maybe_value = false;
        while let Some(arg) = args.get(i) {
            let index = i as u32;
            let text = arg.text;
            let was_option = std::mem::take(&mut maybe_value);
            i += 1;
            if line.before_dashes != usize::MAX || !text.starts_with('-') || text.len() == 1 {
                line.words.push(Positional {
                    index,
                    bit: word_bit(text),
                    maybe_value: was_option,
                });
            } else if text == "--" {
                line.before_dashes = line.words.len();
            } else if let Some(long) = text.strip_prefix("--") {
                i += line.long(text, long, index, args.get(i), &mut maybe_value);
            } else if tool.single_dash {
                i += line.long(text, &text[1..], index, args.get(i), &mut maybe_value);
            } else {
                i += line.cluster(&text[1..], index, args.get(i), &mut maybe_value);
            }
        }
        line
    }

    fn option(&mut self, option: Opt<'t>) {
        self.initials |= initial(option.name);
        self.options.push(option);
    }

    fn long(
        &mut self,
        text: &'t str,
        long: &'t str,
        index: u32,
        next: Option<&Arg<'t>>,
        maybe_value: &mut bool,
    ) -> usize {
        if let Some((name, value)) = long.split_once('=') {
            self.option(Opt {
                name,
                long: true,
                value: Some(value),
                index,
            });
            return 0;
        }
        let takes = takes_value(self.tool, text) && next.is_some();
        let value = if takes { next.map(|a| a.text) } else { None };
        self.option(Opt {
            name: long,
            long: true,
            value,
            index,
        });
        *maybe_value = !takes;
        usize::from(takes)
    }

    fn cluster(
        &mut self,
        letters: &'t str,
        index: u32,
        next: Option<&Arg<'t>>,
        maybe_value: &mut bool,
    ) -> usize {
        for (at, letter) in letters.char_indices() {
            let end = at + letter.len_utf8();
            let name = &letters[at..end];
            if takes_short(self.tool, name) {
                let rest = &letters[end..];
                let rest = rest.strip_prefix('=').unwrap_or(rest);
                let value = if rest.is_empty() {
                    next.map(|a| a.text)
                } else {
                    Some(rest)
                };
                self.option(Opt {
                    name,
                    long: false,
                    value,
                    index,
                });
                return usize::from(rest.is_empty() && next.is_some());
            }
            self.option(Opt {
                name,
                long: false,
                value: None,
                index,
            });
        }
        *maybe_value = true;
        0
    }

    /// The positional words from one on.
    pub(crate) fn words_from(&self, at: usize) -> impl Iterator<Item = &'t Arg<'t>> + '_ {
        self.words
            .iter()
            .skip(at)
            .map(|w| &self.args[w.index as usize])
    }

    /// The words that may begin the subcommand, as a set of [`word_bit`]s.
    pub(crate) fn first_words(&self) -> u64 {
        let mut set = 0;
        for word in self.words.iter().take(NEAR) {
            set |= word.bit;
            if !word.maybe_value {
                break;
            }
        }
        set
    }

    /// Matches the first positional words from one on; gives the index of the one after them. A
    /// word that may be the value of an option may be passed over.
    pub(crate) fn subcommand(&self, path: &[Pattern], at: usize) -> Option<usize> {
        // Bit `n`: the first `n` words of the path stand before this word.
        let mut reached = 1u32;
        let done = 1u32 << path.len().min(31);
        for (index, word) in self.words.iter().enumerate().skip(at).take(NEAR) {
            if reached & done != 0 {
                return Some(index);
            }
            let text = self.args[word.index as usize].text;
            let fold = self.tool.ignore_case;
            let mut next = if word.maybe_value { reached } else { 0 };
            for (n, pattern) in path.iter().enumerate() {
                if reached & (1 << n) != 0 && pattern.matches_word(text, word.bit, fold) {
                    next |= 1 << (n + 1);
                }
            }
            reached = next;
            if reached == 0 {
                return None;
            }
        }
        (reached & done != 0).then(|| self.words.len().min(at + NEAR))
    }

    /// Whether an option is there.
    pub(crate) fn has(&self, flag: &Flag) -> bool {
        flag.initials & self.initials != 0 && flag.any.iter().any(|one| self.find(one).is_some())
    }

    /// Whether one of these options is there, written with their dashes.
    pub(crate) fn has_any(&self, spelled: &[&str]) -> bool {
        spelled.iter().any(|one| {
            let name = one.trim_start_matches('-');
            self.named(one.len() - name.len(), name, None).is_some()
        })
    }

    fn find(&self, one: &Spelling) -> Option<&Opt<'t>> {
        if one.dashes == 0 {
            return self.bare(&one.name);
        }
        self.named(usize::from(one.dashes), &one.name, one.value.as_deref())
    }

    fn named(&self, dashes: usize, name: &str, value: Option<&str>) -> Option<&Opt<'t>> {
        let short = dashes == 1 && name.chars().nth(1).is_none() && !self.tool.single_dash;
        self.options.iter().find(|option| {
            let named = if short {
                !option.long && option.name == name
            } else {
                self.is_long(option, name)
            };
            named && self.has_value(option, value)
        })
    }

    /// What is spelled without dashes: `/s`, `of=…`, found as words.
    fn bare(&self, pattern: &str) -> Option<&Opt<'t>> {
        const BARE: &Opt<'static> = &Opt {
            name: "",
            long: true,
            value: None,
            index: 0,
        };
        self.args
            .iter()
            .any(|a| glob::matches(pattern, a.text, true))
            .then_some(BARE)
    }

    fn is_long(&self, option: &Opt<'t>, name: &str) -> bool {
        if option.long && option.name == name {
            return true;
        }
        let same_word = !option.long
            && self.args[option.index as usize]
                .text
                .trim_start_matches('-')
                == name;
        let short_of = option.long
            && !option.name.is_empty()
            && name.starts_with(option.name)
            && !self.tool.known.iter().any(|k| k == option.name);
        same_word || short_of
    }

    fn has_value(&self, option: &Opt<'t>, want: Option<&str>) -> bool {
        match (want, option.value) {
            (None, Some("false")) => false,
            (None, _) => true,
            (Some(want), Some(value)) => glob::matches(want, value, true),
            (Some(want), None) => self
                .args
                .get(option.index as usize + 1)
                .is_some_and(|next| glob::matches(want, next.text, true)),
        }
    }

    /// Whether the tool would only print something. An option with a value is one like any other.
    pub(crate) fn inert(&self) -> bool {
        let heard = |o: &Opt<'t>| {
            !self.tool.help_first || self.words.first().is_none_or(|word| o.index < word.index)
        };
        let asks = |o: &Opt<'t>| {
            o.long && matches!(o.name, "help" | "version") && self.is_bare(o) && heard(o)
        };
        let word = |w: Option<&Positional>| w.map_or("", |w| self.args[w.index as usize].text);
        let is = |words: &[Text], word: &str| words.iter().any(|w| w == word);
        self.options.iter().any(asks)
            || is(&self.tool.inert_first, word(self.words.first()))
            || is(&self.tool.inert_last, word(self.words.last()))
            || self
                .spelled(&self.tool.inert)
                .any(|(_, o)| o.value.is_none())
    }

    /// The options of a list that are there, with how they are written in it.
    fn spelled<'l>(
        &'l self,
        flags: &'l [Flag],
    ) -> impl Iterator<Item = (&'l Spelling, &'l Opt<'t>)> {
        flags
            .iter()
            .filter(|flag| flag.initials & self.initials != 0)
            .flat_map(|flag| flag.any.iter())
            .filter_map(|one| Some((one, self.find(one)?)))
    }

    /// Whether an option stands alone: no value is joined to it, and `--version 5` is not the
    /// question which version this is.
    fn is_bare(&self, option: &Opt<'t>) -> bool {
        let next = self
            .args
            .get(option.index as usize + 1)
            .map_or("-", |a| a.text);
        option.value.is_none() && (option.name == "help" || next.starts_with('-') && next.len() > 1)
    }

    /// Whether the tool would only say what it would do.
    pub(crate) fn dry_run(&self) -> bool {
        if self.options.is_empty() {
            return false;
        }
        let off = |o: &Opt<'_>| matches!(o.value, Some("none" | "false" | "no" | "0" | "off"));
        let simulates = |o: &Opt<'_>| {
            o.value.is_none_or(|v| {
                matches!(v, "true" | "yes" | "1" | "on" | "all" | "client" | "server")
            })
        };
        // The last word counts: `--dry-run=client --dry-run=none`.
        if self
            .options
            .iter()
            .any(|o| o.long && (o.name == "dry-run" && off(o) || o.name == "no-dry-run"))
        {
            return false;
        }
        if self
            .named(2, "dry-run", None)
            .is_some_and(|o| o.long && o.name.len() > 3 && simulates(o))
        {
            return true;
        }
        self.spelled(&self.tool.dry_run).any(|(one, o)| {
            // `-d` and `--d` are no way to write `--dry_run`.
            let short = one.dashes == 2 && o.name.len() <= 3 && o.name != one.name;
            if short {
                false
            } else if one.value.is_some() {
                !off(o)
            } else {
                simulates(o)
            }
        })
    }
}

/// Whether an option, with its dashes, takes the next word as value.
fn takes_value(tool: &Tool, option: &str) -> bool {
    let name = option.trim_start_matches('-');
    tool.value_bits & word_bit(name) != 0
        && tool.values.iter().any(|value| {
            value == option || tool.single_dash && value.trim_start_matches('-') == name
        })
}

fn takes_short(tool: &Tool, letter: &str) -> bool {
    match letter.as_bytes() {
        [letter] => tool.value_letters & (1 << (letter & 127)) != 0,
        _ => false,
    }
}
