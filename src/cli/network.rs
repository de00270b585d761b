//! Arguments that say which network is meant and how it is built, and the talk with the worker that both
//! `eval` and `embed` have.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::BadInput;
use super::{output, study_file};
use crate::spec::{Settings, Study};
use crate::store::inquiry::{Answer, Inquiry};
use crate::sweep::inquiry;

/// Work that takes longer shows its progress.
const SILENT: Duration = Duration::from_secs(2);

/// How the network is built, where its run does not say.
#[derive(Debug, clap::Args)]
pub struct NetworkArgs {
    /// Study whose arm describes the network exactly
    #[arg(long, value_name = "STUDY", requires = "arm", conflicts_with = "base")]
    settings: Option<PathBuf>,
    /// Arm of that study
    #[arg(long, value_name = "ARM", requires = "settings")]
    arm: Option<String>,
    /// Base file with the photos' size and the strides (`paper`, `small`, or a path); depth, width and
    /// feature follow from the shapes in the weights file
    #[arg(long, value_name = "NAME")]
    base: Option<PathBuf>,
    /// Override a setting of a network whose run does not say, for example `--set image.height=384`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl NetworkArgs {
    /// The settings that the arguments state, and whether they describe the network exactly.
    pub fn load(&self) -> anyhow::Result<Option<(Settings, bool)>> {
        if let (Some(study), Some(name)) = (&self.settings, &self.arm) {
            let study = Study::load(&study_file::find(study)?, &self.set)?;
            let arm = study.arm(name).ok_or_else(|| {
                let arms: Vec<_> = study.arms.iter().map(|arm| arm.name.as_str()).collect();
                let text = format!(
                    "the study `{}` has no arm `{name}`\n  hint: it has {}",
                    study.name,
                    arms.join(", ")
                );
                BadInput(text)
            })?;
            return Ok(Some((Settings::clone(&arm.settings), true)));
        }
        if self.base.is_none() && self.set.is_empty() {
            return Ok(None);
        }
        let base = self.base.as_deref().map(base_file).transpose()?;
        Ok(Some((Study::settings(base.as_deref(), &self.set)?, false)))
    }
}

/// A base file by path, or by name in `experiments/base/`.
fn base_file(named: &Path) -> Result<PathBuf, BadInput> {
    let inside = Path::new("experiments/base").join(named);
    let candidates = [named.to_owned(), inside.clone(), inside.with_extension("yaml")];
    let found = candidates.into_iter().find(|path| path.is_file());
    found.and_then(|path| std::path::absolute(path).ok()).ok_or_else(|| {
        BadInput(format!(
            "there is no base file `{}`, nor one of that name in `experiments/base/`\n  hint: `--base paper` \
             in the folder of dgnet, or the path of a file with settings",
            named.display()
        ))
    })
}

/// Asks a worker; `take` gets what is an answer, progress and notes are shown as they come.
pub fn ask(
    inquiry: &Inquiry,
    runs: &Path,
    mut take: impl FnMut(Answer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (began, mut bar) = (Instant::now(), None::<ProgressBar>);
    let outcome = inquiry::ask(inquiry, runs, |answer| match answer {
        Answer::Progress { done, total } => {
            if began.elapsed() >= SILENT {
                let bar = bar.get_or_insert_with(|| photos(began));
                bar.set_length(total);
                bar.set_position(done);
            }
            Ok(())
        }
        Answer::Note(note) => {
            output::talk(&format!("note: {note}"));
            Ok(())
        }
        Answer::Failed { reason, refused: true } => Err(BadInput(reason).into()),
        Answer::Failed { reason, refused: false } => Err(anyhow::anyhow!(reason)),
        other => take(other),
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    outcome
}

fn photos(began: Instant) -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} photos, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style.progress_chars("=> "));
    bar.with_elapsed(began.elapsed())
}
