//! `flowgate dev …`: what helps to try things out.

use std::io::{self, Write};
use std::net::SocketAddr;

use flowgate_core::runtime;
use flowgate_core::runtime::dev_provider::{Key, KeyState, Provider, Script};
use listenfd::ListenFd;
use serde_json::json;

use crate::args::{DevCommand, ProviderArgs};
use crate::output::{Exit, Failure, Output, Result, STRONG};

pub(crate) fn run(command: &DevCommand, output: &mut Output) -> Result {
    match command {
        DevCommand::Provider(args) => provider(args, output),
    }
}

/// Pretends to be a provider until it is told to end.
fn provider(args: &ProviderArgs, output: &mut Output) -> Result {
    let script = script(args)?;
    let name = script.name.clone();
    let failed = |error: io::Error| {
        Failure::Environment(
            "dev.cannot_listen",
            format!("cannot listen at {}:{}: {error}", args.host, args.port),
            "choose another port; 0 takes a free one".to_owned(),
        )
    };
    let inherited = ListenFd::from_env().take_tcp_listener(0).map_err(failed)?;
    let provider = match inherited {
        Some(listener) => Provider::from_listener(script, listener),
        None => Provider::bind(script, SocketAddr::new(args.host, args.port)),
    };
    let provider = provider.map_err(failed)?;
    let url = format!("http://{}", provider.address().map_err(failed)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // Before anybody knows that it is there, and tells it to end.
    let stop = {
        let _entered = runtime.enter();
        stop().map_err(failed)?
    };
    if output.is_json() {
        // One line: whoever started it reads that, and then no more.
        let line = json!({ "url": url, "name": name, "pid": std::process::id() });
        output.text(format_args!("{line}\n"))?;
    } else {
        output.text(format_args!("{STRONG}{name}{STRONG:#} listens at {url}\n"))?;
    }
    io::stdout().flush().map_err(Failure::Print)?;
    runtime.block_on(provider.serve(stop)).map_err(failed)?;
    Ok(Exit::Done)
}

/// Done when the process is told to end. From here on it is told, and does not just end.
#[cfg(unix)]
fn stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// The script, with what the options say over it.
fn script(args: &ProviderArgs) -> Result<Script> {
    let mut script = match &args.script {
        Some(file) => {
            let text = runtime::read_document(file)?;
            Script::from_yaml(&String::from_utf8_lossy(&text)).map_err(|problems| {
                let problems: Vec<String> = problems
                    .iter()
                    .map(|problem| format!("{}:{problem}", file.display()))
                    .collect();
                Failure::Usage(
                    "dev.bad_script",
                    problems.join("\n"),
                    "`flowgate dev provider --help` has an example".to_owned(),
                )
            })?
        }
        None => Script::default(),
    };
    if let Some(name) = &args.name {
        script.name.clone_from(name);
    }
    let limits = &mut script.limits;
    limits.requests_per_minute = args.requests_per_minute.or(limits.requests_per_minute);
    limits.tokens_per_minute = args.tokens_per_minute.or(limits.tokens_per_minute);
    limits.max_inflight = args.max_inflight.or(limits.max_inflight);
    limits.burst = args.burst.or(limits.burst);
    script.latency = args.latency.or(script.latency);
    script.chunk_interval = args.chunk_interval.or(script.chunk_interval);
    script.hints &= !args.no_hints;
    script.quota_headers &= !args.no_quota_headers;
    let keys = args.key.iter().map(|key| (key, KeyState::Active));
    let revoked = args.revoked.iter().map(|key| (key, KeyState::Revoked));
    script
        .keys
        .extend(keys.chain(revoked).map(|(key, state)| Key {
            key: key.clone(),
            state,
            limits: None,
            revoke_after: None,
        }));
    Ok(script)
}
