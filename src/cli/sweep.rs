//! `dgnet sweep`: train what is missing, tell how it ended, write the report.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::BadInput;
use super::study_file::StudyArgs;
use super::{DONE, FAILED, INTERRUPTED, RUNS_FAILED, looks, output, plan as plan_verb, report};
use crate::spec::devices::Slots;
use crate::spec::{Slurm, Study};
use crate::store::{Db, RunState, gc};
use crate::sweep::{
    CellEnd, DataKeys, Ending, Options, Plan, Summary, SweepError, plan_again, sweep_on,
};

/// Train everything a study misses, then write its report.
///
/// Nothing is trained twice: finished runs are kept, also when another study made them; interrupted
/// and crashed ones go on from their last checkpoint; failed ones are tried again; diverged ones are a
/// result. Ctrl-C lets workers save first, a second Ctrl-C ends them at once.
///
/// With `--launcher slurm` the same workers are jobs of a cluster, one array for those that wait for the same;
/// the study's `slurm:` block says what a job asks for (partition, gpus, cpus, time, memory, parallel, extra).
/// Slurm keeps their order, so everything goes on when this process or its shell is gone; the same command comes
/// back to it and submits nothing twice. Before its time limit a job saves and goes back into the queue. Ctrl-C
/// is as above (jobs save and end, waiting ones are cancelled); a terminal that closes ends nothing.
///
/// With `seeds: { min: 4, max: 12, stop: decided }`, seeds are added look by look to arms of `confirm` whose
/// verdict is open; what is added follows from the results alone, also after an interruption. With `prune:
/// { after: 3, behind: 0.05 }`, exploratory arms that are hopeless after 3 seeds get no more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet sweep ablations.yaml
  dgnet sweep ablations.yaml --jobs 1 --set train.steps=100
  dgnet sweep ablations.yaml --only full --only teacher_only
  dgnet sweep ablations.yaml --max-time 8h --max-failures 3
  dgnet sweep ablations.yaml --launcher slurm --detach
  dgnet sweep grid.yaml --at-most 5000

Exit codes: 0 all done, 1 something broke, 2 bad input, 3 some runs failed or diverged, 130 stopped.")]
pub struct Args {
    #[command(flatten)]
    pub study: StudyArgs,
    /// Only this arm; may be given more than once
    #[arg(long, value_name = "ARM")]
    pub only: Vec<String>,
    /// Who makes the runs: this machine, or jobs of a Slurm cluster
    #[arg(long, value_enum, default_value_t = Launcher::Local)]
    pub launcher: Launcher,
    /// With Slurm: end as soon as everything is submitted; the same command without it comes back
    #[arg(long)]
    pub detach: bool,
    /// Jobs at a time, at most [default: as many as the devices hold; on CPUs cores / train.threads];
    /// with Slurm those of one array [default: slurm.parallel]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Where to train, instead of `devices` of the study: cuda:0,cuda:1 (one run on each; with NVIDIA's MPS as
    /// many as memory holds, eight at most) or cuda:0=2 (two at a time)
    #[arg(long, value_name = "LIST", value_parser = Devices::parse)]
    pub devices: Option<Devices>,
    /// Train runs of this state anew too; failed ones always are
    #[arg(long, value_name = "STATE", value_enum)]
    pub retry: Vec<Retry>,
    #[command(flatten)]
    pub limits: Limits,
    /// Stop and try again a worker that gives no sign of life and takes no processor time for this long
    /// (one that computes: eight times as long); `never` waits for ever
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = patience)]
    pub hang_after: Duration,
    /// Ask before more runs than this are trained; where nobody can be asked, refuse
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub at_most: usize,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Do not write the report
    #[arg(long)]
    pub no_report: bool,
    /// Folder of the report [default: reports/<study>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What ends a sweep before its work does; the same command goes on from there.
#[derive(Debug, clap::Args)]
pub struct Limits {
    /// Stop when so many runs have failed or diverged; what runs saves first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: Option<u32>,
    /// Stop at the first run that fails or diverges
    #[arg(long, conflicts_with = "max_failures")]
    pub fail_fast: bool,
    /// Stop after this time, resumably: 90s, 30m, 8h, 2d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub max_time: Option<Duration>,
    /// Stop when this sweep has trained so many steps, resumably
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_steps: Option<u64>,
}

/// Devices as one argument.
#[derive(Debug, Clone)]
pub struct Devices(Vec<Slots>);

impl Devices {
    fn parse(text: &str) -> Result<Self, String> {
        Slots::parse(text).map(Self)
    }
}

/// Who makes the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Launcher {
    /// Workers of this machine.
    Local,
    /// Array jobs of Slurm.
    Slurm,
}

/// A state that `--retry` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Retry {
    /// Runs that failed: the default, and allowed so that scripts may say it.
    Failed,
    /// Runs whose losses were not finite: a result as a rule, and the same again on the same machine.
    Diverged,
    /// Runs whose worker died: they go on from their last checkpoint anyway.
    Stale,
}

fn time(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is no time: expected for example 90s, 30m, 8h or 2d");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(error()),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| error())
}

fn patience(text: &str) -> Result<Duration, String> {
    match text {
        "never" => Ok(Duration::MAX),
        text => time(text).and_then(|time| {
            let enough = time >= Duration::from_secs(1);
            enough.then_some(time).ok_or_else(|| format!("`{text}` is too short: 1s at least"))
        }),
    }
}

/// The plan of what was asked for.
fn planned(
    args: &Args,
    study: &Study,
    runs: &Path,
    data: &mut DataKeys,
) -> Result<Plan, SweepError> {
    let found = plan_again(study, runs, data)?;
    if args.only.is_empty() { Ok(found) } else { found.only_arms(&args.only) }
}

