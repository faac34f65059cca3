//! What the user knows better: rules that come before the tables.

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::super::class::{Action, Class, Classification, Scope};
use super::phrases::Lexicon;
use super::{Answer, Provider};

/// Rules of the user, compiled, beside the tables. The first that matches decides; the default has
/// none. Make it once, and keep it.
///
/// # Example
///
/// ```
/// use flowgate_core::accounts::{Answer, Class, Rule, Rules, classify};
///
/// let rule: Rule = serde_json::from_str(
///     r#"{"status": [400], "contains": "seat limit", "class": "quota", "cooldown_ms": 60000}"#,
/// )?;
/// let rules = Rules::new([rule])?;
/// let answer = Answer { status: Some(400), body: b"Seat limit reached", ..Answer::default() };
/// let meaning = classify(&answer, 0, &rules);
/// assert_eq!((meaning.class, meaning.cooldown_ms), (Class::Quota, Some(60_000)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Compiled>,
    lexicon: Lexicon,
}

/// One rule: which answers it is about, and what they mean. A condition that is left out always
/// holds; a part of the meaning that is left out stays as the tables have it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The provider, as accounts name it.
    pub provider: Option<String>,
    /// The statuses, any of them.
    pub status: Vec<u16>,
    /// What the body has in it, in any case.
    pub contains: Option<String>,
    /// A regular expression that the body matches, in any case.
    pub matches: Option<String>,
    /// What kind of answer it is. Scope and action become the usual ones of the class.
    pub class: Option<Class>,
    /// Whom it is about.
    pub scope: Option<Scope>,
    /// What to do with the request.
    pub action: Option<Action>,
    /// How long to leave the account alone, in milliseconds: at most 32 days.
    pub cooldown_ms: Option<u64>,
}

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The regular expression is not one.
    #[error("`{pattern}` is not a regular expression: {reason}")]
    BadPattern {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RuleError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadPattern { .. } => "accounts.bad_pattern",
        }
    }
}

#[derive(Clone, Debug)]
struct Compiled {
    rule: Rule,
    /// The provider of the rule where it is one of the known ones, by whatever name.
    provider: Option<Provider>,
    contains: Option<Regex>,
    matches: Option<Regex>,
}

/// A pattern that compiles to more is a mistake.
const LARGEST_PATTERN: usize = 1 << 20;

impl Rules {
    /// Compiles rules.
    ///
    /// # Errors
    ///
    /// If a regular expression is none, or too large.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, RuleError> {
        let compiled: Result<Vec<_>, _> = rules.into_iter().map(Compiled::new).collect();
        compiled.map(|rules| Self {
            rules,
            lexicon: Lexicon::default(),
        })
    }

    /// The meaning of an answer whose meaning by the tables is known.
    pub(super) fn apply(
        &self,
        answer: &Answer<'_>,
        body: &[u8],
        usual: Classification,
    ) -> Classification {
        let rule = self.rules.iter().find(|rule| rule.holds(answer, body));
        rule.map_or(usual, |rule| rule.rule.meaning(usual))
    }
}

impl Rules {
    pub(super) fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }
}

impl Rule {
    fn meaning(&self, usual: Classification) -> Classification {
        let (class, scope, action) = match self.class {
            Some(class) => (class, class.usual_scope(), class.usual_action()),
            None => (usual.class, usual.scope, usual.action),
        };
        let cooldown = self
            .cooldown_ms
            .map(|ms| ms.min(super::super::moment::LONGEST_WAIT_MS));
        Classification {
            class,
            scope: self.scope.unwrap_or(scope),
            action: self.action.unwrap_or(action),
            cooldown_ms: cooldown.or(usual.cooldown_ms),
        }
    }
}

