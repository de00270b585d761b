//! `dgnet serve`: studies, running runs and reports in a browser. Here are the arguments, the socket and
//! the end; `routes` says who answers what, `guard` who is answered at all.

mod guard;
mod house;
mod routes;
mod shelf;

use std::future::{IntoFuture, pending};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::house::House;
use super::{DONE, output};

/// Show studies, running runs and reports in a browser, while sweeps go on; read-only.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints its address. Everything is read from the results database and from the heartbeats of workers;
nothing is written, and no sweep waits for it. Ctrl-C ends it.

  /                all studies: done, running, failed, last change
  /study/NAME      a study while it runs: what workers are at, learning curves and the table of arms
                   with intervals and verdicts so far; they update by themselves
  /report/NAME/    its whole report, as `dgnet report` writes it, made anew when the database changes

Another machine is looked at through SSH, which keeps everybody else out:
  ssh -t -L 8080:127.0.0.1:8080 MACHINE 'cd dgnet && target/debug/dgnet serve'

Examples:
  dgnet serve
  dgnet serve --port 0 --runs /data/runs")]
pub struct Args {
    /// Port; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// Address to listen on. WARNING: on any address but a loopback one, everybody who can reach this
    /// machine reads every result and setting: there is no password and no encryption
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
}

/// How long answers may take that are on their way when the end comes.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(args, runs));
    // a report that is still being made is nobody's any more
    runtime.shutdown_background();
    served.map(|()| DONE)
}

async fn serve(args: &Args, runs: &Path) -> anyhow::Result<()> {
    let wanted = SocketAddr::new(args.listen, args.port);
    let listener = TcpListener::bind(wanted).await.map_err(|error| refused(wanted, &error))?;
    let is_open = !args.listen.is_loopback();
    let routes = routes::router(House::new(runs), is_open);
    output::data(&format!("http://{}/\n", listener.local_addr()?))?;
    if is_open {
        output::talk(
            "warning: everybody who can reach this machine can read every result; there is no password",
        );
    }
    output::talk(&format!("showing `{}`, read-only; Ctrl-C ends it", runs.display()));
    let server = axum::serve(listener, routes).with_graceful_shutdown(stopped());
    let late = async {
        stopped().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        served = server.into_future() => served?,
        () = late => {}
    }
    Ok(())
}

/// Waits for Ctrl-C or for a request to terminate.
async fn stopped() {
    let one = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        () = one(SignalKind::interrupt()) => {}
        () = one(SignalKind::terminate()) => {}
    }
}

fn refused(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program, perhaps another `dgnet serve`, has this port; `--port 0` takes a free one"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 are the system's; choose another with `--port`"
        }
        std::io::ErrorKind::AddrNotAvailable => "`--listen` wants an address that this machine has",
        _ => "choose another port with `--port`",
    };
    anyhow::anyhow!("cannot listen on {address}: {error}\n  hint: {hint}")
}
