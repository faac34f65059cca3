use secrecy::ExposeSecret;

use super::*;

fn taken(format: Format, text: &str) -> Result<(String, Value), String> {
    let imported = import(format, text, 1_780_000_000_000).map_err(|error| error.to_string())?;
    let content = serde_json::from_str(imported.content.expose_secret()).unwrap();
    Ok((imported.file_name, content))
}

fn codex_of(tokens: &str) -> Result<(String, Value), String> {
    taken(Format::Codex, &format!("{{\"tokens\": {tokens}}}"))
}

#[test]
fn codex_gives_its_tokens_and_nothing_is_made_up() {
    let full = |access: &str, refresh: &str, id: &str, account: &str| json!({"type": "codex", "token_type": "bearer", "access_token": access, "refresh_token": refresh, "id_token": id, "account_id": account});
    for (tokens, expected) in [
        (
            r#"{"access_token": "a1", "refresh_token": "r1"}"#,
            full("a1", "r1", "", ""),
        ),
        (
            r#"{"access_token": "a1", "refresh_token": "r1", "id_token": "i1", "account_id": "c1", "other": 1}"#,
            full("a1", "r1", "i1", "c1"),
        ),
        (
            r#"{"access_token": " a1\n", "refresh_token": "\tr1 ", "id_token": " i1 ", "account_id": " c1 "}"#,
            full("a1", "r1", "i1", "c1"),
        ),
        (
            r#"{"access_token": "a1", "refresh_token": "r1", "id_token": null, "account_id": null}"#,
            full("a1", "r1", "", ""),
        ),
        (
            r#"{"access_token": "a0", "access_token": "a1", "refresh_token": "r1"}"#,
            full("a1", "r1", "", ""),
        ),
        (
            r#"{"access_token": "a1", "refresh_token": "r1", "account_id": "\u00e9\u6a21\ud83d\ude00"}"#,
            full("a1", "r1", "", "é模😀"),
        ),
    ] {
        assert_eq!(
            codex_of(tokens),
            Ok(("codex-headless-import.json".to_owned(), expected)),
            "{tokens}"
        );
    }
}

#[test]
fn codex_tells_what_its_tokens_say() {
    // {"email": "me@ex.com", "exp": 1790000000}
    let jwt = "h.eyJlbWFpbCI6ICJtZUBleC5jb20iLCAiZXhwIjogMTc5MDAwMDAwMH0.s";
    let text = format!(
        r#"{{"OPENAI_API_KEY": null, "tokens": {{"access_token": "a1", "refresh_token": "r1", "id_token": "{jwt}"}}, "last_refresh": "2026-02-01T00:00:00Z"}}"#
    );
    let (_, content) = taken(Format::Codex, &text).unwrap();
    assert_eq!(content["last_refresh"], "2026-02-01T00:00:00Z");
    assert_eq!(
        (&content["email"], &content["expired"]),
        (&json!("me@ex.com"), &json!("2026-09-21T14:13:20.000Z"))
    );
    let late = import(Format::Codex, &text, 1_800_000_000_000).unwrap();
    assert_eq!(
        (late.account.as_deref(), late.warnings.len()),
        (Some("me@ex.com"), 1)
    );
}

