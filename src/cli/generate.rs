//! `dgnet generate`: pictures and data sets drawn by a trained run.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::BadInput;
use super::study_file::{self};
use super::{BAD_INPUT, DONE, FAILED, INTERRUPTED, output};
use crate::spec::Study;
use crate::spec::request::{Amount, Codes, Photos, Request, What};
use crate::sweep::errand::errand;
use crate::sweep::plan;

/// Photos on one side of a picture, at most.
const PHOTOS_MAX: usize = 64;

/// Draw with a trained run: swaps, ways between two photos, whole data sets
///
/// G combines the appearance of one photo (clothes, colours, bags) with the structure of another (pose,
/// position, scene). Every picture is the same for the same weights and photos.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet generate grid ablations.yaml --arm full --seed 1 --held-out 6 --to grid.png
  dgnet generate grid runs/ablations/full/seed-1-0a1b2c3d --appearance red.jpg blue.jpg --structure walk.jpg --to two.png
  dgnet generate wear ablations.yaml --arm full --seed 1 --appearance red.jpg --held-out 16 --to red.png
  dgnet generate between ablations.yaml --arm full --seed 1 --first red.jpg --last blue.jpg --to way.png
  dgnet generate set ablations.yaml --arm full --seed 1 --structures 8 --to drawn-people")]
pub struct Args {
    #[command(subcommand)]
    what: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Every appearance (columns) in every structure (rows)
    #[command(
        after_help = "Example:\n  dgnet generate grid ablations.yaml --arm full --seed 1 --held-out 6 --to grid.png"
    )]
    Grid(Grid),
    /// One appearance in many structures
    #[command(
        after_help = "Example:\n  dgnet generate wear ablations.yaml --arm full --seed 1 --appearance red.jpg --held-out 16 --to red.png"
    )]
    Wear(Wear),
    /// The way from one photo to another, in equal steps of the code
    #[command(
        after_help = "Example:\n  dgnet generate between ablations.yaml --arm full --seed 1 --first a.jpg --last b.jpg --steps 10 --to way.png"
    )]
    Between(Between),
    /// A data set in the Market-1501 layout, to train on or to look at
    ///
    /// Training photos give images to train on, test photos give queries and gallery. A file that is there
    /// is kept: the same command goes on where it was stopped. `generated.csv` tells for every file whose
    /// appearance and whose structure it has.
    #[command(
        after_help = "Example:\n  dgnet generate set ablations.yaml --arm full --seed 1 --persons 50 --structures 8 --to drawn-people\n  dgnet data check drawn-people"
    )]
    Set(Set),
}

/// Which weights.
#[derive(Debug, clap::Args)]
struct Weights {
    /// Folder of a run, or a study file with --arm and --seed
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Arm of the study
    #[arg(long, value_name = "ARM")]
    arm: Option<String>,
    /// One of the study's seeds
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Grid {
    #[command(flatten)]
    weights: Weights,
    /// Photos that give the appearances
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "held_out")]
    appearance: Vec<PathBuf>,
    /// Photos that give the structures
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "held_out")]
    structure: Vec<PathBuf>,
    /// So many test photos of the run's data set, for each side that no files are named for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    held_out: Option<u32>,
    /// Picture to write: .png or .jpg
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Wear {
    #[command(flatten)]
    weights: Weights,
    /// Photo that gives the appearance
    #[arg(long, value_name = "FILE")]
    appearance: PathBuf,
    /// Photos that give the structures
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "held_out")]
    structure: Vec<PathBuf>,
    /// So many test photos of the run's data set give the structures
    #[arg(long, value_name = "N", conflicts_with = "structure", value_parser = clap::value_parser!(u32).range(1..=64))]
    held_out: Option<u32>,
    /// Picture to write: .png or .jpg
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Which codes change.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Change {
    /// The appearance; the structure stays that of the first photo
    Appearance,
    /// The structure; the appearance stays that of the first photo
    Structure,
    /// A strip for each
    Both,
}

#[derive(Debug, clap::Args)]
struct Between {
    #[command(flatten)]
    weights: Weights,
    /// Photo at which the way begins
    #[arg(long, value_name = "FILE")]
    first: PathBuf,
    /// Photo at which it ends
    #[arg(long, value_name = "FILE")]
    last: PathBuf,
    /// Images on the way, both ends included
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    steps: u32,
    /// What changes on the way
    #[arg(long, value_name = "CODE", value_enum, default_value_t = Change::Both)]
    change: Change,
    /// Picture to write: .png or .jpg
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    weights: Weights,
    /// Persons of the training part and of the test part, the first by id [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    persons: Option<u32>,
    /// Photos of a person that give an appearance, at most
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    appearances: u32,
    /// Structures in which every appearance is shown, from the cameras in turn
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    structures: u32,
    /// Seed of which photos meet
    #[arg(long, value_name = "N", default_value_t = 0)]
    photos_seed: u64,
    /// Folder to write to; must be empty, not there, or the beginning of the same set
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let (weights, to, what) = match &args.what {
        Verb::Grid(args) => (&args.weights, &args.to, grid(args)?),
        Verb::Wear(args) => (&args.weights, &args.to, wear(args)?),
        Verb::Between(args) => (&args.weights, &args.to, between(args)?),
        Verb::Set(args) => (&args.weights, &args.to, set(args)?),
    };
    let (run, runs) = resolve(weights, runs)?;
    let request = Request { run, to: to.clone(), what };
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("[{bar:30}] {pos}/{len} images, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> "),
    );
    let code = errand(&runs, "generate", &serde_json::to_string(&request)?, &|done, of| {
        if of > 1 {
            bar.set_length(of);
            bar.set_position(done);
        }
    })?;
    bar.finish_and_clear();
    Ok(match code {
        0 => {
            output::data(&format!("generated: {}\n", to.display()))?;
            DONE
        }
        2 => BAD_INPUT,
        4 => {
            output::talk(&format!("error: another process generates `{}`", to.display()));
            FAILED
        }
        130 => {
            output::talk("stopped; the same command goes on from there");
            INTERRUPTED
        }
        _ => FAILED,
    })
}

