//! Which of those that can serve does.
//!
//! Up to [`EXACT`] accounts all are compared. Beyond that, comparing strategies look at a few that
//! chance chose, which spreads the load nearly as well and takes the same time however many there
//! are; `fill_first` and `round_robin` are exact always, and `weighted` is in proportion.

use super::Pool;
use super::account::{NONE, Slot};
use super::bitset::Bitset;
use super::names::mix;
use super::settings::Strategy;
use crate::Timestamp;

/// Up to that many accounts all are compared.
const EXACT: usize = 64;
/// How many chance chooses beyond that.
const SAMPLES: usize = 4;
/// How much one more request under way counts, of 1.
const INFLIGHT_PRESSURE: f64 = 0.01;

/// Those that can serve, of one tier.
pub(super) struct Candidates<'a> {
    pub(super) pool: &'a Pool,
    pub(super) ready: &'a Bitset,
    pub(super) blocked: Option<&'a Bitset>,
    pub(super) apart: Option<&'a Bitset>,
    pub(super) exclude: &'a [Slot],
    pub(super) tokens: u32,
    pub(super) now: Timestamp,
}

impl Candidates<'_> {
    #[inline]
    fn word(&self, word: usize) -> u64 {
        let mut bits = self.ready.word(word);
        if let Some(blocked) = self.blocked {
            bits &= !blocked.word(word);
        }
        if let Some(apart) = self.apart {
            bits &= !apart.word(word);
        }
        bits
    }

    /// Whether the rest is right, too: the budget, and that the caller does not exclude it.
    #[inline]
    fn admits(&self, index: u32) -> bool {
        let account = &self.pool.accounts[index as usize];
        self.pool.spent(account, self.tokens, self.now).is_none()
            && !self.exclude.iter().any(|slot| slot.index == index)
    }

    /// Those from `from` on.
    #[inline]
    fn from(&self, from: u32) -> Rest<'_> {
        let word = from as usize / 64;
        Rest {
            bits: self.word(word) & (u64::MAX << (from % 64)),
            word,
            candidates: self,
        }
    }

    /// The first from `from` on.
    #[inline]
    fn next(&self, from: u32) -> Option<u32> {
        self.from(from).next()
    }

    /// The first from `from` on, or else the first of all.
    #[inline]
    fn next_around(&self, from: u32) -> Option<u32> {
        self.next(from)
            .or_else(|| self.next(0).filter(|_| from > 0))
    }

    /// The first from `from` on, or else the first of all, as the sets have it: whether it
    /// [is admitted](Self::admits) is not asked.
    #[inline]
    fn ready_around(&self, from: u32) -> Option<u32> {
        let ready = |from| self.from(from).ready();
        ready(from).or_else(|| ready(0))
    }

    #[inline]
    fn iter(&self) -> Rest<'_> {
        self.from(0)
    }
}

/// The candidates that are left.
struct Rest<'a> {
    candidates: &'a Candidates<'a>,
    word: usize,
    /// Those of the word.
    bits: u64,
}

impl Rest<'_> {
    /// The next one as the sets have it.
    #[inline]
    fn ready(&mut self) -> Option<u32> {
        while self.bits == 0 {
            self.word = self.candidates.ready.next_word(self.word + 1)?;
            self.bits = self.candidates.word(self.word);
        }
        let index = self.word as u32 * 64 + self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        Some(index)
    }
}

impl Iterator for Rest<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        loop {
            let index = self.ready()?;
            if self.candidates.admits(index) {
                return Some(index);
            }
        }
    }
}

/// What a strategy remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// The place after the one that served last.
    pub(super) cursor: u32,
    pub(super) random: u64,
    /// Differs between processes that share a pool; zero: it is not shared.
    salt: u64,
}

/// What [`Strategy::Weighted`] remembers: nothing, until it has to.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares(Option<Box<Round>>);

#[derive(Clone, Debug, Default)]
struct Round {
    /// How far each account is ahead of its share, and who is in the round.
    ahead: Vec<i64>,
    in_round: Bitset,
}