#[test]
fn r20_what_is_no_text_is_no_token() {
    for (tokens, problem) in [
        (
            r#"{"access_token": null, "refresh_token": "r"}"#,
            "`tokens.access_token` is missing",
        ),
        (
            r#"{"access_token": "", "refresh_token": "r"}"#,
            "`tokens.access_token` is missing",
        ),
        (
            r#"{"access_token": "  ", "refresh_token": "r"}"#,
            "`tokens.access_token` is missing",
        ),
        (
            r#"{"refresh_token": "r"}"#,
            "`tokens.access_token` is missing",
        ),
        (
            r#"{"access_token": "a"}"#,
            "`tokens.refresh_token` is missing",
        ),
        (
            r#"{"access_token": "a", "refresh_token": null}"#,
            "`tokens.refresh_token` is missing",
        ),
        ("{}", "`tokens.access_token` is missing"),
        (
            r#"{"access_token": 1, "refresh_token": "r"}"#,
            "`tokens.access_token` is not a text",
        ),
        (
            r#"{"access_token": ["a"], "refresh_token": "r"}"#,
            "`tokens.access_token` is not a text",
        ),
        (
            r#"{"access_token": {"a": 1}, "refresh_token": "r"}"#,
            "is not a text",
        ),
        (
            r#"{"access_token": true, "refresh_token": "r"}"#,
            "is not a text",
        ),
        (
            r#"{"access_token": "a\u0000b\nc", "refresh_token": "r"}"#,
            "control characters",
        ),
        ("null", "`tokens` is missing"),
        ("[1]", "`tokens` is missing"),
        (r#""t""#, "`tokens` is missing"),
    ] {
        let error = codex_of(tokens).unwrap_err();
        assert!(error.contains(problem), "{tokens}: {error}");
    }
}

#[test]
fn a_file_that_is_something_else_says_so() {
    for (text, problem) in [
        ("", "empty"),
        (" \n", "empty"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{/*c*/\"tokens\":{}}", "not JSON: line 1, column 2"),
        (
            r#"{"tokens":{"access_token":"a","refresh_token":"b",}}"#,
            "not JSON",
        ),
        ("{}", "`codex login`"),
        (
            r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"}"#,
            "API key",
        ),
    ] {
        let error = taken(Format::Codex, text).unwrap_err();
        assert!(
            error.contains(problem) && !error.contains("sk-1"),
            "{text}: {error}"
        );
    }
    assert!(
        taken(
            Format::Codex,
            "\u{feff}{\"tokens\": {\"access_token\": \"a\", \"refresh_token\": \"b\"}}"
        )
        .is_ok()
    );
}

fn kiro_of(more: &str) -> Result<(String, Value), String> {
    taken(
        Format::Kiro,
        &format!(
            r#"{{"accessToken": "at", "refreshToken": "rt", "expiresAt": "2099-03-01T00:00:00Z"{more}}}"#
        ),
    )
}

#[test]
fn kiro_names_its_file_for_the_account() {
    let (name, content) = kiro_of(r#", "profileArn": "arn:aws:codewhisperer:us-east-1:1:profile/ABC", "authMethod": "IdC", "provider": "BuilderId", "clientId": "cid", "clientSecret": "cs", "clientIdHash": "h", "email": "a.b+c@X.com", "region": "us-east-1", "startUrl": "https://s""#).unwrap();
    assert_eq!(name, "kiro-builderid-a-b-c-x-com.json");
    let expected = json!({"type": "kiro", "access_token": "at", "refresh_token": "rt", "profile_arn": "arn:aws:codewhisperer:us-east-1:1:profile/ABC", "expires_at": "2099-03-01T00:00:00Z", "auth_method": "idc", "provider": "BuilderId", "client_id": "cid", "client_secret": "cs", "client_id_hash": "h", "email": "a.b+c@X.com", "region": "us-east-1", "start_url": "https://s"});
    assert_eq!(content, expected);
    for (more, name) in [
        ("", "kiro-imported.json"),
        (
            r#", "clientId": "My Client!""#,
            "kiro-imported-my-client.json",
        ),
        (r#", "profileArn": "arn:x/Y_Z""#, "kiro-imported-y-z.json"),
        (
            r#", "provider": "Git Hub/IAM", "email": "x@y""#,
            "kiro-git-hub-iam-x-y.json",
        ),
        (
            r#", "provider": "!!!", "email": "x@y""#,
            "kiro-imported-x-y.json",
        ),
        (r#", "email": "é@模.com""#, "kiro-imported-é-模-com.json"),
        (
            r#", "email": "@@@", "clientId": "c""#,
            "kiro-imported-c.json",
        ),
        (r#", "email": null"#, "kiro-imported.json"),
    ] {
        assert_eq!(kiro_of(more).unwrap().0, name, "{more}");
    }
}

#[test]
fn kiro_finds_the_account_in_the_token() {
    let with = |token: &str| {
        taken(Format::Kiro, &format!(r#"{{"accessToken": "{token}", "refreshToken": "rt", "expiresAt": "2099-03-01T00:00:00Z", "profileArn": "x/p"}}"#)).unwrap()
    };
    // {"email": " me@ex.com "} and {"sub": "1"}
    let (name, content) = with("h.eyJlbWFpbCI6ICIgbWVAZXguY29tICJ9.s");
    assert_eq!(
        (name.as_str(), &content["email"]),
        ("kiro-imported-me-ex-com.json", &json!("me@ex.com"))
    );
    for token in ["h.eyJzdWIiOiAiMSJ9.s", "a.%%%.c", "a.é.c", "at"] {
        assert_eq!(with(token).0, "kiro-imported-p.json", "{token}");
    }
}

#[test]
fn kiro_needs_three_fields_and_converts_the_moment() {
    for (text, missing) in [
        (
            r#"{"refreshToken": "rt", "expiresAt": "x"}"#,
            "`accessToken` is missing",
        ),
        (
            r#"{"accessToken": null, "refreshToken": "rt", "expiresAt": "x"}"#,
            "`accessToken` is missing",
        ),
        (
            r#"{"accessToken": "at", "expiresAt": "x"}"#,
            "`refreshToken` is missing",
        ),
        (
            r#"{"accessToken": "at", "refreshToken": "rt"}"#,
            "`expiresAt` is missing",
        ),
        ("[1]", "not a JSON object"),
    ] {
        let error = taken(Format::Kiro, text).unwrap_err();
        assert!(error.contains(missing), "{text}: {error}");
    }
    let (_, content) = taken(
        Format::Kiro,
        r#"{"accessToken": "at", "refreshToken": "rt", "expiresAt": 1760000000}"#,
    )
    .unwrap();
    assert_eq!(content["expires_at"], "2025-10-09T08:53:20.000Z");
    let old = import(
        Format::Kiro,
        r#"{"accessToken": "at", "refreshToken": "rt", "expiresAt": "2001-01-01T00:00:00Z"}"#,
        1_780_000_000_000,
    )
    .unwrap();
    assert_eq!(old.warnings.len(), 1);
}

#[test]
fn copilot_gives_the_token_of_github() {
    let (name, content) = taken(Format::Copilot, r#"{"ghe.example": {"oauth_token": "no"}, "github.com:Iv1.x": {"user": "Mona", "oauth_token": "gho_1", "githubAppId": "Iv1.x"}}"#).unwrap();
    assert_eq!(name, "github-copilot-mona.json");
    assert_eq!(
        content,
        json!({"type": "github-copilot", "token_type": "bearer", "access_token": "gho_1", "username": "Mona"})
    );
    assert!(
        taken(Format::Copilot, "{}")
            .unwrap_err()
            .contains("github.com")
    );
    assert!(
        taken(Format::Copilot, r#"{"github.com": {"user": "m"}}"#)
            .unwrap_err()
            .contains("`github.com.oauth_token` is missing")
    );
}

#[test]
fn nothing_shows_a_token() {
    let imported = import(
        Format::Codex,
        r#"{"tokens": {"access_token": "tok-1", "refresh_token": "tok-2"}}"#,
        0,
    )
    .unwrap();
    assert!(!format!("{imported:?}").contains("tok-"));
}
