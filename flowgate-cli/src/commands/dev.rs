//! `flowgate dev …`: what helps to try things out.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;

use flowgate_core::runtime;
use flowgate_core::runtime::dev_provider::{Gateway, Key, KeyState, Provider, Routes, Script};
use listenfd::ListenFd;
use serde_json::json;

use crate::args::{DevCommand, DevGatewayArgs, ProviderArgs};
use crate::output::{Exit, Failure, Output, Result, STRONG};

pub(crate) fn run(command: &DevCommand, output: &mut Output) -> Result {
    match command {
        DevCommand::Provider(args) => provider(args, output),
        DevCommand::Gateway(args) => gateway(args, output),
    }
}

/// Pretends to be a gateway until it is told to end.
fn gateway(args: &DevGatewayArgs, output: &mut Output) -> Result {
    let text = runtime::read_document(&args.routes)?;
    let routes = Routes::from_yaml(&String::from_utf8_lossy(&text)).map_err(|problems| {
        let problems = problems.iter();
        let problems = problems.map(|problem| format!("{}:{problem}", args.routes.display()));
        Failure::Usage(
            "dev.bad_routes",
            problems.collect::<Vec<_>>().join("\n"),
            "`flowgate init --quickstart` writes an example".to_owned(),
        )
    })?;
    let address = SocketAddr::new(args.host, args.port);
    let failed = |error| cannot_listen(address, &error);
    let gateway = match inherited().map_err(failed)? {
        Some(listener) => Gateway::from_listener(routes, listener),
        None => Gateway::bind(routes, address),
    };
    let gateway = gateway.map_err(failed)?;
    let listens = gateway.address().map_err(failed)?;
    serve("gateway", listens, |stop| gateway.serve(stop), output)
}

/// The socket that a supervisor hands over.
fn inherited() -> io::Result<Option<TcpListener>> {
    ListenFd::from_env().take_tcp_listener(0)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::Environment(
        "dev.cannot_listen",
        format!("cannot listen at {address}: {error}"),
        "choose another port; 0 takes a free one".to_owned(),
    )
}

/// Says where it listens, and serves until it is told to end.
fn serve<F: Future<Output = io::Result<()>>>(
    name: &str,
    address: SocketAddr,
    server: impl FnOnce(Pin<Box<dyn Future<Output = ()>>>) -> F,
    output: &mut Output,
) -> Result {
    let failed = |error| cannot_listen(address, &error);
    let url = format!("http://{address}");
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
    runtime.block_on(server(Box::pin(stop))).map_err(failed)?;
    Ok(Exit::Done)
}

/// Pretends to be a provider until it is told to end.
fn provider(args: &ProviderArgs, output: &mut Output) -> Result {
    let script = script(args)?;
    let name = script.name.clone();
    let address = SocketAddr::new(args.host, args.port);
    let failed = |error| cannot_listen(address, &error);
    let provider = match inherited().map_err(failed)? {
        Some(listener) => Provider::from_listener(script, listener),
        None => Provider::bind(script, address),
    };
    let provider = provider.map_err(failed)?;
    let listens = provider.address().map_err(failed)?;
    serve(&name, listens, |stop| provider.serve(stop), output)
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
