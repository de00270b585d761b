//! `dgnet-worker`: trains, evaluates and draws pictures, one process per piece of work. `dgnet sweep`
//! starts it; nobody needs to call it by hand.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use dgnet_worker::run::{self as worker, Exit, Stop};

/// Trains and evaluates one piece of a study. Started by `dgnet sweep`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The runs folder.
    #[arg(long)]
    runs: PathBuf,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Train the teacher that the run of this `spec.yaml` needs.
    Teacher {
        /// The `spec.yaml`.
        #[arg(long)]
        job: PathBuf,
    },
    /// Train the beginning of the run of this `spec.yaml` that other runs share.
    Prefix {
        /// The `spec.yaml`.
        #[arg(long)]
        job: PathBuf,
        /// Steps in common.
        #[arg(long)]
        steps: u64,
    },
    /// Train the generator that feeds the run of this `spec.yaml` offline.
    Generator {
        /// The `spec.yaml`.
        #[arg(long)]
        job: PathBuf,
    },
    /// Train, evaluate and draw the run in this folder; resumes by itself.
    Run {
        /// The run folder.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&asked)) {
            tracing::warn!("cannot catch signal {signal}: {error}");
        }
    }
    let parent = std::env::var("DGNET_PARENT").ok().and_then(|pid| pid.parse().ok());
    let stop = Stop { asked, parent };
    let outcome = match &arguments.work {
        Work::Teacher { job } => worker::teacher(&arguments.runs, job, &stop),
        Work::Prefix { job, steps } => worker::prefix(&arguments.runs, job, *steps, &stop),
        Work::Generator { job } => worker::generator(&arguments.runs, job, &stop),
        Work::Run { folder } => worker::run(&arguments.runs, folder, &stop),
    };
    let exit = outcome.unwrap_or_else(|error| {
        tracing::error!("{error}");
        Exit::Failed
    });
    ExitCode::from(exit as u8)
}
