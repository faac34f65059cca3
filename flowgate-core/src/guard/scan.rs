//! Destructive commands in files that run commands.
//!
//! Text in, findings out: shell scripts, Makefiles, Dockerfiles, `package.json` scripts and
//! GitHub workflows. The host reads the files.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, Decision, Guard, Severity, Span, Verdict};

/// A kind of file that runs commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A Dockerfile.
    Dockerfile,
    /// A Makefile.
    Makefile,
    /// The `scripts` of a `package.json`.
    PackageJson,
    /// A shell script.
    Shell,
    /// A GitHub workflow or a composite action.
    Workflow,
}

impl FileKind {
    /// Tells the kind from the path and the first line; `None` if nothing in it would run.
    pub fn of(path: &str, text: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let lower = name.to_ascii_lowercase();
        if name == "package.json" {
            return Some(Self::PackageJson);
        }
        if lower == "dockerfile"
            || lower.starts_with("dockerfile.")
            || lower.ends_with(".dockerfile")
            || lower == "containerfile"
        {
            return Some(Self::Dockerfile);
        }
        if matches!(lower.as_str(), "makefile" | "gnumakefile") || lower.ends_with(".mk") {
            return Some(Self::Makefile);
        }
        let yaml = lower.ends_with(".yml") || lower.ends_with(".yaml");
        if yaml && (path.contains(".github/workflows/") || lower.starts_with("action.")) {
            return Some(Self::Workflow);
        }
        let shebang = text
            .lines()
            .next()
            .filter(|l| l.starts_with("#!"))
            .unwrap_or_default();
        let shell = [".sh", ".bash", ".zsh", ".ksh"]
            .iter()
            .any(|e| lower.ends_with(e))
            || shebang.trim_end().ends_with("sh")
            || shebang.contains("/bash")
            || shebang.contains("/sh ");
        shell.then_some(Self::Shell)
    }
}

/// A destructive command in a file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ScanFinding {
    /// The file.
    pub path: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The deciding part of the command.
    pub snippet: String,
    /// What the guard says of it.
    pub verdict: Verdict,
}

/// A command of a file: its text, and the offset of each of its lines in the file.
#[derive(Debug, Default)]
struct Piece {
    code: String,
    /// Offset in `code` and in the file of each part.
    map: Vec<(usize, usize)>,
}

impl Piece {
    fn push(&mut self, code: &str, offset: usize) {
        self.map.push((self.code.len(), offset));
        self.code.push_str(code);
    }

    /// The offset in the file of an offset in the code.
    fn offset(&self, at: usize) -> usize {
        let (code, file) = self
            .map
            .iter()
            .rev()
            .find(|(code, _)| *code <= at)
            .copied()
            .unwrap_or((0, 0));
        file + at - code
    }
}

/// Finds the destructive commands of a file.
pub fn scan(
    guard: &Guard,
    kind: FileKind,
    path: &str,
    text: &str,
    context: &Context,
) -> Vec<ScanFinding> {
    let pieces = match kind {
        FileKind::Shell => vec![Piece {
            code: text.to_owned(),
            map: vec![(0, 0)],
        }],
        FileKind::Makefile => makefile(text),
        FileKind::Dockerfile => dockerfile(text),
        FileKind::PackageJson => package_json(text),
        FileKind::Workflow => workflow(text),
    };
    let mut findings = Vec::new();
    for piece in pieces {
        for (verdict, span) in all(guard, &piece.code, context) {
            let start = piece.offset(span.start).min(text.len());
            let before = text.get(..start).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |n| n + 1);
            findings.push(ScanFinding {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                snippet: piece
                    .code
                    .get(span.start..span.end)
                    .unwrap_or_default()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                verdict,
            });
        }
    }
    findings.sort_by_key(|f| (f.line, f.column));
    findings
}

/// Every finding of a piece, not only the worst.
fn all(guard: &Guard, code: &str, context: &Context) -> Vec<(Verdict, Span)> {
    guard
        .check_all(code, context)
        .into_iter()
        .filter(|v| v.decision != Decision::Allow)
        .filter_map(|v| v.span.map(|s| (v, s)))
        .collect()
}

/// Recipe lines, joined where they go on; `$(VAR)` is unknown to the shell too.
fn makefile(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open = false;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let (skip, body) = match (open, line.strip_prefix('\t')) {
            (true, Some(rest)) => (1, rest),
            (true, None) => (0, line),
            (false, Some(rest)) => {
                let recipe = rest.trim_start_matches(['@', '-', '+', ' ']);
                pieces.push(Piece::default());
                (line.len() - recipe.len(), recipe)
            }
            (false, None) => continue,
        };
        open = body.trim_end_matches(['\n', '\r']).ends_with('\\');
        if let Some(piece) = pieces.last_mut() {
            piece.push(&shell_of_make(body), start + skip);
        }
    }
    pieces
}