/// Asks before a grid that exploded is trained.
fn asked(args: &Args, open: usize) -> anyhow::Result<bool> {
    if args.yes || open <= args.at_most {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(BadInput(format!(
            "{open} runs would be trained, more than {}, and nobody is there to be asked\n  hint: `dgnet plan` shows them; `--yes` or `--at-most {open}` trains them",
            args.at_most
        ))
        .into());
    }
    output::talk(&format!("train {open} runs? [y/N]"));
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// What jobs ask of Slurm, where it is to make them.
fn slurm(args: &Args, study: &Study) -> Result<Option<Slurm>, BadInput> {
    if args.launcher == Launcher::Slurm {
        let parallel = args.jobs.map(u32::from).or(study.slurm.parallel);
        return Ok(Some(Slurm { parallel, ..study.slurm.clone() }));
    }
    if args.detach {
        return Err(BadInput(
            "`--detach` leaves jobs to Slurm\n  hint: add `--launcher slurm`".into(),
        ));
    }
    Ok(None)
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let study = args.study.load()?;
    // before it is looked at what is there, so that it stays
    let _in_use = gc::in_use(runs)?;
    let mut data = DataKeys::default();
    let mut plan = planned(args, &study, runs, &mut data)?;
    if args.retry.contains(&Retry::Diverged) {
        plan = plan.retry_diverged(runs);
    }
    if !asked(args, plan.open_runs().len())? {
        output::data("nothing was trained\n")?;
        return Ok(DONE);
    }
    if !plan.open_runs().is_empty() {
        for remark in plan_verb::remarks(&plan) {
            output::talk(&remark);
        }
    }
    let failures = args.limits.max_failures.map(|most| most as usize);
    let options = Options {
        jobs: args.jobs.map(usize::from),
        max_failures: if args.limits.fail_fast { Some(1) } else { failures },
        devices: args.devices.as_ref().map(|devices| devices.0.clone()).unwrap_or_default(),
        time: args.limits.max_time,
        steps: args.limits.max_steps,
        hang_after: Some(args.hang_after),
        slurm: slurm(args, &study)?,
        detach: args.detach,
    };
    let again = || planned(args, &study, runs, &mut data);
    let next = |plan: &Plan| looks::said(plan).into_iter().for_each(|line| output::talk(&line));
    let summary = sweep_on(plan, again, runs, &options, next)?;
    tell(&study.name, &summary)?;
    if let Some(reason) = summary.stopped.as_ref().filter(|_| summary.ending != Ending::NoRoom) {
        output::talk(&format!("stopped: {reason}; the same command goes on from here"));
    }
    match summary.ending {
        Ending::NoRoom => return Ok(FAILED),
        Ending::Left if args.detach => {
            let study = args.study.file.display();
            output::talk(&format!(
                "everything is submitted; `dgnet watch {study} --once` looks at it, `dgnet sweep {study} --launcher slurm` comes back to it"
            ));
            return Ok(DONE);
        }
        Ending::Left | Ending::Interrupted => {
            let failed =
                |cell: &CellEnd| matches!(cell.state, RunState::Failed | RunState::Diverged);
            let by_failures = summary.stopped.is_some() && summary.cells.iter().any(failed);
            return Ok(if by_failures { RUNS_FAILED } else { INTERRUPTED });
        }
        Ending::Complete => {}
    }
    if !args.no_report {
        if summary.indexed {
            let out = report::folder(args.out.as_deref(), &study.name);
            let page = report::fresh(&summary, &out, runs, &study.name).map_or_else(
                || crate::report::write(&Db::file(runs), &study.name, None, &out, false),
                Ok,
            )?;
            output::data(&format!("report: {}\n", page.display()))?;
        } else {
            output::talk(
                "no report: another sweep writes the database and is behind\n  hint: `dgnet report` writes it once that sweep is over",
            );
        }
    }
    Ok(code(&summary))
}

/// The exit code that a summary means.
pub fn code(summary: &Summary) -> u8 {
    let failed = summary.cells.iter().any(|cell| cell.state != RunState::Done);
    match summary.ending {
        Ending::NoRoom => FAILED,
        Ending::Interrupted | Ending::Left => INTERRUPTED,
        Ending::Complete if failed => RUNS_FAILED,
        Ending::Complete => DONE,
    }
}

/// Counts to standard output, every cell that is not done to standard error.
pub fn tell(study: &str, summary: &Summary) -> anyhow::Result<()> {
    for cell in &summary.cells {
        if let (RunState::Failed | RunState::Diverged, Some(reason)) = (cell.state, &cell.reason) {
            output::talk(&format!(
                "{} seed {} {}: {}",
                cell.arm,
                cell.seed,
                cell.state.as_str(),
                output::first_line(reason)
            ));
            // a run that never began has no log
            let log = cell.run.path().join("worker.log");
            if log.is_file() {
                output::talk(&format!("  hint: see `{}`", log.display()));
            }
        }
    }
    if summary.ending == Ending::NoRoom {
        output::talk(
            "error: the disk is full: nothing more is trained\n  hint: free some space below the runs folder; the same command goes on from what is whole",
        );
    }
    let states = [
        RunState::Done,
        RunState::Diverged,
        RunState::Failed,
        RunState::Interrupted,
        RunState::Stale,
        RunState::Running,
        RunState::Planned,
    ];
    let counts: Vec<_> = states
        .into_iter()
        .map(|state| (state, summary.count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.as_str()))
        .collect();
    let nothing = summary.made == 0 && summary.count(RunState::Failed) == 0;
    let made = if nothing { ", nothing was left to do" } else { "" };
    let made = if summary.ending == Ending::Complete { made } else { "" };
    output::data(&format!("{study}: {} cells: {}{made}\n", summary.cells.len(), counts.join(", ")))
}
