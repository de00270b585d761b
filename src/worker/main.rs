//! `dgnet-worker`: trains, evaluates and draws pictures, one process per piece of work. `dgnet sweep`
//! starts it; nobody needs to call it by hand.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use dgnet::spec::settings::Device;
use dgnet::store::error::no_room;
use dgnet_worker::compute;
use dgnet_worker::run::{self as worker, Exit, Stop, WorkerError};

/// Trains and evaluates one piece of a study. Started by `dgnet sweep`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The runs folder.
    #[arg(long)]
    runs: PathBuf,
    /// The card to use where the settings say `cuda` or `auto`, for example cuda:1.
    #[arg(long, value_parser = device)]
    device: Option<Device>,
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
    /// Draw pictures or a data set with a trained run; `dgnet generate` says what.
    Generate {
        /// The request, JSON.
        request: String,
    },
    /// Answer a question about finished networks: JSON on standard input, JSON lines on standard output.
    Inquire,
}

fn device(text: &str) -> Result<Device, String> {
    Device::try_from(text.to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Device::Cuda(number)) = arguments.device {
        compute::use_card(number);
    }
    // a full disk under the log is no reason to panic: the exit code tells
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time();
    log.log_internal_errors(false).init();
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
        Work::Generate { request } => worker::generate(&arguments.runs, request, &stop),
        Work::Inquire => Ok(worker::finished::answer(&stop)),
    };
    let exit = outcome.unwrap_or_else(|error| {
        // a request is answered on the terminal, as `dgnet` would
        if matches!(arguments.work, Work::Generate { .. }) {
            let _ = writeln!(std::io::stderr(), "error: {error}");
        } else {
            tracing::error!("{error}");
        }
        match error {
            error if no_room(&error.to_string()) => Exit::NoRoom,
            WorkerError::Refused(_) | WorkerError::Data(_) => Exit::Refused,
            _ => Exit::Failed,
        }
    });
    ExitCode::from(exit as u8)
}