impl Compiled {
    fn new(rule: Rule) -> Result<Self, RuleError> {
        let known = rule.provider.as_deref().map(Provider::of);
        Ok(Self {
            provider: known.filter(|provider| *provider != Provider::Other),
            contains: rule
                .contains
                .as_deref()
                .map(|text| pattern(&regex::escape(text)))
                .transpose()?,
            matches: rule.matches.as_deref().map(pattern).transpose()?,
            rule,
        })
    }

    fn holds(&self, answer: &Answer<'_>, body: &[u8]) -> bool {
        let status = &self.rule.status;
        (status.is_empty() || answer.status.is_some_and(|is| status.contains(&is)))
            && self.is_of(answer.provider)
            && self
                .contains
                .as_ref()
                .is_none_or(|text| text.is_match(body))
            && self
                .matches
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(body))
    }

    fn is_of(&self, provider: &str) -> bool {
        match (&self.rule.provider, self.provider) {
            (None, _) => true,
            (Some(_), Some(known)) => Provider::of(provider) == known,
            (Some(name), None) => name.eq_ignore_ascii_case(provider),
        }
    }
}

fn pattern(text: &str) -> Result<Regex, RuleError> {
    let built = RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(LARGEST_PATTERN)
        .build();
    built.map_err(|error| RuleError::BadPattern {
        pattern: text.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Classification {
        Classification {
            class: Class::Rate,
            scope: Scope::Account,
            action: Action::Next,
            cooldown_ms: Some(7),
        }
    }

    fn apply(rule: Rule, provider: &str, status: u16, body: &str) -> Classification {
        let answer = Answer {
            provider,
            status: Some(status),
            body: body.as_bytes(),
            ..Answer::default()
        };
        Rules::new([rule])
            .unwrap()
            .apply(&answer, body.as_bytes(), usual())
    }

    #[test]
    fn every_condition_must_hold() {
        let rule = Rule {
            provider: Some("claude".to_owned()),
            status: vec![400, 429],
            contains: Some("Fast.".to_owned()),
            matches: Some("^f.*t".to_owned()),
            class: Some(Class::Entitlement),
            ..Rule::default()
        };
        let holds = |provider, status, body| {
            apply(rule.clone(), provider, status, body).class == Class::Entitlement
        };
        assert!(holds("anthropic", 429, "FAST."));
        assert!(!holds("openai", 429, "fast."));
        assert!(!holds("anthropic", 500, "fast."));
        assert!(!holds("anthropic", 400, "fast!"));
        assert!(!holds("anthropic", 400, "so fast."));
    }

    #[test]
    fn what_a_rule_leaves_out_stays() {
        let rule = Rule {
            action: Some(Action::Stop),
            ..Rule::default()
        };
        let meaning = apply(rule, "x", 429, "");
        assert_eq!(
            meaning,
            Classification {
                action: Action::Stop,
                ..usual()
            }
        );
        let rule = Rule {
            class: Some(Class::RequestFault),
            cooldown_ms: Some(u64::MAX),
            ..Rule::default()
        };
        let meaning = apply(rule, "x", 429, "");
        assert_eq!(
            (meaning.scope, meaning.action),
            (Scope::Request, Action::Stop)
        );
        assert_eq!(meaning.cooldown_ms, Some(32 * 86_400_000));
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rule = |class| Rule {
            class: Some(class),
            ..Rule::default()
        };
        let rules = Rules::new([rule(Class::Payment), rule(Class::Auth)]).unwrap();
        let meaning = rules.apply(&Answer::default(), b"", usual());
        assert_eq!(meaning.class, Class::Payment);
    }

    #[test]
    fn a_bad_pattern_is_told() {
        let rule = Rule {
            matches: Some("(".to_owned()),
            ..Rule::default()
        };
        let error = Rules::new([rule]).unwrap_err();
        assert_eq!(error.code(), "accounts.bad_pattern");
        assert!(error.to_string().contains("`(`"), "{error}");
        let huge = Rule {
            matches: Some("(a{1000}){1000}".to_owned()),
            ..Rule::default()
        };
        assert!(Rules::new([huge]).is_err());
    }
}
