//! Every text gets an answer, the same each time, in time that grows with its length.

use std::time::{Duration, Instant};

use flowgate_core::guard::{Context, Decision, Guard};
use proptest::prelude::*;

fn context() -> Context {
    Context::new("/home/dev/project", "/home/dev")
}

const PIECES: &[&str] = &[
    "rm",
    " -rf ",
    "/",
    "git ",
    "reset ",
    "--hard",
    "$(",
    ")",
    "`",
    "\"",
    "'",
    "\\",
    "\n",
    "; ",
    " | ",
    "&&",
    "||",
    "&",
    "${",
    "}",
    "X",
    "=",
    "$X",
    "<<EOF\n",
    "EOF\n",
    "<<-'E'",
    "<<<",
    ">",
    "<(",
    ">(",
    "((",
    "))",
    "[[ ",
    " ]]",
    "{",
    ",",
    "..",
    "1",
    "case x in ",
    "esac",
    "a) ",
    ";;",
    "if ",
    "then ",
    "fi",
    "for x in ",
    "do ",
    "done",
    "while ",
    "function f ",
    "() ",
    "sh -c ",
    "eval ",
    "xargs ",
    "find . ",
    "-exec ",
    "{} \\;",
    "python3 -c ",
    "os.system(",
    "node -e ",
    "psql -c ",
    "DROP TABLE x",
    "~",
    "*",
    "?",
    "#",
    "$'",
    "\\x41",
    "é",
    "🎉",
    "\u{1}",
    "\0",
    "\t",
    "\r",
    " ",
    "env -S ",
    "sudo ",
    "f'{",
    "'''",
    "%w[",
    "/*",
    "*/",
    "--",
    "powershell -c ",
    "Remove-Item ",
    "awk ",
    "perl -e ",
    "q(",
    "s/a/b/",
    "ssh h ",
    "cd ",
    "${X:-",
    "${X//a/b}",
    "${X:1:2}",
    "$((",
    "curl -X DELETE ",
    "http://",
    "dd of=",
    "mv ",
    ":(){ :|:& };:",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_shell_get_an_answer(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let (guard, command) = (Guard::default(), pieces.concat());
        let verdict = guard.check(&command, &context());
        prop_assert_eq!(&verdict, &guard.check(&command, &context()));
        if let Some(span) = verdict.span {
            prop_assert!(span.start <= span.end && span.end <= command.len(), "{:?}", span);
        }
        prop_assert_eq!(guard.explain(&command, &context()).verdict.decision, verdict.decision);
        guard.explain(&command, &context()).render(&command);
    }

    #[test]
    fn any_text_gets_an_answer(command in any::<String>()) {
        Guard::default().check(&command, &context());
    }
}

/// Bytes of stack of a thread, as the standard library gives them.
const STACK: usize = 2 << 20;

/// What an input is made of that repeats itself to be slow to read.
const ADVERSARIAL: &[&str] = &[
    "$(",
    "`",
    "\"$(",
    "${x:-",
    "((",
    "(",
    "{ ",
    "if ",
    "case x in ",
    "a;",
    "\"",
    "'",
    "\\",
    "<<E\n",
    "x<<E ",
    "{a,",
    "{a,b}",
    "$x",
    "a=1;",
    "a=1;$a;",
    "a=$a$a;",
    "sudo ",
    "sh -c '",
    "eval ",
    "rm -rf x ",
    "<(",
    "|",
    "&",
    "[[ ",
    "f() { ",
    ":;",
    "$((",
    "env -S x ",
    "xargs ",
    "#",
    "\n",
    "python3 -c '",
    "find . -exec ",
    "for a in b c; do ",
    "$'\\x",
    "${a//b/c}",
    "echo x|",
    "git reset ",
    "(a;",
    "{ a;",
    "( a | ",
    "f(){ a | a;",
    "if a;",
    "case a in a) ",
    "cd x;",
    "echo x > f;",
    "cat <<E\nE\n",
    "export a=b;",
    "f() { f() { ",
    "f() { a; }; f;",
    "function f { f; f; }; ",
    "pushd x; ",
    "curl -o x http://y/z; ./x; ",
    "kubectl -x a -y b ",
    "find . -name x -o ",
    "git -c a=b ",
    "echo a | { ",
    "a=b\n",
    "while read x; do ",
    "<<< x ",
    "powershell -c sudo ",
    "((a ",
    "php -r '$f = $f . $f; foreach ($f as $f) ",
    "ruby -e 'x { |x| x(x) ",
    "$((1+",
    "true; ",
    "node -e 'x.forEach(x => x + x) ",
    "x 'f(x) ",
    "f(x)",
    "f(",
];

