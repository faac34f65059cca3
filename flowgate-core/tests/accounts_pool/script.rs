//! What may happen to a pool, as data that proptest makes and shrinks.

use flowgate_core::accounts::{Action, BucketView, Class, Classification, QuotaView, Scope};
use proptest::prelude::*;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pick {
        model: u32,
        session: Option<u64>,
        exclude: u8,
        tokens: u32,
    },
    /// The headers of one of the last requests came, and say that it is served.
    Headers(usize),
    /// One of the last requests was served.
    Ok(usize),
    /// One of the last requests failed.
    Fail(usize, Classification),
    Enable(usize, bool),
    Reset(usize),
    /// The pool is saved, and another continues.
    Restart,
    /// Time passes, or seems to go back.
    Clock(i64),
}

pub(crate) fn answer(
    class: Class,
    scope: Scope,
    action: Action,
    cooldown_ms: Option<u64>,
) -> Classification {
    Classification {
        class,
        scope,
        action,
        cooldown_ms,
    }
}

/// What headers say about short windows.
pub(crate) fn quota(requests: Option<BucketView>, tokens: Option<BucketView>) -> QuotaView {
    let mut view = QuotaView::default();
    view.requests = requests;
    view.tokens = tokens;
    view
}

fn failure() -> impl Strategy<Value = Classification> {
    use Action::{Next, Refresh, Stop};
    let wait = prop_oneof![
        Just(None),
        Just(Some(0)),
        (1_u64..3_000).prop_map(Some),
        Just(Some(60_000)),
        Just(Some(7_000_000)),
    ];
    let limit = prop_oneof![Just(Class::Rate), Just(Class::Quota)];
    let about = prop_oneof![4 => Just(Scope::Account), 1 => Just(Scope::Model)];
    let limited =
        (limit, about, wait).prop_map(|(class, scope, wait)| answer(class, scope, Next, wait));
    let fixed = |class, scope, action| Just(answer(class, scope, action, None));
    prop_oneof![
        6 => limited,
        2 => fixed(Class::ServerError, Scope::Account, Next),
        2 => fixed(Class::Overloaded, Scope::Provider, Next),
        1 => fixed(Class::Overloaded, Scope::Model, Next),
        1 => fixed(Class::Network, Scope::Account, Next),
        1 => fixed(Class::Auth, Scope::Account, Refresh),
        1 => fixed(Class::Payment, Scope::Account, Next),
        1 => fixed(Class::ModelUnsupported, Scope::Model, Next),
        1 => fixed(Class::RequestFault, Scope::Request, Stop),
        1 => fixed(Class::ClientCancelled, Scope::None, Stop),
        1 => fixed(Class::Windowless, Scope::Request, Next),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let session = prop::option::weighted(0.3, 0_u64..3);
    let exclude = prop_oneof![8 => Just(0_u8), 1 => any::<u8>()];
    let pick =
        (0_u32..3, session, exclude, 0_u32..2_000).prop_map(|(model, session, exclude, tokens)| {
            Step::Pick {
                model,
                session,
                exclude,
                tokens,
            }
        });
    let clock = prop_oneof![
        3 => 0_i64..10,
        3 => 100_i64..3_000,
        2 => 10_000_i64..20_000,
        1 => 500_000_i64..1_000_000,
        1 => -5_000_i64..0,
    ];
    prop_oneof![
        10 => pick,
        2 => (0_usize..4).prop_map(Step::Headers),
        4 => (0_usize..4).prop_map(Step::Ok),
        6 => (0_usize..4, failure()).prop_map(|(which, answer)| Step::Fail(which, answer)),
        1 => (0_usize..6, any::<bool>()).prop_map(|(which, on)| Step::Enable(which, on)),
        1 => (0_usize..6).prop_map(Step::Reset),
        1 => Just(Step::Restart),
        8 => clock.prop_map(Step::Clock),
    ]
}

pub(crate) fn script() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}
