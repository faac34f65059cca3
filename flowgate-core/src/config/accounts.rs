//! The section `accounts`: which accounts there are, and how requests are spread over them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::check::{credentials, unknown_credential};
use super::schema::{Backoff, Settings};
use super::shared::{self, Shared};
use super::text::{Duration, HttpUrl, Name, NonBlank};
use crate::accounts::{
    self, AccountSpec, Action, BucketView, Class, QuotaView, Rule, RuleError, Rules, Scope,
    Strategy,
};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::Node;

/// The provider accounts that requests are spread over.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// How the next account is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// The accounts.
    #[serde(default)]
    pub pool: Vec<Account>,
    /// Whether the requests of a session stay with one account, whose prompt cache is warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How often a request is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The wait after a rate limit that states none. Default: `1s`, doubling up to `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The server through which several processes share what they learn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// What answers mean where the tables are wrong: the first rule that holds decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AnswerRule>,
}

/// One account at a provider.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name, unique in the pool.
    pub id: Name,
    /// The provider, such as `anthropic` or `openai`.
    pub provider: NonBlank,
    /// The entry of `credentials.upstream` that holds its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Name>,
    /// Where its requests go. Default: the usual address of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<HttpUrl>,
    /// The models that it serves. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<NonBlank>,
    /// Accounts of a lower tier are used first.
    #[serde(default)]
    pub tier: u8,
    /// Its share beside the others of its tier. Zero: it serves nothing.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000_000)))]
    pub weight: u32,
    /// How many requests may be under way. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_inflight: Option<NonZeroU32>,
    /// The project or organisation whose quota it shares with the other accounts of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_group: Option<Name>,
    /// Whether it is used.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// What the provider grants, where no header says so. Headers correct it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// What a provider grants an account.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens a minute, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<NonZeroU32>,
}

/// Whether the requests of a session stay with one account.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Affinity {
    /// Whether they do.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When a session that is silent is forgotten. Default: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// How long to wait for the account at most. Default: `1s` where it is known when it can serve,
    /// `2.5s` where that is a guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
    /// How many sessions are remembered. Default: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<NonZeroU32>,
}

/// How often a request is tried again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often one request is sent at most. Default: 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<NonZeroU32>,
    /// How many retries of failing servers all requests together have in store; successes fill it
    /// up again. Default: 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
    /// The wait before a failing server is asked a third time. Default: `50ms`, doubling up to `4s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// What some answers mean. A condition that is left out always holds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// The provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<NonBlank>,
    /// The statuses, any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// What the body has in it, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<NonBlank>,
    /// A regular expression that the body matches, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<NonBlank>,
    /// What kind of answer it is. Scope and action become the usual ones of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// What to do with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// How long to leave the account alone: at most 32 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Duration>,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_yes(value: &bool) -> bool {
    *value
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(std::time::Duration::from(duration).as_millis()).unwrap_or(u64::MAX)
}

impl Accounts {
    /// How a pool of these accounts behaves.
    pub fn settings(&self) -> accounts::Settings {
        let mut settings = accounts::Settings {
            strategy: self.strategy,
            ..accounts::Settings::default()
        };
        if let Some(affinity) = self.affinity {
            let to = &mut settings.affinity;
            to.enabled = affinity.enabled;
            set(&mut to.ttl_ms, affinity.ttl.map(millis));
            set(&mut to.wait_known_ms, affinity.wait.map(millis));
            set(&mut to.wait_unknown_ms, affinity.wait.map(millis));
            // At most means whatever the pressure is.
            set(&mut to.wait_pressed_ms, affinity.wait.map(|_| 0));
            set(&mut to.max_sessions, affinity.max_sessions.map(u32::from));
        }
        if let Some(retry) = &self.retry {
            let to = &mut settings.retry;
            set(&mut to.max_attempts, retry.max_attempts.map(u32::from));
            set(&mut to.budget, retry.budget);
            set_backoff(&mut to.backoff, retry.backoff.as_ref());
        }
        set_backoff(&mut settings.backoff, self.backoff.as_ref());
        settings
    }