impl Memory {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)),
            ..Self::default()
        }
    }

    /// Processes that share a pool do not all begin with the same account.
    pub(super) fn set_salt(&mut self, salt: u64) {
        self.salt = salt;
        self.cursor = (mix(salt) >> 40) as u32;
    }

    pub(super) const fn salt(&self) -> u64 {
        self.salt
    }

    /// Who comes first of those between whom nothing else decides.
    #[inline]
    fn toss(salt: u64, index: u32) -> u64 {
        if salt == 0 {
            return 0;
        }
        mix(salt ^ u64::from(index))
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    /// A random number below another, which is below 2^32.
    #[inline]
    fn below(&mut self, end: u64) -> u64 {
        ((self.random() >> 32) * end) >> 32
    }

    #[inline]
    pub(super) fn choose(
        &mut self,
        by: Strategy,
        candidates: &Candidates<'_>,
        shares: &mut Shares,
    ) -> Option<u32> {
        if candidates.ready.len() == 0 {
            return None;
        }
        let pool = candidates.pool;
        let account = |index: u32| &pool.accounts[index as usize];
        let salt = self.salt;
        match by {
            Strategy::FillFirst => candidates.next(0),
            Strategy::RoundRobin => self.in_turn(candidates),
            Strategy::Weighted => match candidates.ready.len() > EXACT {
                true => self.by_lot(candidates),
                false => shares.round().in_proportion(candidates),
            },
            Strategy::LeastInflight => self.least(candidates, |index| {
                let account = account(index);
                let toss = Self::toss(salt, index);
                (u64::from(account.inflight), account.last_used, toss)
            }),
            Strategy::Lru => self.least(candidates, |index| {
                (account(index).last_used, Self::toss(salt, index))
            }),
            Strategy::DrainSoonest => self.least(candidates, |index| {
                let budget = pool.budgets.get(account(index).budget as usize);
                let reset = budget.and_then(|budget| budget.soonest_reset(candidates.now));
                (reset.unwrap_or(Timestamp::MAX), u64::from(index))
            }),
            Strategy::Auto => self.least(candidates, |index| {
                let pressure = pool.pressure(index, candidates.tokens, candidates.now);
                // In millionths, and never below zero.
                let pressure = ((pressure + 2.0) * 1e6) as u32;
                // One number, so that comparing takes no branch that cannot be foreseen.
                let key = u128::from(pressure) << 64 | u128::from(account(index).last_used);
                (key, Self::toss(salt, index))
            }),
        }
    }

    fn in_turn(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let index = candidates.next_around(self.cursor)?;
        self.cursor = index + 1;
        Some(index)
    }

    /// The one with the least key, and the first of several: of all, or of a few.
    #[inline]
    fn least<K: Ord>(
        &mut self,
        candidates: &Candidates<'_>,
        key: impl Fn(u32) -> K,
    ) -> Option<u32> {
        if candidates.ready.len() <= EXACT {
            return least_of(candidates.iter(), key);
        }
        let all = candidates.pool.accounts.len() as u64;
        // The places first, so that what is known about them is fetched at the same time.
        let places: [_; SAMPLES] =
            std::array::from_fn(|_| candidates.ready_around(self.below(all) as u32));
        let sampled = places.into_iter().flatten();
        let admitted = sampled.filter_map(|index| match candidates.admits(index) {
            true => Some(index),
            false => candidates.next_around(index),
        });
        least_of(admitted, key)
    }

    /// By lot, in proportion to the weights.
    fn by_lot(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let all = candidates.pool.accounts.len() as u64;
        let heaviest = candidates.pool.heaviest.max(1);
        let mut last = None;
        for _ in 0..64 {
            let from = self.below(all) as u32;
            let index = candidates.next_around(from)?;
            let weight = u64::from(candidates.pool.accounts[index as usize].weight);
            if self.below(heaviest.into()) < weight {
                return Some(index);
            }
            last = Some(index);
        }
        last
    }
}

/// The one with the least key, and the first of several. `min_by_key` answers the same, and makes a
/// pick among a thousand take a tenth longer.
#[inline]
fn least_of<K: Ord>(mut of: impl Iterator<Item = u32>, key: impl Fn(u32) -> K) -> Option<u32> {
    let first = of.next()?;
    let mut best = (key(first), first);
    for index in of {
        let key = key(index);
        if key < best.0 {
            best = (key, index);
        }
    }
    Some(best.1)
}

