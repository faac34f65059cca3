//! What one process tells the others about an account, so that each of them knows what any of them
//! has learned.
//!
//! Facts form a join-semilattice: [`Fact::join`] is commutative, associative and idempotent. So it
//! does not matter in which order facts arrive, how often, or who joins them.

use serde::{Deserialize, Serialize};

use super::{Class, Lifecycle};
use crate::Timestamp;

/// What is known about an account, one of its models, its credential, or a provider.
///
/// Of two facts the one with the later `epoch` holds. Within an epoch the longer rest holds, and
/// everything only grows.
///
/// # Example
///
/// ```
/// use flowgate_core::accounts::{Class, Fact};
///
/// let short = Fact { until: 2_000, class: Some(Class::Rate), ..Fact::default() };
/// let long = Fact { until: 9_000, class: Some(Class::Quota), ..Fact::default() };
/// assert_eq!(short.join(long), long);
/// // A request that was admitted at 1,500 was served: what was known before is over.
/// let served = Fact { epoch: 1_500, ..Fact::default() };
/// assert_eq!(served.join(long), served);
/// assert_eq!(Fact::decode(&long.encode()), Some(long));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// When the request was admitted whose success, or the refresh, ended what was known before.
    pub epoch: Timestamp,
    /// It rests until then.
    pub until: Timestamp,
    /// Why.
    pub class: Option<Class>,
    /// How many steps its backoff has grown.
    pub level: u8,
    /// How many steps its backoff after failures of the server or the network has grown.
    pub failures: u8,
    /// How far a credential is usable.
    pub lifecycle: Lifecycle,
    /// When something failed last: a success of a request that was admitted before is no news.
    pub failed_at: Timestamp,
}

/// Later than any time that is meant, and exact in every language that counts in doubles.
const LATEST: u64 = 1 << 52;

/// The classes in the order in which they are written as numbers; new ones come last.
const CLASSES: [Class; 20] = [
    Class::Ok,
    Class::ClientCancelled,
    Class::RequestFault,
    Class::Entitlement,
    Class::Windowless,
    Class::Rate,
    Class::Quota,
    Class::Concurrency,
    Class::Overloaded,
    Class::Auth,
    Class::AuthDead,
    Class::Payment,
    Class::Forbidden,
    Class::Challenge,
    Class::ModelUnsupported,
    Class::NotFound,
    Class::Timeout,
    Class::ServerError,
    Class::Network,
    Class::Unknown,
];

impl Fact {
    /// What is known when both are.
    pub fn join(self, other: Self) -> Self {
        let (newer, older) = if self.epoch >= other.epoch {
            (self, other)
        } else {
            (other, self)
        };
        if newer.epoch > older.epoch {
            return newer;
        }
        let longer = if newer.rest() >= older.rest() {
            newer
        } else {
            older
        };
        Self {
            epoch: newer.epoch,
            until: longer.until,
            class: longer.class,
            level: newer.level.max(older.level),
            failures: newer.failures.max(older.failures),
            lifecycle: newer.worse(older),
            failed_at: newer.failed_at.max(older.failed_at),
        }
    }

    fn rest(self) -> (Timestamp, usize) {
        (self.until, class_number(self.class))
    }

    fn worse(self, other: Self) -> Lifecycle {
        if lifecycle_number(self.lifecycle) >= lifecycle_number(other.lifecycle) {
            self.lifecycle
        } else {
            other.lifecycle
        }
    }

    /// The fact as a text of seven numbers.
    pub fn encode(self) -> String {
        format!(
            "{}:{}:{}:{}:{}:{}:{}",
            self.epoch.min(LATEST),
            self.until.min(LATEST),
            class_number(self.class),
            self.level,
            lifecycle_number(self.lifecycle),
            self.failed_at.min(LATEST),
            self.failures,
        )
    }