    /// The rules for answers, compiled.
    ///
    /// # Errors
    ///
    /// If a regular expression is none. A checked configuration has no such.
    pub fn rules(&self) -> Result<Rules, RuleError> {
        Rules::new(self.rules.iter().map(AnswerRule::to_rule))
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn set_backoff(place: &mut accounts::Backoff, backoff: Option<&Backoff>) {
    if let Some(backoff) = backoff {
        set(&mut place.initial_ms, backoff.initial.map(millis));
        set(&mut place.max_ms, backoff.max.map(millis));
        // A first wait that is longer than the longest is the longest.
        place.max_ms = place.max_ms.max(place.initial_ms);
    }
}

impl Account {
    /// The account, as a pool knows it.
    pub fn spec(&self) -> AccountSpec {
        AccountSpec {
            tier: self.tier,
            weight: self.weight,
            max_inflight: self.max_inflight.map(u32::from),
            models: self.models.iter().map(ToString::to_string).collect(),
            group: self.quota_group.as_ref().map(ToString::to_string),
            enabled: self.enabled,
            ..AccountSpec::new(self.id.to_string(), self.provider.to_string())
        }
    }

    /// The quota that it starts with, where `limits` says so.
    pub fn quota(&self) -> Option<QuotaView> {
        let limits = self.limits?;
        // What is full refills within the minute that the limit is about.
        let bucket = |limit: NonZeroU32| BucketView {
            limit: Some(limit.get().into()),
            remaining: limit.get().into(),
            full_in_ms: None,
        };
        let mut view = QuotaView::default();
        view.requests = limits.requests_per_minute.map(bucket);
        view.tokens = limits.tokens_per_minute.map(bucket);
        (!view.is_empty()).then_some(view)
    }
}

impl AnswerRule {
    fn to_rule(&self) -> Rule {
        Rule {
            provider: self.provider.as_ref().map(ToString::to_string),
            status: self.status.clone(),
            contains: self.contains.as_ref().map(ToString::to_string),
            matches: self.matches.as_ref().map(ToString::to_string),
            class: self.class,
            scope: self.scope,
            action: self.action,
            cooldown_ms: self.cooldown.map(millis),
        }
    }

    fn says_nothing(&self) -> bool {
        let Self {
            class,
            scope,
            action,
            cooldown,
            ..
        } = self;
        class.is_none() && scope.is_none() && action.is_none() && cooldown.is_none()
    }
}

/// Adds what is wrong between the accounts, and with the rest of the document.
pub(super) fn check(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let Some(section) = document.get("accounts") else {
        return;
    };
    let list = |key: &str| section.get(key).and_then(Node::items).unwrap_or_default();
    shared::check(document, problems);
    names(document, list("pool"), problems);
    let Some(accounts) = &settings.accounts else {
        return;
    };
    for (index, (node, account)) in list("pool").iter().zip(&accounts.pool).enumerate() {
        limits(node, account, &format!("accounts.pool[{index}]"), problems);
    }
    if !accounts.pool.is_empty() && accounts.pool.iter().all(|account| account.weight == 0) {
        problems.push(
            Diagnostic::warning(
                "config.no_weight",
                section.span,
                "every account has the weight 0",
            )
            .at("accounts.pool")
            .hint("an account with a weight of 0 serves nothing"),
        );
    }
    for (index, (node, rule)) in list("rules").iter().zip(&accounts.rules).enumerate() {
        answer_rule(node, rule, &format!("accounts.rules[{index}]"), problems);
    }
    for path in ["accounts.backoff", "accounts.retry.backoff"] {
        backoff(document, path, problems);
    }
}

/// Two accounts must not have one name, and credentials must be there.
fn names(document: &Node, pool: &[Node], problems: &mut Vec<Diagnostic>) {
    let credentials = credentials(document);
    let mut known: BTreeMap<&str, Span> = BTreeMap::new();
    for (index, account) in pool.iter().enumerate() {
        let text = |key: &str| {
            account
                .get(key)
                .and_then(|node| Some((node.as_str()?, node.span)))
        };
        if let Some((id, span)) = text("id")
            && let Some(first) = known.insert(id, span)
        {
            problems.push(
                Diagnostic::error(
                    "config.duplicate_account",
                    span,
                    "there are two accounts of this name",
                )
                .at(format!("accounts.pool[{index}].id"))
                .related(first, "the first one")
                .hint("give each account a name of its own"),
            );
        }
        if let Some((name, span)) = text("credential")
            && !credentials.contains(name)
        {
            let path = format!("accounts.pool[{index}].credential");
            problems.push(unknown_credential(name, span, &credentials).at(path));
        }
    }
}

/// A weight that dwarfs all others, and limits that limit nothing.
fn limits(node: &Node, account: &Account, path: &str, problems: &mut Vec<Diagnostic>) {
    let span = |key: &str| node.get(key).map_or(node.span, |node| node.span);
    if account.weight > LARGEST_WEIGHT {
        problems.push(
            Diagnostic::error(
                "config.invalid_value",
                span("weight"),
                "the weight is more than 1000000",
            )
            .at(format!("{path}.weight"))
            .hint("weights are shares: 1 and 3 are as good as 1000 and 3000"),
        );
    }
    if account.limits.is_some() && account.quota().is_none() {
        problems.push(
            Diagnostic::warning(
                "config.no_limit",
                span("limits"),
                "there is no limit in `limits`",
            )
            .at(format!("{path}.limits"))
            .hint("write `requests_per_minute`, `tokens_per_minute` or both"),
        );
    }
}

const LARGEST_WEIGHT: u32 = 1_000_000;

fn answer_rule(node: &Node, rule: &AnswerRule, path: &str, problems: &mut Vec<Diagnostic>) {
    let span = |key: &str| node.get(key).map_or(node.span, |node| node.span);
    let invalid = |key: &str, message: &str| {
        Diagnostic::error("config.invalid_value", span(key), message).at(format!("{path}.{key}"))
    };
    if rule
        .status
        .iter()
        .any(|status| !(100..1_000).contains(status))
    {
        problems.push(invalid("status", "a status is a number from 100 to 999"));
    }
    if let Err(RuleError::BadPattern { reason, .. }) = Rules::new([rule.to_rule()]) {
        // The library draws the pattern over several lines; the last one says what is wrong.
        let reason = reason.lines().last().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ");
        problems.push(
            invalid("matches", "this is not a regular expression")
                .hint(format!("{reason}; `contains` takes any text as it is")),
        );
    }
    if rule.says_nothing() {
        problems.push(
            Diagnostic::error(
                "config.missing_key",
                node.span,
                "this rule does not say what the answer means",
            )
            .at(path)
            .hint("add `class`, `scope`, `action` or `cooldown`"),
        );
    }
}

/// The first wait must not be longer than the longest.
fn backoff(document: &Node, path: &str, problems: &mut Vec<Diagnostic>) {
    let node = path
        .split('.')
        .try_fold(document, |node, key| node.get(key));
    let time = |key: &str| {
        let node = node?.get(key)?;
        let time = Duration::try_from(node.as_str()?.to_owned()).ok()?;
        Some((std::time::Duration::from(time), node.span))
    };
    if let (Some((initial, span)), Some((max, other))) = (time("initial"), time("max"))
        && initial > max
    {
        problems.push(
            Diagnostic::error(
                "config.invalid_value",
                span,
                "the first wait is longer than the longest",
            )
            .at(format!("{path}.initial"))
            .related(other, "the longest")
            .hint("make `max` larger, or `initial` smaller"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::accounts::{Pool, Strategy};
    use crate::config::Config;

    fn problems(yaml: &str) -> Vec<String> {
        let text = format!("config_version: 2\naccounts:\n{yaml}");
        let shown = |config: &[crate::diagnostic::Diagnostic]| {
            config.iter().map(ToString::to_string).collect()
        };
        match Config::from_yaml(&text) {
            Ok(config) => shown(config.diagnostics()),
            Err(error) => shown(error.diagnostics()),
        }
    }

    fn accounts(yaml: &str) -> super::Accounts {
        let config = Config::from_yaml(&format!("config_version: 2\naccounts:\n{yaml}")).unwrap();
        config.settings().accounts.clone().unwrap()
    }

    #[test]
    fn everything_that_is_written_reaches_the_pool() {
        let accounts = accounts(
            "
  strategy: weighted
  affinity: {ttl: 10m, wait: 500ms, max_sessions: 9}
  retry: {max_attempts: 3, budget: 7, backoff: {initial: 10ms}}
  backoff: {initial: 2s, max: 1m}
  pool:
    - id: a
      provider: openai
      base_url: https://example.test/v1
      models: [gpt-5]
      tier: 1
      weight: 3
      max_inflight: 4
      quota_group: org
      limits: {requests_per_minute: 60}
    - {id: b, provider: openai, enabled: false}
",
        );
        let settings = accounts.settings();
        assert_eq!(settings.strategy, Strategy::Weighted);
        assert_eq!(
            (settings.affinity.ttl_ms, settings.affinity.wait_known_ms),
            (600_000, 500)
        );
        assert_eq!(settings.affinity.wait_pressed_ms, 0);
        assert_eq!((settings.retry.max_attempts, settings.retry.budget), (3, 7));
        assert_eq!(
            (
                settings.retry.backoff.initial_ms,
                settings.retry.backoff.max_ms
            ),
            (10, 4_000)
        );
        assert_eq!(
            (settings.backoff.initial_ms, settings.backoff.max_ms),
            (2_000, 60_000)
        );
        let spec = accounts.pool[0].spec();
        assert_eq!((spec.tier, spec.weight, spec.max_inflight), (1, 3, Some(4)));
        assert_eq!(
            (spec.models, spec.group),
            (vec!["gpt-5".to_owned()], Some("org".to_owned()))
        );
        let quota = accounts.pool[0].quota().unwrap();
        assert_eq!(quota.requests.unwrap().remaining, 60);
        assert_eq!(accounts.pool[1].quota(), None);
        assert!(!accounts.pool[1].spec().enabled);

        let mut pool = Pool::new(settings);
        for account in &accounts.pool {
            pool.upsert(&account.spec(), 0);
        }
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn every_mistake_has_its_place() {
        let mut missed = Vec::new();
        for (yaml, says) in [
            (
                "  strategy: round_robbin\n",
                "3:13: this is not one of the choices",
            ),
            ("  pool: [{id: a, provider: x, tier: 256}]\n", "3:37"),
            ("  pool: [{id: a, provider: x, weight: -1}]\n", "3:39"),
            (
                "  pool: [{id: a, provider: x, weight: 2000000}]\n",
                "3:39: the weight is more than 1000000",
            ),
            ("  pool: [{id: a, provider: x, max_inflight: 0}]\n", "3:45"),
            (
                "  pool: [{id: a, provider: x, base_url: ftp://x}]\n",
                "3:41",
            ),
            (
                "  pool: [{id: a, provider: x, limits: {}}]\n",
                "3:39: there is no limit in `limits`",
            ),
            (
                "  pool: [{id: a, provider: x, limits: {requests: 3}}]\n",
                "3:40: unknown key `requests`",
            ),
            (
                "  rules: [{status: [7], action: stop}]\n",
                "3:20: a status is a number",
            ),
            (
                "  rules: [{matches: '(', action: stop}]\n",
                "3:21: this is not a regular expression",
            ),
            (
                "  rules: [{status: [429]}]\n",
                "3:11: this rule does not say",
            ),
            ("  rules: [{class: rates}]\n", "did you mean `rate`?"),
            (
                "  backoff: {initial: 1m, max: 1s}\n",
                "3:22: the first wait is longer than the longest",
            ),
            ("  retry: {max_attempts: 0}\n", "3:25"),
        ] {
            let found = problems(yaml);
            if !found.iter().any(|problem| problem.contains(says)) {
                missed.push((yaml, says, found));
            }
        }
        assert_eq!(missed, []);
    }

    #[test]
    fn a_rule_of_the_configuration_decides() {
        use crate::accounts::{Answer, Class, classify};
        let accounts =
            accounts("  rules: [{provider: openai, status: [418], class: quota, cooldown: 90s}]\n");
        let answer = Answer {
            provider: "openai",
            status: Some(418),
            ..Answer::default()
        };
        let meaning = classify(&answer, 0, &accounts.rules().unwrap());
        assert_eq!(
            (meaning.class, meaning.cooldown_ms),
            (Class::Quota, Some(90_000))
        );
    }
}