impl Shares {
    /// An account is gone.
    pub(super) fn forget(&mut self, index: u32) {
        if let Some(round) = &mut self.0 {
            round.set_ahead(index, 0);
        }
    }

    /// How far the accounts are ahead that are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        let round = self.0.iter();
        round.flat_map(|round| {
            let members = round.in_round.iter();
            members.map(|index| (index, round.ahead[index as usize]))
        })
    }

    /// Says how far an account is ahead.
    pub(super) fn set_ahead(&mut self, index: u32, ahead: i64) {
        self.round().set_ahead(index, ahead);
    }

    fn round(&mut self) -> &mut Round {
        self.0.get_or_insert_default()
    }
}

impl Round {
    fn set_ahead(&mut self, index: u32, ahead: i64) {
        if index as usize >= self.ahead.len() {
            if ahead == 0 {
                return;
            }
            self.ahead.resize(index as usize + 1, 0);
        }
        self.ahead[index as usize] = ahead;
        self.in_round.put(index, ahead != 0);
    }

    /// Smooth weighted round robin, as nginx does it: everybody advances by its weight, and who is
    /// farthest goes and pays for all.
    fn in_proportion(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        // A tier that has nobody to offer does not end the round of the one below it.
        candidates.next(0)?;
        let weight = |index: u32| i64::from(candidates.pool.accounts[index as usize].weight);
        let gone = self.in_round.iter().filter(|index| {
            let word = candidates.word(*index as usize / 64);
            word >> (index % 64) & 1 == 0 || !candidates.admits(*index)
        });
        for index in gone.collect::<Vec<_>>() {
            self.set_ahead(index, 0);
        }
        let mut total = 0;
        let mut best: Option<(i64, u32)> = None;
        for index in candidates.iter() {
            let known = self.ahead.get(index as usize).copied().unwrap_or(0);
            let ahead = known + weight(index);
            self.set_ahead(index, ahead);
            total += weight(index);
            if best.is_none_or(|(most, _)| ahead > most) {
                best = Some((ahead, index));
            }
        }
        let (ahead, index) = best?;
        self.set_ahead(index, ahead - total);
        Some(index)
    }
}

impl Pool {
    /// The pressure under which an account is: about 0 if it is fresh, about 1 if it is used up.
    #[inline]
    pub(super) fn pressure(&self, index: u32, tokens: u32, now: Timestamp) -> f64 {
        let account = &self.accounts[index as usize];
        let inflight = f64::from(account.inflight);
        // To divide takes as long as all the rest.
        let share = match account.weight {
            0 | 1 => inflight,
            weight => inflight / f64::from(weight),
        };
        let load = (INFLIGHT_PRESSURE * share).min(0.5);
        if account.budget == NONE || !self.settings.admission {
            return load;
        }
        let budget = self.budgets.get(account.budget as usize);
        load + budget.map_or(0.0, |budget| budget.pressure(now, tokens))
    }
}

#[cfg(test)]
mod tests {
    use crate::accounts::{AccountSpec, Pick, Pool, Request, Settings, Strategy};

    #[test]
    fn weighted_shares_a_tier_while_the_one_above_has_nobody() {
        let mut pool = Pool::new(Settings {
            strategy: Strategy::Weighted,
            ..Settings::default()
        });
        let account = |id, tier| AccountSpec {
            tier,
            ..AccountSpec::new(id, "")
        };
        let top = pool.upsert(&account("top", 0), 0);
        let below = ["a", "b"].map(|id| pool.upsert(&account(id, 1), 0));
        let request = Request {
            exclude: &[top],
            ..Request::default()
        };
        let served: Vec<_> = (0..4)
            .filter_map(|_| match pool.pick(0, &request) {
                Pick::Use(permit) => Some(permit.slot()),
                _ => None,
            })
            .collect();
        assert_eq!(served, [below[0], below[1], below[0], below[1]]);
    }
}
