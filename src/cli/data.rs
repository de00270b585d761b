//! `dgnet data`: draw people, check a data set, keep persons for validation.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::BadInput;
use super::{BAD_INPUT, DONE, output};
use crate::data::check::{Baseline, Report, check_with_progress};
use crate::data::drawn::draw;
use crate::data::{layout, split};
use crate::spec::settings::Drawn;

/// What to do with a data set.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Draw people in the Market-1501 layout; the same arguments give the same bytes
    #[command(
        after_help = "Example:\n  dgnet data draw --out people --ids 160 --cameras 4 --seed 1"
    )]
    Draw(Draw),
    /// Count a data set and name everything in it that cannot be used
    #[command(
        after_help = "Example:\n  dgnet data check /data/Market-1501-v15.09.15\n\nExit code 2 when a photo cannot be used."
    )]
    Check(Check),
    /// Keep the last persons of a training part for validation, to choose settings without the test
    #[command(
        after_help = "Example:\n  dgnet data split /data/Market-1501-v15.09.15 --people 100 --out market-val"
    )]
    Split(Split),
}

/// Arguments of `data split`.
#[derive(Debug, clap::Args)]
pub struct Split {
    /// Folder of the set
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Persons to keep for validation
    #[arg(long, value_name = "N", default_value_t = 100)]
    people: usize,
    /// Folder to write to; must be empty or not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Arguments of `data draw`.
#[derive(Debug, clap::Args)]
pub struct Draw {
    /// Folder to write to; must be empty or not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Identities, training and test together
    #[arg(long, value_name = "N", default_value_t = Drawn::default().ids)]
    ids: u32,
    /// Cameras
    #[arg(long, value_name = "C", default_value_t = Drawn::default().cameras)]
    cameras: u32,
    /// Seed of everything drawn
    #[arg(long, value_name = "S", default_value_t = Drawn::default().seed)]
    seed: u64,
    /// Height of a photo in pixels
    #[arg(long, value_name = "PX", default_value_t = Drawn::default().height)]
    height: u32,
    /// Width of a photo in pixels
    #[arg(long, value_name = "PX", default_value_t = Drawn::default().width)]
    width: u32,
}

/// Arguments of `data check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Folder of the set
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(verb: &Verb) -> anyhow::Result<u8> {
    match verb {
        Verb::Draw(args) => draw_people(args),
        Verb::Check(args) => check_set(args),
        Verb::Split(args) => split_set(args),
    }
}

/// Refuses a folder that holds something.
fn must_be_empty(folder: &Path) -> Result<(), BadInput> {
    let taken = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        let text = format!("`{}` is not empty\n  hint: choose a new folder", folder.display());
        return Err(BadInput(text));
    }
    Ok(())
}

fn split_set(args: &Split) -> anyhow::Result<u8> {
    must_be_empty(&args.out)?;
    let counts = split::write(&layout::read(&args.dir)?, args.people, &args.out)?;
    output::data(&format!(
        "split: {}: {} persons with {} photos to train on; {} persons to validate, {} queries, {} gallery photos\n",
        args.out.display(),
        counts.train.0,
        counts.train.1,
        counts.validation,
        counts.query,
        counts.gallery
    ))?;
    Ok(DONE)
}

fn draw_people(args: &Draw) -> anyhow::Result<u8> {
    must_be_empty(&args.out)?;
    let settings = Drawn {
        ids: args.ids,
        cameras: args.cameras,
        seed: args.seed,
        height: args.height,
        width: args.width,
        ..Drawn::default()
    };
    let bar = photos_bar();
    draw(&settings, &args.out, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    output::data(&format!("drawn: {}\n", args.out.display()))?;
    Ok(DONE)
}

fn check_set(args: &Check) -> anyhow::Result<u8> {
    let bar = photos_bar();
    let report = check_with_progress(&args.dir, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let text = if args.json {
        format!("{:#}\n", serde_json::to_value(&report)?)
    } else {
        as_text(&report)
    };
    output::data(&text)?;
    Ok(if report.is_usable() { DONE } else { BAD_INPUT })
}

fn photos_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} photos, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

fn as_text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .splits
        .iter()
        .map(|split| {
            let cameras: Vec<_> = split
                .cameras
                .iter()
                .map(|(camera, photos)| format!("{camera}: {photos}"))
                .collect();
            vec![
                split.folder.to_owned(),
                split.photos.to_string(),
                split.people.to_string(),
                split.junk.to_string(),
                split.distractors.to_string(),
                cameras.join(", "),
            ]
        })
        .collect();
    let columns = ["folder", "photos", "people", "junk", "distractors", "photos per camera"];
    let mut text = output::table(&columns, &["photos", "people", "junk", "distractors"], &rows);
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    say(String::new());
    say(format!("layout: {}", report.layout.as_str()));
    if let Some(set) = &report.published {
        let [train, query, gallery] = set.photos;
        let counts: Vec<usize> = report.splits.iter().take(3).map(|split| split.photos).collect();
        let people = report.splits.first().map_or(0, |split| split.people);
        let equal = counts == set.photos && people == set.train_people;
        say(format!(
            "{} as published: {train} training photos of {} people, {query} queries, {gallery} gallery photos: {}",
            set.name,
            set.train_people,
            if equal { "the same" } else { "not the same" }
        ));
    }
    say(format!(
        "true matches of a query: {:.1} on average, {} to {}; ignored under its own camera: {:.1}",
        report.matches.mean, report.matches.min, report.matches.max, report.same_camera.mean
    ));
    let baselines = [("RGB histograms", report.histogram), ("silhouettes", report.silhouette)];
    for (name, Baseline { map, rank1, queries }) in
        baselines.into_iter().filter_map(|(name, baseline)| baseline.map(|it| (name, it)))
    {
        say(format!(
            "ranking by {name} alone: mAP {:.1} %, rank-1 {:.1} % over {queries} queries",
            map * 100.0,
            rank1 * 100.0
        ));
    }
    for query in &report.queries_without_match {
        say(format!("query without a true match: {query}"));
    }
    for person in &report.shared_people {
        say(format!("person in training and test alike: {person}"));
    }
    for group in &report.duplicates {
        let files: Vec<_> = group.iter().map(|file| file.display().to_string()).collect();
        say(format!("equal photos: {}", files.join(", ")));
    }
    for problem in &report.problems {
        say(format!("cannot be used: {}: {}", problem.file.display(), problem.reason));
    }
    match report.problems.len() {
        0 => say("every photo can be used".into()),
        1 => say("1 photo cannot be used".into()),
        n => say(format!("{n} photos cannot be used")),
    }
    text
}
