//! What is denied stays denied in every disguise, and becomes harmless as data.

use flowgate_core::guard::{Context, Decision, Guard};

/// Every example that some rule denies or asks about.
fn denied(guard: &Guard) -> Vec<String> {
    guard
        .packs()
        .into_iter()
        .flat_map(|p| p.rules)
        .filter(|r| r.decision >= Decision::Ask)
        .flat_map(|r| r.deny)
        .collect()
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a word can be put in front: the example begins with a plain command.
fn takes_prefix(command: &str) -> bool {
    let first = command.split_whitespace().next().unwrap_or_default();
    !first.contains(['=', '(', '{', '$', ':', '>', '.'])
        && ![
            "if", "for", "while", "case", "cat", "date", "history", "format", "b()", "DROP",
            "TRUNCATE", "DELETE", "ALTER", "GRANT", "UPDATE",
        ]
        .contains(&first)
}

#[test]
fn a_denied_example_stays_denied_in_disguise() {
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    let prefixes = [
        "sudo ",
        "sudo -u root -E ",
        "env ",
        "env -i A=1 ",
        "nohup ",
        "nice -n 5 ",
        "ionice -c 3 ",
        "timeout -k 5 10s ",
        "command ",
        "stdbuf -oL ",
        "setsid ",
        "time ",
        "doas ",
        "chroot /mnt ",
        "flock /tmp/l ",
        "strace -f -o /tmp/t ",
        "xvfb-run -a ",
        "busybox ",
        "unshare -r ",
        "A=1 B=2 ",
        "! ",
        "exec ",
        "\\",
        "poetry run ",
        "uv run ",
        "bundle exec ",
        "npx ",
        "caffeinate -i ",
        "taskset 1 ",
        "systemd-run --user ",
    ];
    let mut wrong = Vec::new();
    for command in denied(&guard) {
        let quoted = single(&command);
        let mut forms = vec![
            format!("true && {command}"),
            format!("{command}\ngit status"),
            format!("({command}\n)"),
            format!("{{ {command}\n}}"),
            format!("if true; then {command}\nfi"),
            format!("false || {command}"),
            format!("while :; do {command}\ndone"),
            format!("case x in x) {command}\n;; esac"),
            format!("f() {{ {command}\n}}; f"),
            format!("ls | grep x; {command}"),
            format!("sh -c {quoted}"),
            format!("bash -lc {quoted}"),
            format!("eval {quoted}"),
            format!("echo {quoted} | sh"),
            format!("printf '%s\\n' {quoted} | bash -s"),
            format!("su root -c {quoted}"),
            format!("bash <<'END_OF_IT'\n{command}\nEND_OF_IT"),
            format!("cat <<'END_OF_IT' | bash\n{command}\nEND_OF_IT"),
            format!("bash <<< {quoted}"),
            format!("C={quoted}; eval \"$C\""),
            format!("C={quoted}; sh -c \"$C\""),
            format!("trap {quoted} EXIT"),
            format!("watch -n1 {quoted}"),
            format!("ls | xargs -I@@ sh -c {quoted}"),
            format!("echo \"$({command}\n)\""),
            format!("diff <({command}\n) x"),
            format!("cat > s.sh <<'END_OF_IT'\n{command}\nEND_OF_IT\nbash s.sh"),
            format!("npx -c {quoted}"),
            format!("script -qc {quoted}"),
        ];
        // `find` puts a name in the place of `{}`.
        if !command.contains("{}") {
            forms.push(format!("find . -exec sh -c {quoted} \\;"));
        }
        if takes_prefix(&command) {
            forms.extend(prefixes.iter().map(|p| format!("{p}{command}")));
            let (first, rest) = command.split_at(command.find(' ').unwrap_or(command.len()));
            if first.len() > 1 && !first.contains(['\\', '"', '\'', '/', '-', '*']) {
                forms.push(format!("'{first}'{rest}"));
                forms.push(format!("\"{first}\"{rest}"));
                forms.push(format!("{}''{}{rest}", &first[..1], &first[1..]));
                forms.push(format!("{}\\\n{}{rest}", &first[..1], &first[1..]));
                forms.push(format!("/usr/bin/{first}{rest}"));
                forms.push(format!("V={first}; $V{rest}"));
                forms.push(format!("$(echo {first}){rest}"));
                forms.push(format!(
                    "$'\\x{:02x}'{}{rest}",
                    first.as_bytes()[0],
                    &first[1..]
                ));
            }
        }
        // `{}` is not the same under `find` and `xargs`.
        let changed = |form: &str| {
            command.contains("{}") && (form.starts_with("find ") || form.contains("xargs -I"))
        };
        for form in forms.into_iter().filter(|f| !changed(f)) {
            if guard.check(&form, &context).decision.runs() {
                wrong.push(form);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} disguises got through:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n---\n")
    );
}

#[test]
fn a_denied_example_is_harmless_as_data() {
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    let mut wrong = Vec::new();
    for command in denied(&guard) {
        let quoted = single(&command);
        let line = command.replace('\n', " ");
        for form in [
            format!("echo {quoted}"),
            format!("printf '%s' {quoted}"),
            format!("git commit -m {quoted}"),
            format!("git commit --message={quoted}"),
            format!("git log --grep={quoted}"),
            format!("grep -rn {quoted} docs"),
            format!("rg {quoted} | head"),
            format!("ls # {line}"),
            format!("# {line}"),
            format!("cat > notes.md <<'END_OF_IT'\n{command}\nEND_OF_IT"),
            format!("cat <<'END_OF_IT' >> notes.md\n{command}\nEND_OF_IT"),
            format!("git commit -F - <<'END_OF_IT'\n{command}\nEND_OF_IT"),
            format!("gh issue create --title x --body {quoted}"),
            format!("gh pr create --body \"$(cat <<'END_OF_IT'\n{command}\nEND_OF_IT\n)\""),
            format!("MSG={quoted}; echo \"$MSG\""),
            format!("export MSG={quoted}"),
            format!("[ \"$x\" = {quoted} ]"),
            format!("[[ $x == {quoted} ]]"),
            format!("wc -l <<'END_OF_IT'\n{command}\nEND_OF_IT"),
            format!("grep x <<< {quoted}"),
            format!("jq -n --arg c {quoted} '$c'"),
            format!("python3 -c \"import sys; print(len(sys.argv))\" {quoted}"),
            format!("curl -d {quoted} https://x.example"),
            format!("claude -p {quoted}"),
            format!("logger {quoted}"),
            format!("touch {quoted}"),
        ] {
            let verdict = guard.check(&form, &context);
            if !verdict.decision.runs() {
                wrong.push(format!("{} by {}", form, verdict.rule.unwrap_or_default()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} harmless texts were stopped:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n---\n")
    );
}
