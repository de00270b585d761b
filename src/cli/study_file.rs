//! Finding and loading the study that an argument names.

use std::path::{Path, PathBuf};

use crate::spec::Study;

use super::failure::BadInput;

/// A study file and overrides.
#[derive(Debug, clap::Args)]
pub struct StudyArgs {
    /// Study file; also found in `experiments/`, with or without `.yaml`
    #[arg(value_name = "STUDY")]
    pub file: PathBuf,
    /// Override a setting of every arm, for example `--set loss.lambda_img=1`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl StudyArgs {
    /// Loads, expands and validates the study.
    pub fn load(&self) -> anyhow::Result<Study> {
        Ok(Study::load(&find(&self.file)?, &self.set)?)
    }
}

/// The file that an argument names: as it is, or in `experiments/`.
pub fn find(named: &Path) -> Result<PathBuf, BadInput> {
    candidates(named).into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let name = named.display();
        let known = known();
        let near = known.iter().max_by(|a, b| {
            let near = |other: &str| strsim::jaro_winkler(other, &named.to_string_lossy());
            near(a).total_cmp(&near(b))
        });
        let hint = match near {
            Some(near) => {
                format!("did you mean `{near}`? `experiments/` holds {}", known.join(", "))
            }
            None => {
                "there is no study in `experiments/` either; give the path of a study file".into()
            }
        };
        BadInput(format!("there is no study file `{name}`\n  hint: {hint}"))
    })
}

fn candidates(named: &Path) -> Vec<PathBuf> {
    let mut name = named.as_os_str().to_owned();
    name.push(".yaml");
    let plain = [named.to_owned(), PathBuf::from(name)];
    let in_experiments = plain.clone().map(|path| Path::new("experiments").join(path));
    if named.is_absolute() { plain.to_vec() } else { [plain, in_experiments].concat() }
}

fn known() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("experiments") else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> =
        names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml")).collect();
    names.sort();
    names
}