#[test]
fn work_grows_with_length_and_no_faster() {
    let guard = Guard::default();
    let mut wrong = Vec::new();
    for piece in ADVERSARIAL {
        let cost = |size: usize| {
            let cost = guard.cost(&piece.repeat(size / piece.len()), &context());
            cost as f64 / size as f64
        };
        let (short, long) = (cost(20_000), cost(80_000));
        // Four times the length costs four times the work, or runs into the limit of steps a byte.
        if long > short * 1.5 + 4.0 && long > 60.0 || long > 80.0 {
            wrong.push(format!(
                "{piece:?}: {short:.1} steps a byte, then {long:.1}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nesting_needs_little_stack() {
    // A thread of a program that embeds the guard may have no more than this.
    let run = || {
        let guard = Guard::default();
        for piece in ADVERSARIAL.iter().chain(&[
            "$(echo ",
            "sh -c \"$(",
            "eval \"$(",
            "sudo env nice ",
            "xargs sh -c ",
            "ssh h ",
            "python3 -c \"$(",
            "${x:-$(",
            "bash <(",
            "`echo \\`",
            "timeout 5 ",
        ]) {
            guard.check(&piece.repeat(3_000), &context());
        }
        let mut quoted = "rm -rf /".to_owned();
        for depth in 0..90 {
            quoted = match depth % 3 {
                0 => format!("sh -c {quoted:?}"),
                1 => format!("eval $(echo {quoted})"),
                _ => format!("sudo env X=1 find . -exec {quoted} \\;"),
            };
            guard.check(&quoted, &context());
            if quoted.len() > 100_000 {
                break;
            }
        }
    };
    let small = std::thread::Builder::new().stack_size(STACK).spawn(run);
    assert!(small.expect("a thread starts").join().is_ok());
}

#[test]
fn no_input_takes_long() {
    let guard = Guard::default();
    let mut slow = Vec::new();
    for piece in ADVERSARIAL {
        let command = piece.repeat(40_000 / piece.len());
        let start = Instant::now();
        guard.check(&command, &context());
        // Without optimisation, on a machine that does other things too.
        if start.elapsed() > Duration::from_secs(3) {
            slow.push(format!("{piece:?}: {:?}", start.elapsed()));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn too_long_is_denied_if_it_may_destroy_and_asked_if_not() {
    let guard = Guard::default();
    let long = "x".repeat(1 << 20);
    assert_eq!(
        guard
            .check(&format!("echo {long}; git reset --hard"), &context())
            .decision,
        Decision::Deny
    );
    assert_eq!(
        guard.check(&format!("echo {long}"), &context()).decision,
        Decision::Ask
    );
}

#[test]
fn what_bash_leaves_open_is_left_open() {
    let guard = Guard::default();
    let mut differ = Vec::new();
    let examples: Vec<String> = guard
        .packs()
        .into_iter()
        .flat_map(|p| p.rules)
        .flat_map(|r| r.deny.into_iter().chain(r.allow))
        .collect();
    let tricky = [
        "echo 'a",
        "echo \"a",
        "echo $(a",
        "echo ${a",
        "echo `a",
        "echo \"$(echo \")\")\"",
        "echo $'a\\'b'",
        "a=(b c)",
        "echo $((1+(2)))",
        "echo ${a:-\"}\"}",
        "echo \"${a:-'}\"",
        "x=$(case a in a) echo;; esac)",
        "x=$(cat <<'E'\nit's\nE\n)",
        "echo a\\",
        "[[ a < b ]]",
        "cat <<E\n$(echo 'x')\nE",
    ];
    for command in examples.iter().map(String::as_str).chain(tricky) {
        let Ok(output) = std::process::Command::new("bash")
            .args(["-n", "-c", command])
            .output()
        else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let bash = said.contains("looking for matching");
        let ours = guard
            .explain(command, &context())
            .steps
            .iter()
            .any(|s| s.text.contains("not closed"));
        if bash != ours {
            differ.push(format!("bash {bash}, guard {ours}: {command} {said}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn what_stands_for_itself_does_not_double() {
    let guard = Guard::default();
    for (before, piece) in [
        ("php -r 'foreach (", "$f as $f) + "),
        ("ruby -e '", "x x { |x| x x "),
        ("node -e '", "x + x.forEach(x => "),
        ("python3 -c '", "for x in x + x: "),
    ] {
        let command = format!("{before}{}'", piece.repeat(100));
        guard.check(&command, &context());
    }
}
