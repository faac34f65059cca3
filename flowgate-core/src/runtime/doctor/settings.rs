//! The configuration, credentials, and the settings of agents.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, Level, Subject};
use crate::auth::describe;
use crate::clients::{Client, base_url};
use crate::config::{Config, Credential};
use crate::runtime::secrets::look_at;
use crate::runtime::{auth_dir, client_file, read_document};

pub(super) fn config(subject: &Subject<'_>) -> Vec<Finding> {
    let file = subject.patient.config.display();
    let count = subject.config.diagnostics().len() + subject.config.profile_diagnostics().len();
    vec![match count {
        0 => Finding::good("config", format!("`{file}` is right")),
        n => Finding::new(
            "config",
            Level::Note,
            format!(
                "`{file}` is right, with {n} warning{}",
                if n == 1 { "" } else { "s" }
            ),
            "see `flowgate config check`",
        ),
    }]
}

/// Credentials of the configuration: each is looked at, and no program is run for it.
pub(super) fn credentials(subject: &Subject<'_>) -> Vec<Finding> {
    let config = &subject.config;
    let used = used(config);
    let upstream = &config.settings().credentials.upstream;
    let mut findings = Vec::new();
    for (name, credential) in upstream {
        let Err((message, hint)) = look_at(credential) else {
            continue;
        };
        let is_used = used.contains(name.as_ref() as &str);
        let (level, unused) = match is_used {
            true => (Level::Problem, ""),
            false => (Level::Note, ", which nothing uses"),
        };
        findings.push(Finding::new(
            "credentials",
            level,
            format!("`{name}`{unused}: {message}"),
            &hint,
        ));
    }
    if findings.is_empty() {
        let commands = upstream
            .values()
            .filter(|credential| matches!(credential, Credential::Command(_)))
            .count();
        let told = match commands {
            0 => String::new(),
            n => format!("; {n} by a program, which was not run"),
        };
        findings.push(Finding::good(
            "credentials",
            match upstream.len() {
                0 => "the configuration names none".to_owned(),
                n => format!("all {n} can be had{told}"),
            },
        ));
    }
    findings
}

/// The credentials that profiles, accounts or sign-ins refer to.
fn used(config: &Config) -> BTreeSet<String> {
    let settings = config.settings();
    let profiles = settings
        .profiles
        .keys()
        .filter_map(|name| config.profile(name).ok());
    let mut used: BTreeSet<String> = profiles
        .flat_map(|profile| {
            profile
                .references()
                .into_iter()
                .map(|reference| reference.name)
                .collect::<Vec<_>>()
        })
        .collect();
    let accounts = settings.accounts.iter().flat_map(|accounts| &accounts.pool);
    used.extend(accounts.filter_map(|account| Some(account.credential.as_ref()?.to_string())));
    let keys = [&settings.auth.management_key, &settings.auth.seal_key];
    used.extend(keys.into_iter().flatten().map(ToString::to_string));
    used
}

/// Stored credentials that have ended. Sealed ones are not opened.
pub(super) fn sign_in(subject: &Subject<'_>) -> Vec<Finding> {
    let directory = auth_dir(subject.config.settings());
    let entries = std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    let mut findings = Vec::new();
    let mut good = 0;
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = read(&path).unwrap_or_default();
        let Some(stored) = describe(&text) else {
            let message = format!("`{}` holds no credentials", path.display());
            findings.push(Finding::new(
                "sign_in",
                Level::Note,
                message,
                "take it away if nothing needs it",
            ));
            continue;
        };
        let ended = stored
            .expires
            .is_some_and(|moment| moment <= subject.patient.now);
        if ended && !stored.renewable && !stored.disabled {
            let provider = stored.provider.as_deref().unwrap_or("PROVIDER");
            let message = format!("the sign-in in `{name}` has ended");
            let hint = format!("`flowgate auth login {provider}`");
            findings.push(Finding::new("sign_in", Level::Problem, message, &hint));
        } else {
            good += 1;
        }
    }
    if findings.is_empty() && good > 0 {
        findings.push(Finding::good(
            "sign_in",
            format!("{good} stored credentials are good or can be renewed"),
        ));
    }
    findings
}

/// Agents whose settings cannot be read, or that use another address of this machine.
pub(super) fn clients(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(home), Some(gateway)) = (subject.patient.home, &subject.gateway) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for client in Client::ALL {
        let Ok(path) = client_file(client, home, |name| std::env::var_os(name)) else {
            continue;
        };
        if !path.is_file() {
            continue;
        }
        let name = client.name();
        let shown = path.display();
        let finding = match read(&path).map(|text| base_url(client, &text)) {
            None => Finding::new(
                "clients",
                Level::Problem,
                format!("{name}: `{shown}` is not text"),
                "look at the file",
            ),
            Some(Err(error)) => Finding::new(
                "clients",
                Level::Problem,
                format!("{name}: `{shown}`: {error}"),
                "",
            ),
            Some(Ok(Some(url)))
                if url.trim_end_matches('/').trim_end_matches("/v1") == gateway.base_url() =>
            {
                Finding::good("clients", format!("{name} uses the gateway"))
            }
            Some(Ok(Some(url))) if is_near(&url) => Finding::new(
                "clients",
                Level::Note,
                format!(
                    "{name} uses `{url}`, but the gateway is at `{}`",
                    gateway.base_url()
                ),
                &format!("`flowgate integration apply {name}`"),
            ),
            Some(Ok(_)) => continue,
        };
        findings.push(finding);
    }
    findings
}

/// True for an address of this machine: most likely it was meant to be the gateway.
fn is_near(url: &str) -> bool {
    ["//127.0.0.1", "//localhost", "//[::1]"]
        .iter()
        .any(|near| url.contains(near))
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_document(path).ok()?).ok()
}