/// Make's `$(NAME)` and `$$x` as the shell would see them, with the same length.
fn shell_of_make(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("$$") {
            out.push_str(" $");
            // The blank keeps offsets; between words it changes nothing, inside one it is undone.
            if !out[..out.len() - 2].ends_with([' ', '\t', '\n', ';', '(']) && out.len() > 2 {
                out.truncate(out.len() - 2);
                out.push('$');
            }
            rest = after;
        } else if let Some(end) = tail.find(')').filter(|_| {
            tail.starts_with("$(")
                && tail[2..]
                    .chars()
                    .next()
                    .is_some_and(|c| c.is_ascii_alphabetic())
        }) {
            let name: String = tail[2..end]
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            out.push_str("${");
            out.push_str(&name);
            out.push('}');
            rest = &tail[end + 1..];
        } else {
            out.push('$');
            rest = &tail[1..];
        }
    }
    out + rest
}

/// `RUN`, `CMD` and `ENTRYPOINT` in shell form and as lists.
fn dockerfile(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current: Option<Piece> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let trimmed = line.trim_start();
        if current.is_some() && trimmed.starts_with('#') {
            continue;
        }
        if current.is_none() {
            let Some((word, rest)) = trimmed.split_once([' ', '\t']) else {
                continue;
            };
            if !matches!(
                word.to_ascii_uppercase().as_str(),
                "RUN" | "CMD" | "ENTRYPOINT" | "HEALTHCHECK"
            ) {
                continue;
            }
            let mut rest = rest.trim_start();
            while rest.starts_with("--") || rest.starts_with("CMD ") {
                rest = rest
                    .split_once([' ', '\t'])
                    .map_or("", |(_, r)| r)
                    .trim_start();
            }
            let mut piece = Piece::default();
            let list: Option<Vec<String>> = serde_json::from_str(rest.trim()).ok();
            match list {
                Some(words) => {
                    let quoted: Vec<String> = words
                        .iter()
                        .map(|w| format!("'{}'", w.replace('\'', r"'\''")))
                        .collect();
                    piece.push(&quoted.join(" "), start + line.len() - rest.len());
                }
                None => piece.push(rest, start + line.len() - rest.len()),
            }
            current = Some(piece);
        } else if let Some(piece) = &mut current {
            piece.push(line, start);
        }
        if !line.trim_end().ends_with('\\') {
            pieces.extend(current.take());
        }
    }
    pieces.extend(current);
    pieces
}

/// The values of `scripts`.
fn package_json(text: &str) -> Vec<Piece> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let Some(scripts) = value["scripts"].as_object() else {
        return Vec::new();
    };
    let from = text.find("\"scripts\"").unwrap_or(0);
    scripts
        .iter()
        .filter_map(|(name, script)| {
            let code = script.as_str()?;
            let key = text[from..]
                .find(&format!("\"{name}\""))
                .map_or(from, |n| from + n);
            let spelled = json!(code).to_string();
            let offset = text[key..].find(&spelled).map_or(key, |n| key + n + 1);
            Some(Piece {
                code: code.to_owned(),
                map: vec![(0, offset)],
            })
        })
        .collect()
}

/// The `run` keys of a workflow, as plain texts and as blocks.
fn workflow(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut block: Option<(usize, Option<usize>, Piece)> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let indent = line.len() - line.trim_start_matches(' ').len();
        let blank = line.trim().is_empty();
        if let Some((key, inner, piece)) = &mut block {
            if blank || indent > *key {
                let strip = *inner.get_or_insert(indent);
                let body = line.get(strip.min(indent)..).unwrap_or("\n");
                piece.push(&expressions(body), start + strip.min(indent));
                continue;
            }
            pieces.extend(block.take().map(|(_, _, piece)| piece));
        }
        let content = line.trim_start_matches([' ', '-']);
        let Some(rest) = content.strip_prefix("run:") else {
            continue;
        };
        let value = rest.trim();
        let key = line.len() - content.len();
        if value.starts_with(['|', '>']) {
            block = Some((key, None, Piece::default()));
        } else {
            let quoted = value
                .strip_prefix(['"', '\''])
                .and_then(|v| v.strip_suffix(['"', '\'']));
            let code = quoted.unwrap_or(value);
            let at = line.find(code).unwrap_or(0);
            let mut piece = Piece::default();
            piece.push(&expressions(code), start + at);
            pieces.push(piece);
        }
    }
    pieces.extend(block.map(|(_, _, piece)| piece));
    pieces
}

