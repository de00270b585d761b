//! The command line: arguments, printing, exit codes. One verb a file; every decision is made below.

mod beats;
mod browser;
mod compare;
mod data;
mod diff;
mod doctor;
mod embed;
mod eval;
mod export;
mod failure;
mod filter;
mod gc;
mod generate;
mod looks;
mod marks;
mod merge;
mod network;
mod output;
mod plan;
mod plan_json;
mod query;
mod reindex;
mod report;
mod run;
mod runs;
mod schema;
mod serve;
mod show;
mod study_file;
mod sweep;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Everything went well.
const DONE: u8 = 0;
/// The program or the machine failed.
const FAILED: u8 = 1;
/// The input was refused before anything ran.
const BAD_INPUT: u8 = 2;
/// Some runs failed or diverged, or some images could not be read.
const RUNS_FAILED: u8 = 3;
/// Stopped by a signal; the same command goes on.
const INTERRUPTED: u8 = 130;

const EXAMPLES: &str = "\
Examples:
  dgnet plan ablations.yaml             what a sweep would do, and whether the seeds can decide anything
  dgnet sweep ablations.yaml            train what is missing, then write the report
  dgnet watch ablations.yaml            a sweep that runs elsewhere
  dgnet runs                            where every run stands
  dgnet serve                           all of it in a browser, while sweeps go on
  dgnet compare full no_prim            two arms, paired by seed, with a verdict
  dgnet query \"select arm, avg(mAP), count(*) from final group by arm\"

Exit codes:
  0    everything is done
  1    the program or the machine failed (disk full, no worker, ...)
  2    the input was refused before anything ran
  3    some runs failed or diverged, or some images could not be read; the others are done
  130  stopped by a signal; the same command goes on from there";

/// Ablation studies of DG-Net: YAML in, trained runs, a database and a report out.
#[derive(Debug, Parser)]
#[command(name = "dgnet", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    /// Folder of runs and results [default: `$DGNET_RUNS`, else `runs`]
    #[arg(long, global = true, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Say more on standard error: -v, -vv, -vvv
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Sweep(sweep::Args),
    Run(run::Args),
    Plan(plan::Args),
    Watch(watch::Args),
    Runs(runs::Args),
    Show(show::Args),
    Compare(compare::Args),
    Diff(diff::Args),
    Query(query::Args),
    Report(report::Args),
    Serve(serve::Args),
    Generate(generate::Args),
    Eval(eval::Args),
    Embed(embed::Args),
    Export(export::Args),
    Note(marks::NoteArgs),
    Tag(marks::TagArgs),
    Archive(marks::ArchiveArgs),
    /// Draw people, check a data set, keep persons for validation
    #[command(subcommand)]
    Data(data::Verb),
    /// Rebuild the database from the run folders
    Reindex,
    Merge(merge::Args),
    Gc(gc::Args),
    Doctor(doctor::Args),
    Schema(schema::Args),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    listen(cli.verbose);
    let runs = cli
        .runs
        .or_else(|| std::env::var_os("DGNET_RUNS").filter(|dir| !dir.is_empty()).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("runs"));
    let done = match cli.verb {
        Verb::Sweep(args) => sweep::run(&args, &runs),
        Verb::Run(args) => run::run(&args, &runs),
        Verb::Plan(args) => plan::run(&args, &runs),
        Verb::Watch(args) => watch::run(&args, &runs),
        Verb::Runs(args) => runs::run(&args, &runs),
        Verb::Show(args) => show::run(&args, &runs),
        Verb::Compare(args) => compare::run(&args, &runs),
        Verb::Diff(args) => diff::run(&args, &runs),
        Verb::Query(args) => query::run(&args, &runs),
        Verb::Report(args) => report::run(&args, &runs),
        Verb::Serve(args) => serve::run(&args, &runs),
        Verb::Generate(args) => generate::run(&args, &runs),
        Verb::Eval(args) => eval::run(&args, &runs),
        Verb::Embed(args) => embed::run(&args, &runs),
        Verb::Export(args) => export::run(&args, &runs),
        Verb::Note(args) => marks::note(&args, &runs),
        Verb::Tag(args) => marks::tag(&args, &runs),
        Verb::Archive(args) => marks::archive(&args, &runs),
        Verb::Data(verb) => data::run(&verb),
        Verb::Reindex => reindex::run(&runs),
        Verb::Merge(args) => merge::run(&args, &runs),
        Verb::Gc(args) => gc::run(&args, &runs),
        Verb::Doctor(args) => doctor::run(&args, &runs),
        Verb::Schema(args) => schema::run(&args),
    };
    let code = done.unwrap_or_else(|error| {
        output::talk(&format!("error: {error}"));
        failure::exit_code(&error)
    });
    ExitCode::from(code)
}

fn listen(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    tracing_subscriber::fmt()
        // a large study's questions take their time, which is no warning
        .with_env_filter(EnvFilter::new(format!("warn,sqlx=error,dgnet={level}")))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        // whoever closes our standard error wants no panic for it
        .log_internal_errors(false)
        .init();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from([
            "dgnet", "sweep", "x.yaml", "--jobs", "2", "--set", "a.b=1", "--set", "c=d", "--runs",
            "r",
        ])
        .unwrap();
        assert_eq!(cli.runs.unwrap(), PathBuf::from("r"));
        let Verb::Sweep(args) = cli.verb else { panic!() };
        assert_eq!((args.jobs, args.study.set), (Some(2), vec!["a.b=1".into(), "c=d".into()]));
    }

    #[test]
    fn every_verb_says_what_it_does() {
        for verb in Cli::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }
}
