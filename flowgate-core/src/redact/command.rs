//! Shell commands without their secrets, for logs.

use super::{HIDDEN, is_secret_key, looks_like_key};

/// A shell command in which what looks like a secret is hidden, for logs.
///
/// Hidden are values of variables and options whose names say so (`TOKEN=…`, `--password …`),
/// passwords in URLs, what follows `Authorization:` or `Bearer`, and words that begin as the keys
/// of well-known services do. A secret that looks like any other word is not found.
///
/// ```
/// use flowgate_core::redact::redact_command;
///
/// assert_eq!(
///     redact_command("PGPASSWORD=x psql -h db && curl -u a https://me:pw@host --api-key k"),
///     "PGPASSWORD=******** psql -h db && curl -u a https://me:********@host --api-key ********"
/// );
/// ```
pub fn redact_command(command: &str) -> String {
    let mut out = String::with_capacity(command.len());
    let mut hide_next = false;
    for piece in command.split_inclusive(|c: char| c.is_whitespace() || ";|&()<>".contains(c)) {
        let word = piece.trim_end_matches(|c: char| c.is_whitespace() || ";|&()<>".contains(c));
        let rest = &piece[word.len()..];
        let bare = word.trim_matches(['"', '\'', '\\', ',', '{', '}']);
        if bare.is_empty() {
            out.push_str(piece);
            continue;
        }
        if std::mem::take(&mut hide_next) {
            let announces = matches!(
                bare.to_ascii_lowercase().as_str(),
                "bearer" | "basic" | "token" | "="
            );
            if announces {
                out.push_str(piece);
                hide_next = true;
                continue;
            }
            if !bare.starts_with('-') {
                out.push_str(&word.replace(bare, HIDDEN));
                out.push_str(rest);
                continue;
            }
        }
        hide_next = (bare.starts_with('-') && !bare.contains('=') && is_secret_key(bare))
            || bare.strip_suffix(':').is_some_and(is_secret_key)
            || bare.eq_ignore_ascii_case("bearer");
        out.push_str(&redact_word(word, bare));
        out.push_str(rest);
    }
    out
}

fn redact_word(word: &str, bare: &str) -> String {
    if let Some((name, value)) = bare
        .split_once(['=', ':'])
        .filter(|(name, value)| is_secret_key(name.trim_matches(['"', '\''])) && !value.is_empty())
    {
        let value = value.trim_matches(['"', '\'']);
        if !value.is_empty() && !value.starts_with('$') {
            let at = name.len() + 1;
            return word.replace(
                bare,
                &format!("{}{}", &bare[..at], bare[at..].replace(value, HIDDEN)),
            );
        }
    }
    if let Some((scheme, after)) = bare.split_once("://") {
        let authority = after.split('/').next().unwrap_or_default();
        if let Some((user, password)) = authority
            .rsplit_once('@')
            .and_then(|(info, _)| info.split_once(':'))
        {
            let (open, hidden) = (
                format!("{scheme}://{user}:{password}@"),
                format!("{scheme}://{user}:{HIDDEN}@"),
            );
            return word.replace(&open, &hidden);
        }
    }
    let value = bare
        .rsplit('=')
        .next()
        .unwrap_or(bare)
        .trim_matches(['"', '\'']);
    if looks_like_key(value) {
        return word.replace(value, HIDDEN);
    }
    word.to_owned()
}
