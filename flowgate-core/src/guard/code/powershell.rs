//! PowerShell and cmd: statements of words.

use super::super::walk::Walker;

impl Walker<'_> {
    /// Analyses PowerShell or cmd code.
    pub(crate) fn powershell(&mut self, code: &str, span: (u32, u32)) {
        let lower = code.to_ascii_lowercase();
        let has = |names: &[&str]| names.iter().any(|name| lower.contains(name));
        if has(&["iex", "invoke-expression"])
            && has(&[
                "iwr",
                "irm",
                "invoke-webrequest",
                "invoke-restmethod",
                "webclient",
                "downloadstring",
            ])
        {
            self.special("core.shell:remote-code", span, false);
        }
        // [IO.Directory]::Delete('C:\\data', $true)
        if let Some(at) = lower.find("]::delete(") {
            let argument = code[at + "]::delete(".len()..].trim_start();
            let path = argument.split([',', ')']).next().unwrap_or_default();
            let path = path.trim().trim_matches(['\'', '"']);
            self.run_call(&["rm", "-rf", "--", path], span);
        }
        for statement in statements(code).iter().take(4096) {
            let words: Vec<&str> = statement.iter().map(String::as_str).collect();
            if !words.is_empty() {
                self.cmdlet(&words, span);
            }
        }
    }

    /// Runs one statement as the Unix command it amounts to.
    fn cmdlet(&mut self, words: &[&str], span: (u32, u32)) {
        let bare = |word: &str| word.trim_start_matches('&').to_ascii_lowercase();
        let runs = |word: &&str| {
            matches!(
                bare(word).as_str(),
                "" | "sudo" | "start-process" | "invoke-command"
            )
        };
        let wrappers = words.iter().take_while(|w| runs(w)).count();
        let words = &words[wrappers.min(words.len() - 1)..];
        let name = bare(words[0]);
        match name.as_str() {
            "remove-item" | "ri" | "rm" | "del" | "erase" | "rd" | "rmdir"
                if words.iter().any(|w| {
                    w.len() > 2
                        && (starts(w, "-recurse")
                            || starts(w, "-force")
                            || starts(w, "-path")
                            || starts(w, "-literalpath"))
                }) || name == "remove-item"
                    || name == "ri" =>
            {
                self.remove(words, span)
            }
            // cmd: for /d %i in (*) do rd /s /q %i
            "for" if words.iter().any(|w| w.eq_ignore_ascii_case("do")) => {
                let body = words.iter().rposition(|w| w.eq_ignore_ascii_case("do"));
                let body = &words[body.map_or(words.len(), |at| at + 1)..];
                if !body.is_empty() {
                    self.run_call(body, span);
                }
            }
            "iex" | "invoke-expression" => {
                let code = words[1..].join(" ");
                self.depth += 1;
                if self.depth < super::super::walk::DEPTH {
                    self.powershell(&code, span);
                }
                self.depth -= 1;
            }
            _ => {
                let mut words = words.to_vec();
                if !self.guard.knows(words[0]) {
                    words[0] = &name;
                }
                self.run_call(&words, span);
            }
        }
    }

    fn remove(&mut self, words: &[&str], span: (u32, u32)) {
        let recursive = words.iter().any(|w| w.len() > 1 && starts(w, "-recurse"));
        if words.iter().any(|w| w.eq_ignore_ascii_case("-whatif")) {
            return;
        }
        let mut unix = vec!["rm", if recursive { "-rf" } else { "-f" }];
        let paths: Vec<&str> = words[1..]
            .iter()
            .filter(|w| !w.starts_with('-') && !w.starts_with('$'))
            .flat_map(|w| w.split(','))
            .collect();
        unix.extend(paths);
        if unix.len() == 2 {
            unix.push(super::super::value::UNKNOWN_TEXT);
        }
        self.run_call(&unix, span);
    }
}

/// Whether a word is an option, perhaps abbreviated.
fn starts(word: &str, option: &str) -> bool {
    word.len() <= option.len() && option[..word.len().min(option.len())].eq_ignore_ascii_case(word)
}

/// Splits code at `;`, `|`, `&&` and line ends, and statements into words.
fn statements(code: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in code.chars() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ';' | '|' | '\n' | '&' | '{' | '}' | '(' | ')') => {
                words.extend(word.take());
                if !words.is_empty() {
                    all.push(std::mem::take(&mut words));
                }
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        all.push(words);
    }
    all
}
