//! `dgnet embed`: the features of photos.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use walkdir::WalkDir;

use super::failure::BadInput;
use super::network::{self, NetworkArgs};
use super::{DONE, RUNS_FAILED, output};
use crate::store::inquiry::{Answer, Embed, Embedded, Inquiry};
use crate::sweep::inquiry;

const EXAMPLES: &str = "\
Examples:
  dgnet embed --checkpoint runs/ablations/full/seed-1-0a1b2c3d photo.jpg
  dgnet embed --checkpoint id_00100000.pt --csv --part primary photos/ > features.csv

One line an image: JSON {\"image\": ..., \"feature\": [...]}, or CSV. The feature is the protocol's: image and mirror \
image summed, each half of unit length; `both` is the primary half, then the fine half (a teacher has one half). How \
the network is built is described by `dgnet eval --help`.

Exit code 3 when an image could not be read; the others are printed.";

/// Print the re-ID features of images.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Run folder, stage or weights file
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Images, and folders of images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Print JSON, one object a line; the default
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV with a header
    #[arg(long)]
    csv: bool,
    /// Which half of the feature
    #[arg(long, value_enum, default_value_t = Part::Both)]
    part: Part,
}

/// Halves of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Primary, then fine
    Both,
    /// Of the primary head
    Primary,
    /// Of the fine head
    Fine,
}

impl Part {
    fn of(self, embedded: &Embedded) -> Vec<f32> {
        match self {
            Self::Both => [embedded.primary.as_slice(), &embedded.fine].concat(),
            Self::Primary => embedded.primary.clone(),
            Self::Fine => embedded.fine.clone(),
        }
    }
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let found = inquiry::find(&args.checkpoint, runs, args.network.load()?)?;
    let asked = Box::new(Embed { network: found.network, images: images(&args.images)? });
    let (mut lines, mut unreadable) = (0_usize, 0_usize);
    network::ask(&Inquiry::Embed(asked), runs, |answer| {
        match answer {
            Answer::Embedded(embedded) => {
                let feature = args.part.of(&embedded);
                if feature.is_empty() {
                    let text = "the network has no fine head\n  hint: `--part primary`";
                    return Err(BadInput(text.to_owned()).into());
                }
                if args.csv && lines == 0 {
                    output::data(&header(feature.len()))?;
                }
                lines += 1;
                output::data(&line(&embedded.image, &feature, args.csv)?)?;
            }
            Answer::Unreadable { image, reason } => {
                unreadable += 1;
                output::talk(&format!("cannot be used: {}: {reason}", image.display()));
            }
            _ => {}
        }
        Ok(())
    })?;
    if unreadable > 0 {
        output::talk(&format!("{unreadable} of {} images could not be read", unreadable + lines));
        return Ok(RUNS_FAILED);
    }
    Ok(DONE)
}

/// The images named, and those in the folders named, by path.
fn images(named: &[PathBuf]) -> Result<Vec<PathBuf>, BadInput> {
    let mut images = Vec::new();
    for path in named {
        if !path.is_dir() {
            // one that is not there is told by name, like any other that cannot be read
            images.push(path.clone());
            continue;
        }
        let is_image = |path: &Path| {
            let end = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
            end.is_some_and(|end| ["jpg", "jpeg", "png"].iter().any(|known| end == *known))
        };
        let files = WalkDir::new(path).sort_by_file_name().into_iter().flatten();
        let files =
            files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
        let before = images.len();
        images.extend(files.filter(|path| is_image(path)));
        if images.len() == before {
            let text = format!(
                "`{}` holds no image\n  hint: images end in .jpg, .jpeg or .png",
                path.display()
            );
            return Err(BadInput(text));
        }
    }
    Ok(images)
}

fn header(dims: usize) -> String {
    let names: Vec<String> = (0..dims).map(|at| format!("f{at}")).collect();
    format!("image,{}\n", names.join(","))
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    image: &'a str,
    feature: &'a [f32],
}

fn line(image: &Path, feature: &[f32], csv: bool) -> anyhow::Result<String> {
    let image = image.to_string_lossy();
    if csv {
        let values: Vec<String> = feature.iter().map(ToString::to_string).collect();
        let plain = !image.contains([',', '"', '\n', '\r']);
        let image =
            if plain { image.into_owned() } else { format!("\"{}\"", image.replace('"', "\"\"")) };
        return Ok(format!("{image},{}\n", values.join(",")));
    }
    Ok(serde_json::to_string(&Line { image: &image, feature })? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_and_quotes_stay_one_field() {
        let path = Path::new("a,\"b\".png");
        let line = |csv| line(path, &[0.1, -1.0], csv).unwrap_or_default();
        assert_eq!(line(true), "\"a,\"\"b\"\".png\",0.1,-1\n");
        assert_eq!(line(false), "{\"image\":\"a,\\\"b\\\".png\",\"feature\":[0.1,-1.0]}\n");
    }
}