/// `${{ … }}` as a variable of the same length.
fn expressions(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("${{") {
        let Some(end) = rest[at..].find("}}") else {
            break;
        };
        out.push_str(&rest[..at]);
        out.push_str("${");
        out.extend(std::iter::repeat_n('_', end - 1));
        out.push('}');
        rest = &rest[at + end + 2..];
    }
    out + rest
}

/// The findings of many files as a SARIF 2.1.0 log.
pub fn sarif(findings: &[ScanFinding], version: &str) -> Value {
    let mut rules: Vec<&ScanFinding> = Vec::new();
    for finding in findings {
        if !rules.iter().any(|r| r.verdict.rule == finding.verdict.rule) {
            rules.push(finding);
        }
    }
    let level = |severity: Option<Severity>| match severity {
        Some(Severity::Critical | Severity::High) => "error",
        Some(Severity::Medium) => "warning",
        _ => "note",
    };
    let describe = |f: &&ScanFinding| {
        json!({
            "id": f.verdict.rule,
            "shortDescription": { "text": f.verdict.reason.as_deref().unwrap_or_default() },
            "help": { "text": f.verdict.suggestion.as_deref().unwrap_or_default() },
            "defaultConfiguration": { "level": level(f.verdict.severity) },
        })
    };
    let result = |f: &ScanFinding| {
        json!({
            "ruleId": f.verdict.rule,
            "level": level(f.verdict.severity),
            "message": { "text": f.verdict.reason.as_deref().unwrap_or_default() },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": f.path },
                "region": { "startLine": f.line, "startColumn": f.column, "snippet": { "text": f.snippet } },
            }}],
        })
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "flowgate guard", "version": version, "rules": rules.iter().map(describe).collect::<Vec<_>>() } },
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<(usize, String)> {
        let kind = FileKind::of(path, text).expect("a kind that is known");
        let context = Context::new("/home/dev/project", "/home/dev");
        scan(&Guard::default(), kind, path, text, &context)
            .into_iter()
            .map(|f| (f.line, f.snippet))
            .collect()
    }

    #[test]
    fn every_command_of_a_shell_script_is_found() {
        let text = "#!/bin/sh\necho 'rm -rf /'\ngit reset --hard\nls\nrm -rf /etc\n";
        assert_eq!(
            lines("x", text),
            [
                (3, "git reset --hard".to_owned()),
                (5, "rm -rf /etc".to_owned())
            ]
        );
    }

    #[test]
    fn recipes_of_a_makefile() {
        let text = "clean:\n\t@rm -rf $(OUT)\n\t-git clean \\\n\t  -fdx\nX = rm -rf /\n";
        assert_eq!(
            lines("Makefile", text)
                .iter()
                .map(|l| l.0)
                .collect::<Vec<_>>(),
            [2, 3]
        );
    }

    #[test]
    fn instructions_of_a_dockerfile() {
        let text = "FROM x\nCOPY rm /\nRUN apt-get update && \\\n    rm -rf /var/lib\nCMD [\"sh\", \"-c\", \"rm -rf /\"]\n";
        assert_eq!(
            lines("Dockerfile", text)
                .iter()
                .map(|l| l.0)
                .collect::<Vec<_>>(),
            [4, 5]
        );
    }

    #[test]
    fn scripts_of_a_package() {
        let text = "{\n  \"name\": \"git reset --hard\",\n  \"scripts\": {\n    \"build\": \"tsc\",\n    \"reset\": \"git reset --hard\"\n  }\n}\n";
        assert_eq!(
            lines("package.json", text),
            [(5, "git reset --hard".to_owned())]
        );
    }

    #[test]
    fn runs_of_a_workflow() {
        let text = "name: git reset --hard\njobs:\n  a:\n    steps:\n      - run: git reset --hard\n      - name: x\n        run: |\n          ls\n          rm -rf ${{ inputs.dir }}\n      - uses: x\n";
        assert_eq!(
            lines(".github/workflows/a.yml", text)
                .iter()
                .map(|l| l.0)
                .collect::<Vec<_>>(),
            [5, 9]
        );
    }

    #[test]
    fn sarif_names_each_rule_once() {
        let context = Context::new("/p", "/home/dev");
        let found = scan(
            &Guard::default(),
            FileKind::Shell,
            "a.sh",
            "git reset --hard\ngit reset --hard\n",
            &context,
        );
        let log = sarif(&found, "1");
        assert_eq!(log["runs"][0]["results"].as_array().map(Vec::len), Some(2));
        assert_eq!(
            log["runs"][0]["tool"]["driver"]["rules"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
    }
}
