//! A pool that is warm allocates nothing, and an account takes little memory.

#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use flowgate_core::accounts::{
    AccountSpec, Action, BucketView, Class, Classification, Outcome, Pick, Pool, QuotaView,
    Request, Scope, Settings,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
        let _ = LIVE.try_with(|c| c.set(c.get() + layout.size() as isize));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|c| c.set(c.get() - layout.size() as isize));
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn pool(accounts: usize) -> Pool {
    let mut pool = Pool::new(Settings::default());
    for number in 0..accounts {
        pool.upsert(
            &AccountSpec::new(format!("claude-{number}"), "anthropic"),
            0,
        );
    }
    pool
}

/// One request in its turn: most are served, and some refused, for the account or the model.
fn serve(pool: &mut Pool, turn: u64, view: &QuotaView) {
    let now = 1_000 + turn * 50;
    let model = pool.model(["haiku", "sonnet", "opus"][turn as usize % 3]);
    let request = Request {
        model,
        session: Some(turn % 100),
        tokens: 100,
        ..Request::default()
    };
    let Pick::Use(permit) = pool.pick(now, &request) else {
        return;
    };
    let scope = if turn.is_multiple_of(2) {
        Scope::Account
    } else {
        Scope::Model
    };
    let outcome = match turn % 10 {
        0 | 1 => Outcome::from(Classification {
            class: Class::Rate,
            scope,
            action: Action::Next,
            cooldown_ms: Some(2_000),
        }),
        _ => {
            pool.on_headers(now + 1, &permit, true, view);
            Outcome::ok(Some(90))
        }
    };
    pool.report(now + 2, permit, &outcome);
}

#[test]
fn a_warm_pool_allocates_nothing() {
    let mut pool = pool(50);
    let mut view = QuotaView::default();
    view.requests = Some(BucketView {
        limit: Some(600),
        remaining: 500,
        full_in_ms: Some(10_000),
    });
    for turn in 0..20_000 {
        serve(&mut pool, turn, &view);
    }
    let before = COUNT.with(Cell::get);
    for turn in 20_000..40_000 {
        serve(&mut pool, turn, &view);
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0);
    assert_eq!(pool.inflight(None), 0);
}

#[test]
fn an_account_takes_little_memory() {
    let before = LIVE.with(Cell::get);
    // A power of two, so that nothing is kept in reserve for more.
    let accounts = 1 << 16;
    let pool = pool(accounts);
    let each = (LIVE.with(Cell::get) - before) as f64 / accounts as f64;
    println!("{each:.1} bytes an account");
    if each > 160.0 || pool.len() != accounts {
        panic!("{each} bytes an account");
    }
}
