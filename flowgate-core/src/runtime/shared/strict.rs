//! The server says whose turn it is: in turn over all processes, to the request.
//!
//! Everything else is as without it: the pool of this process has the last word, because it knows
//! the budget and what is under way here, and if the server does not answer in time it chooses.

use redis::{RedisResult, Value};
use tokio::time::timeout;

use super::session::{Held, Session};
use super::values::{items, text};
use super::{Fleet, Mode};
use crate::Timestamp;
use crate::accounts::{Model, Permit, Pick, Request, Slot, Subject, Why};

/// How often the server is asked for one pick: what it offers may be busy in this process.
const OFFERS: usize = 4;

/// What the server offers.
enum Offer {
    Account(Offered),
    /// Nobody before then; zero: nobody.
    Until(Timestamp),
}

struct Offered {
    account: String,
    /// Whether the account, and the model, is probed.
    probes: [bool; 2],
    until: Timestamp,
}

impl Fleet {
    /// Whether the server says whose turn it is.
    pub fn is_strict(&self) -> bool {
        self.inner.options.mode == Mode::Strict
    }

    /// Decides who serves a request: with [`Mode::Strict`] the server says whose turn it is, and the
    /// pool whether it can. Without the server, with [`Mode::Local`], and where all that the server
    /// offers are busy here, the pool decides.
    pub async fn pick(&self, request: &Request<'_>) -> Pick {
        let strict = self.is_strict() && !self.inner.is_late();
        let session = self.inner.session().filter(|_| strict);
        let Some(session) = session else {
            return self.pick_here(request);
        };
        let mut exclude = request.exclude.to_vec();
        for _ in 0..OFFERS {
            let asked = session.next_turn(request, &exclude);
            let offer = match timeout(self.inner.options.timeout, asked).await {
                Ok(Ok(offer)) => offer,
                Ok(Err(_)) | Err(_) => {
                    self.inner.late();
                    break;
                }
            };
            let offered = match offer {
                Offer::Account(offered) => offered,
                Offer::Until(until) if until > 0 && exclude.len() == request.exclude.len() => {
                    return self.nobody(request, until);
                }
                // It has no other accounts to offer: this process knows why.
                Offer::Until(_) => break,
            };
            match self.take(request, &offered) {
                Ok(permit) => return Pick::Use(permit),
                Err(Some(slot)) => {
                    self.give_up(&session, slot, request, offered.probes).await;
                    exclude.push(slot);
                }
                // An account that only others have.
                Err(None) => {}
            }
        }
        self.pick_here(request)
    }

    fn pick_here(&self, request: &Request<'_>) -> Pick {
        self.inner.pool.lock().pick(self.inner.now(), request)
    }

    /// What was offered is of no use here: others may probe.
    async fn give_up(
        &self,
        session: &Session,
        slot: Slot,
        request: &Request<'_>,
        probes: [bool; 2],
    ) {
        let subjects = [Subject::Account(slot), Subject::Model(slot, request.model)];
        for (subject, _) in subjects
            .into_iter()
            .zip(probes)
            .filter(|(_, probes)| *probes)
        {
            self.inner.pool.lock().give_up(self.inner.now(), subject);
            // If it fails, the lease ends by itself.
            let _ = session.done(subject).await;
        }
    }

    /// Why nobody can, as this process knows it.
    fn nobody(&self, request: &Request<'_>, until: Timestamp) -> Pick {
        let now = self.inner.now();
        let known = self.inner.pool.lock().nobody_can(now, request);
        known.unwrap_or(Pick::Wait {
            until: until.max(now + 1),
            why: Why::Cooldown,
        })
    }

    /// Takes what was offered, if this process can.
    fn take(&self, request: &Request<'_>, offered: &Offered) -> Result<Permit, Option<Slot>> {
        let now = self.inner.now();
        let mut pool = self.inner.pool.lock();
        let slot = pool.find(&offered.account).ok_or(None)?;
        let subjects = [Subject::Account(slot), Subject::Model(slot, request.model)];
        for (subject, probes) in subjects.into_iter().zip(offered.probes) {
            if probes {
                pool.grant(now, subject, offered.until);
            }
        }
        match pool.pick_account(now, slot, request) {
            Pick::Use(permit) => Ok(permit),
            Pick::Wait { .. } | Pick::None { .. } => Err(Some(slot)),
        }
    }
}

