//! What a decision of the guard costs, with all packs on: `cargo bench --bench guard`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flowgate_core::guard::{Context, Guard};

/// What agents run most of the time.
const BENIGN: &[&str] = &[
    "ls -la src",
    "git status",
    "git diff --stat",
    "cargo test --workspace",
    "npm run build",
    "cat README.md",
    "rg -n 'fn main' src",
    "cd src && cargo build && cargo test",
    "git log --oneline -20 | head -5",
    "find . -name '*.rs' -not -path './target/*' | head",
    "python3 -m pytest -q tests/unit",
    "sed -n '1,80p' src/lib.rs",
    "docker compose up -d",
    "kubectl get pods -n default",
    "aws s3 ls s3://bucket",
    "grep -rn \"TODO\" src | wc -l",
    "mkdir -p build && cp a.txt build/",
    "curl -s https://example.com/api | jq .name",
    "git commit -m 'fix: never rm -rf / again'",
    "git add src/main.rs src/lib.rs && git commit -m \"wip\"",
    "rm -rf node_modules dist",
    "rm -f /tmp/x.log",
    "echo done",
    "terraform plan -out=x",
    "psql -c 'select count(*) from users where id = 1'",
    "for f in a b c; do echo $f; done",
];

const DENIED: &[&str] = &[
    "git reset --hard",
    "rm -rf /",
    "sudo rm -rf /etc",
    "git push --force origin main",
    "find . -delete",
    "bash -c 'git clean -fdx'",
    "X=/; rm -rf $X",
];

const INLINE: &[&str] = &[
    "python3 -c \"import json, sys; print(json.load(sys.stdin)['name'])\"",
    "node -e \"const fs = require('fs'); console.log(JSON.parse(fs.readFileSync('package.json')).version)\"",
    "cat > notes.md <<'EOF'\n# Notes\nNever run `git reset --hard`.\nUse stash.\nEOF",
    "git commit -m \"$(cat <<'EOF'\nfeat: add parser\n\nIt's iterative, and it doesn't recurse.\n\nCo-Authored-By: X <x@example.com>\nEOF\n)\"",
    "python3 - <<'EOF'\nimport os\nfor name in sorted(os.listdir('.')):\n    if name.endswith('.py'):\n        print(name, os.path.getsize(name))\nEOF",
];

fn guard(c: &mut Criterion) {
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    for (group, commands) in [("benign", BENIGN), ("denied", DENIED), ("inline", INLINE)] {
        let mut group = c.benchmark_group(group);
        for command in commands {
            let name: String = command
                .chars()
                .take(40)
                .map(|c| if c == '/' { '_' } else { c })
                .collect();
            group.bench_function(name, |b| {
                b.iter(|| guard.check(black_box(command), &context))
            });
        }
        group.finish();
    }
    let files: String = (0..9000).map(|i| format!(" src/f{i}.rs")).collect();
    let large = [
        ("git_add", format!("git add{files}")),
        ("echo", format!("echo {}", "w".repeat(103_000))),
        (
            "heredoc",
            format!("cat > x <<'EOF'\n{}EOF", "some line of text\n".repeat(6000)),
        ),
        ("segments", "true; ".repeat(17_000)),
    ];
    let mut group = c.benchmark_group("100KB");
    for (name, command) in &large {
        group.bench_function(*name, |b| {
            b.iter(|| guard.check(black_box(command), &context))
        });
    }
    group.finish();
    c.bench_function("construction", |b| b.iter(Guard::default));
}

criterion_group! { name = benches; config = Criterion::default().without_plots().warm_up_time(std::time::Duration::from_millis(100)).measurement_time(std::time::Duration::from_millis(300)).sample_size(20); targets = guard }
criterion_main!(benches);