    /// The fact of a text. `None`: it is none.
    pub fn decode(text: &str) -> Option<Self> {
        let mut numbers = text.split(':').map(|part| {
            let digits = part.len() <= 16 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u64>().ok().filter(|_| digits)
        });
        let mut next = || numbers.next().flatten();
        let (epoch, until, class) = (next()?, next()?, next()?);
        let (level, lifecycle, failed_at) = (next()?, next()?, next()?);
        let failures = next()?;
        let latest = epoch.max(until).max(failed_at);
        if numbers.next().is_some() || latest > LATEST {
            return None;
        }
        let class = match usize::try_from(class).ok()? {
            0 => None,
            number => Some(*CLASSES.get(number - 1)?),
        };
        let lifecycle = match lifecycle {
            0 => Lifecycle::Active,
            1 => Lifecycle::NeedsRefresh,
            2 => Lifecycle::Dead,
            _ => return None,
        };
        Some(Self {
            epoch,
            until,
            class,
            level: u8::try_from(level).ok()?,
            failures: u8::try_from(failures).ok()?,
            lifecycle,
            failed_at,
        })
    }

    /// The same fact for a clock that is ahead by so many milliseconds.
    pub fn shifted(self, ahead: i64) -> Self {
        let shift = |at: Timestamp| match at {
            0 => 0,
            at => at.saturating_add_signed(ahead).clamp(1, LATEST),
        };
        Self {
            epoch: shift(self.epoch),
            until: shift(self.until),
            failed_at: shift(self.failed_at),
            ..self
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Zero for none.
fn class_number(class: Option<Class>) -> usize {
    let place = class.and_then(|class| CLASSES.iter().position(|known| *known == class));
    place.map_or(0, |place| place + 1)
}

const fn lifecycle_number(lifecycle: Lifecycle) -> u8 {
    match lifecycle {
        Lifecycle::Active => 0,
        Lifecycle::NeedsRefresh => 1,
        Lifecycle::Dead => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fact() -> impl Strategy<Value = Fact> {
        // Few values, so that ties are frequent.
        let class = prop_oneof![
            Just(None),
            proptest::sample::select(&CLASSES[..]).prop_map(Some)
        ];
        let lifecycle = proptest::sample::select(vec![
            Lifecycle::Active,
            Lifecycle::NeedsRefresh,
            Lifecycle::Dead,
        ]);
        let steps = (0..3_u8, 0..3_u8);
        (0..4_u64, 0..4_u64, class, steps, lifecycle, 0..3_u64).prop_map(
            |(epoch, until, class, (level, failures), lifecycle, failed_at)| Fact {
                epoch,
                until,
                class,
                level,
                failures,
                lifecycle,
                failed_at,
            },
        )
    }

    proptest! {
        #[test]
        fn joining_is_commutative_associative_and_idempotent(a in fact(), b in fact(), c in fact()) {
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(a), a);
            prop_assert_eq!(a.join(b).join(b), a.join(b));
            prop_assert_eq!(a.join(Fact::default()), a);
        }

        #[test]
        fn within_an_epoch_a_rest_never_becomes_shorter(a in fact(), b in fact()) {
            let joined = a.join(b);
            for part in [a, b].into_iter().filter(|part| part.epoch == joined.epoch) {
                prop_assert!(joined.until >= part.until && joined.level >= part.level);
            }
        }

        #[test]
        fn what_is_written_is_read(fact in fact(), ahead in -5_000..5_000_i64) {
            prop_assert_eq!(Fact::decode(&fact.encode()), Some(fact));
            let later = Fact { epoch: 10_000, until: 20_000, failed_at: 0, ..fact };
            prop_assert_eq!(later.shifted(ahead).shifted(-ahead), later);
        }

        #[test]
        fn any_text_is_a_fact_or_none(text in ".{0,40}", digits in "[0-9:]{0,40}") {
            for text in [text, digits] {
                if let Some(fact) = Fact::decode(&text) {
                    prop_assert_eq!(Fact::decode(&fact.encode()), Some(fact));
                }
            }
        }
    }

    #[test]
    fn every_class_has_a_number_of_its_own() {
        for (place, class) in CLASSES.iter().enumerate() {
            assert_eq!(class_number(Some(*class)), place + 1, "{class:?}");
        }
        for damaged in [
            "",
            "1",
            "1:2:3:4:5:6:7",
            "1:2:99:0:0:0:0",
            "1:2:0:256:0:0:0",
            "1:2:0:0:0:0:256",
            "-1:2:0:0:0:0:0",
            "1:2:0:0:0:0",
            "1:2:0:0:0:0:0:0",
            "1e3:2:0:0:0:0:0",
        ] {
            assert_eq!(Fact::decode(damaged), None, "{damaged}");
        }
    }
}