impl Session {
    async fn next_turn(&self, request: &Request<'_>, exclude: &[Slot]) -> RedisResult<Offer> {
        let inner = &self.inner;
        let (settings, model, excluded) = {
            let pool = inner.pool.lock();
            let model = pool
                .model_name(request.model.number())
                .unwrap_or_default()
                .to_owned();
            let ids = exclude
                .iter()
                .filter_map(|slot| pool.id(*slot).map(str::to_owned));
            (*pool.settings(), model, ids.collect::<Vec<_>>())
        };
        let keys = &inner.keys;
        let token = self.token();
        let mut call = self.scripts.pick.key(&keys.turns);
        call.key(&keys.number).key(&keys.facts).key(&keys.changes);
        call.arg(self.script_now()).arg(settings.probe_lease_ms);
        call.arg(model)
            .arg(&inner.who)
            .arg(keys.lease(""))
            .arg(inner.options.changes);
        call.arg(&token).arg(settings.canary_ms).arg(excluded);
        let answer: Value = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(self.offer(&answer, request.model, &token))
    }

    fn offer(&self, answer: &Value, model: Model, token: &str) -> Offer {
        if let Some(account) = text(answer) {
            return Offer::Account(Offered {
                account: account.to_owned(),
                probes: [false; 2],
                until: 0,
            });
        }
        let [account, whole, of_model, until] = items(answer) else {
            return Offer::Until(match answer {
                Value::Int(until @ 1..) => self.time_here(until.unsigned_abs()),
                _ => 0,
            });
        };
        let until = text(until).and_then(|until| until.parse().ok());
        let offered = Offered {
            account: text(account).unwrap_or_default().to_owned(),
            probes: [whole, of_model].map(|flag| *flag == Value::Int(1)),
            until: self.time_here(until.unwrap_or(0)),
        };
        self.hold_probes(&offered, model, token);
        Offer::Account(offered)
    }

    /// What was leased with a turn is given back when the probe is over.
    fn hold_probes(&self, offered: &Offered, model: Model, token: &str) {
        let named: Vec<(Subject, String)> = {
            let pool = self.inner.pool.lock();
            let Some(slot) = pool.find(&offered.account) else {
                return;
            };
            let subjects = [Subject::Account(slot), Subject::Model(slot, model)];
            let probed = subjects
                .into_iter()
                .zip(offered.probes)
                .filter(|(_, probes)| *probes);
            let named = probed.filter_map(|(s, _)| Some((s, pool.subject_name(s)?)));
            named.collect()
        };
        for (subject, name) in named {
            let token = token.to_owned();
            self.held().insert(subject, Held { name, token });
        }
    }

    /// Says which accounts there are; what is there already keeps its turn.
    pub(super) async fn take_part(&self) -> RedisResult<()> {
        if self.inner.options.mode != Mode::Strict {
            return Ok(());
        }
        self.repair().await?;
        let accounts: Vec<String> = {
            let pool = self.inner.pool.lock();
            let ids = pool
                .slots()
                .filter_map(|slot| pool.id(slot).map(str::to_owned));
            ids.collect()
        };
        let turns = &self.inner.keys.turns;
        for batch in accounts.chunks(1_000) {
            let mut add = redis::cmd("ZADD");
            add.arg(turns).arg("NX");
            batch.iter().for_each(|id| {
                add.arg(0).arg(id);
            });
            let _: Value = add.query_async(&mut self.connection.clone()).await?;
        }
        Ok(())
    }

    /// What somebody else put in the place of turns is taken away. The script that picks does not
    /// look: it fails then, and this process chooses until the next beat.
    async fn repair(&self) -> RedisResult<()> {
        let keys = &self.inner.keys;
        let kinds = [
            (&keys.turns, "zset"),
            (&keys.number, "string"),
            (&keys.facts, "hash"),
            (&keys.changes, "stream"),
        ];
        let mut connection = self.connection.clone();
        for (key, kind) in kinds {
            let found: Value = redis::cmd("TYPE")
                .arg(key)
                .query_async(&mut connection)
                .await?;
            if !matches!(text(&found), Some(found) if found == kind || found == "none") {
                let _: Value = redis::cmd("DEL")
                    .arg(key)
                    .query_async(&mut connection)
                    .await?;
            }
        }
        Ok(())
    }
}
