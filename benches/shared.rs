//! What sharing a pool costs: `cargo bench --bench shared`. It starts a server of its own, and does
//! nothing where there is none.

use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flowgate_core::accounts::{
    AccountSpec, Class, Model, Outcome, Pick, Pool, Request, Settings, SharedPool,
};
use flowgate_core::runtime::shared::{Fleet, Mode, Options};

const ACCOUNTS: usize = 1_000;
const ROUNDS: u32 = 5_000;

type Failure = Box<dyn std::error::Error>;

/// A server, gone when this is.
struct Server {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Result<Option<Self>, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = tempfile::tempdir()?;
        for program in ["valkey-server", "redis-server"] {
            let started = Command::new(program)
                .args([
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port.to_string(),
                    "--save",
                    "",
                ])
                .arg("--dir")
                .arg(directory.path())
                .stdout(Stdio::null())
                .spawn();
            if let Ok(child) = started {
                while TcpStream::connect(("127.0.0.1", port)).is_err() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let _directory = directory;
                return Ok(Some(Self {
                    child,
                    port,
                    _directory,
                }));
            }
        }
        Ok(None)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn connection(&self) -> Result<redis::Connection, Failure> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A pool of which half rests.
fn pool() -> SharedPool {
    let mut pool = Pool::new(Settings::default());
    for number in 0..ACCOUNTS {
        let spec = AccountSpec::new(format!("account-{number}"), "anthropic");
        let slot = pool.upsert(&spec, now());
        if number % 2 == 0 {
            pool.learn_cooldown(now(), slot, Model::ANY, now() + 600_000, Class::Rate);
        }
    }
    SharedPool::from(pool)
}

fn local(name: &str, pool: &SharedPool) {
    let begun = Instant::now();
    for _ in 0..ROUNDS * 20 {
        let mut pool = pool.lock();
        if let Pick::Use(permit) = black_box(pool.pick(now(), &Request::default())) {
            pool.report(now(), permit, &Outcome::ok(None));
        }
    }
    let each = begun.elapsed() / (ROUNDS * 20);
    println!("{name}: {each:?} a pick and report");
}

/// What the server knows of earlier calls does not count.
fn forget_times(connection: &mut redis::Connection) -> Result<(), Failure> {
    Ok(redis::cmd("CONFIG").arg("RESETSTAT").exec(connection)?)
}

/// Microseconds of server time for one call of a script.
fn script_time(server: &Server) -> Result<f64, Failure> {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut server.connection()?)?;
    let line = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let field = line.and_then(|line| {
        line.split(',')
            .find_map(|f| f.strip_prefix("usec_per_call="))
    });
    Ok(field.ok_or("no script was called")?.parse()?)
}

async fn strict(server: &Server, pool: &SharedPool) -> Result<(), Failure> {
    let options = Options::new(&server.url().into())?
        .mode(Mode::Strict)
        .timeout(Duration::from_secs(1));
    let fleet = Fleet::join(pool, options, || {});
    fleet.settled().await;
    // The first picks find those that rest, and move them away.
    for _ in 0..100 {
        serve(&fleet, pool).await;
    }
    forget_times(&mut server.connection()?)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        serve(&fleet, pool).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100];
    println!(
        "strict pick and report: median {:?}, 99 % {:?}",
        at(50),
        at(99)
    );
    let pick = script_time(server)?;
    let empty = empty_script_time(server)?;
    println!("strict pick: {pick} µs of server time, an empty script: {empty} µs");
    Ok(())
}

/// What any script takes: how fast a server is that sleeps in between differs from machine to machine.
fn empty_script_time(server: &Server) -> Result<f64, Failure> {
    let mut connection = server.connection()?;
    let empty = redis::Script::new("return 1");
    let () = empty.invoke(&mut connection)?;
    forget_times(&mut connection)?;
    for _ in 0..ROUNDS {
        let () = empty.invoke(&mut connection)?;
    }
    script_time(server)
}

async fn serve(fleet: &Fleet, pool: &SharedPool) {
    if let Pick::Use(permit) = fleet.pick(&Request::default()).await {
        pool.lock().report(now(), permit, &Outcome::ok(None));
    }
}

/// How long after one process has learned something another knows it.
async fn lag(server: &Server) -> Result<(), Failure> {
    let (one, two) = (pool(), pool());
    let options = Options::new(&server.url().into())?.pool("lag");
    let fleets = [
        Fleet::join(&one, options.clone(), || {}),
        Fleet::join(&two, options, || {}),
    ];
    for fleet in &fleets {
        fleet.settled().await;
    }
    let mut times = Vec::new();
    for number in (1..400).step_by(2) {
        let begun = Instant::now();
        let slot = {
            let mut pool = one.lock();
            let slot = pool.slots().nth(number).ok_or("there are that many")?;
            pool.learn_cooldown(now(), slot, Model::ANY, now() + 600_000, Class::Rate);
            slot
        };
        while !matches!(
            two.lock().pick_account(now(), slot, &Request::default()),
            Pick::Wait { .. }
        ) {
            tokio::task::yield_now().await;
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!(
        "lag: median {:?}, longest {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    let Some(server) = Server::start()? else {
        println!("skipped: neither valkey-server nor redis-server is on the PATH");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    local("alone", &pool());
    runtime.block_on(async {
        let shared = pool();
        let fleet = Fleet::join(
            &shared,
            Options::new(&server.url().into())?.pool("local"),
            || {},
        );
        fleet.settled().await;
        fleet.exchanged().await;
        local("shared", &shared);
        drop(fleet);
        lag(&server).await?;
        strict(&server, &pool()).await
    })
}