fn grid(args: &Grid) -> Result<What, BadInput> {
    picture_name(&args.to)?;
    Ok(What::Grid {
        appearance: photos(&args.appearance, args.held_out)?,
        structure: photos(&args.structure, args.held_out)?,
    })
}

fn wear(args: &Wear) -> Result<What, BadInput> {
    picture_name(&args.to)?;
    let structure = photos(&args.structure, args.held_out)?;
    Ok(What::Wear { appearance: photo(&args.appearance)?, structure })
}

fn between(args: &Between) -> Result<What, BadInput> {
    picture_name(&args.to)?;
    let codes = match args.change {
        Change::Appearance => Codes::Appearance,
        Change::Structure => Codes::Structure,
        Change::Both => Codes::Both,
    };
    let (first, last) = (photo(&args.first)?, photo(&args.last)?);
    Ok(What::Between { first, last, steps: args.steps, codes })
}

fn set(args: &Set) -> Result<What, BadInput> {
    if args.to.exists() && !args.to.is_dir() {
        let text = format!("`{}` is a file\n  hint: a data set is a folder", args.to.display());
        return Err(BadInput(text));
    }
    Ok(What::Set(Amount {
        persons: args.persons,
        appearances: args.appearances,
        structures: args.structures,
        seed: args.photos_seed,
    }))
}

/// The files that are named, else held-out photos.
fn photos(files: &[PathBuf], held_out: Option<u32>) -> Result<Photos, BadInput> {
    if files.len() > PHOTOS_MAX {
        let text = format!("{} photos on one side\n  hint: at most {PHOTOS_MAX}", files.len());
        return Err(BadInput(text));
    }
    match (files, held_out) {
        ([], Some(count)) => Ok(Photos::HeldOut(count)),
        _ => Ok(Photos::Files(files.iter().map(|file| photo(file)).collect::<Result<_, _>>()?)),
    }
}

fn photo(file: &Path) -> Result<PathBuf, BadInput> {
    if file.is_file() {
        return Ok(file.to_owned());
    }
    let text = format!("there is no photo `{}`\n  hint: a JPEG or PNG file", file.display());
    Err(BadInput(text))
}

/// Refuses a name whose end does not say how to write it, or whose folder is not there.
fn picture_name(path: &Path) -> Result<(), BadInput> {
    let end = path.extension().unwrap_or_default().to_ascii_lowercase();
    if !["png", "jpg", "jpeg"].iter().any(|known| end == *known) {
        let text = format!(
            "`{}` does not say which kind of picture it is\n  hint: end it in .png or .jpg",
            path.display()
        );
        return Err(BadInput(text));
    }
    if path.is_dir() {
        let text = format!("`{}` is a folder\n  hint: name the picture too", path.display());
        return Err(BadInput(text));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            let folder = folder.display();
            Err(BadInput(format!("there is no folder `{folder}`\n  hint: make it first")))
        }
        _ => Ok(()),
    }
}

/// The folder of the run that is meant, and the runs folder that it lies in.
fn resolve(weights: &Weights, runs: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    if weights.run.join("spec.yaml").is_file() {
        if weights.arm.is_some() || weights.seed.is_some() {
            let text = "a run folder has one arm and one seed\n  hint: leave out --arm and --seed";
            return Err(BadInput(text.to_owned()).into());
        }
        // runs/<study>/<arm>/<run>
        let folder = std::path::absolute(&weights.run)?;
        let own = folder.ancestors().nth(3).filter(|root| root.join(".stages").is_dir());
        let root = own.unwrap_or(runs).to_owned();
        return Ok((folder, root));
    }
    if weights.run.is_dir() {
        let text = format!(
            "`{}` is no run folder: it has no `spec.yaml`\n  hint: `dgnet query \"select folder from runs\"` lists them",
            weights.run.display()
        );
        return Err(BadInput(text).into());
    }
    let study = Study::load(&study_file::find(&weights.run)?, &[])?;
    let (Some(arm), Some(seed)) = (&weights.arm, weights.seed) else {
        let text = "a study has many runs\n  hint: name one with --arm and --seed";
        return Err(BadInput(text.to_owned()).into());
    };
    let plan = plan(&study, runs)?.only(arm, seed)?;
    let cell = plan.cells.first().map(|cell| cell.run.path().to_owned());
    let folder = cell.unwrap_or_default();
    if !folder.join("spec.yaml").is_file() {
        let text = format!(
            "`{arm}` with seed {seed} has not been trained\n  hint: `dgnet run {} --arm {arm} --seed {seed}`",
            weights.run.display()
        );
        return Err(BadInput(text).into());
    }
    Ok((folder, runs.to_owned()))
}
