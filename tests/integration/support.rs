//! A folder of its own for each test, with a study that trains in seconds.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The smallest study that has everything: joint arms with erasing, dropout and a teacher, and the baseline.
pub const TINY: &str = "\
study: tiny
question: does it run?
seeds: 1
primary: mAP
baseline: full
confirm: [teacher_only]
data: { drawn: { ids: 12, cameras: 2, photos_min: 2, photos_max: 2, height: 48, width: 24 } }
image: { height: 32, width: 16 }
structure: { width: 2, residual_blocks: 1, dilations: [1, 2, 3] }
appearance: { backbone: resnet10, width: 4, feature: 8, upsample: never }
decoder: { residual_blocks: 2, mlp_width: 8 }
discriminator: { scales: 1, width: 2, residual_blocks: 0 }
teacher: { backbone: resnet10, width: 4, feature: 8, epochs: 2, decay_epoch: 1, batch: 4 }
loss: { ramp_start: 4, ramp_steps: 2, ramp_steps_code: 2 }
augment: { pad: 2 }
train: { steps: 16, batch: 2, decay_at: [12], log_every: 2, checkpoint_every: 3 }
eval: { every: 6, batch: 16, swap_pairs: 4, multi_query: true, rerank: true }
pictures: { grid: 2 }
arms:
  full: {}
  hard_labels: { label: <script>alert(1)</script>, teacher.labels: hard }
  teacher_only: { train.mode: teacher_only }
";

/// A working folder.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn runs(&self) -> PathBuf {
        self.path().join("runs")
    }

    /// Writes a study and gives its path.
    pub fn study(&self, text: &str) -> PathBuf {
        let path = self.path().join("tiny.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dgnet"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("DGNET_RUNS")
            .env("NO_COLOR", "1");
        command
    }

    pub fn dgnet(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and gives its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.dgnet(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The only run folder of an arm.
    pub fn run_folder(&self, arm: &str) -> PathBuf {
        let folder = self.runs().join("tiny").join(arm);
        let mut entries = std::fs::read_dir(&folder).unwrap().flatten();
        entries.next().unwrap().path()
    }
}

/// What must be equal bit for bit: weights, and every metric but the clock's.
pub fn fingerprint(place: &Place) -> String {
    let mut hash = blake3::Hasher::new();
    let mut files = Vec::new();
    for kind in ["training", "teacher", "evaluation", "pictures"] {
        let Ok(stages) = std::fs::read_dir(place.runs().join(".stages").join(kind)) else {
            continue;
        };
        for stage in stages.flatten().filter(|stage| {
            stage.path().is_dir() && !stage.file_name().to_string_lossy().starts_with('.')
        }) {
            for file in std::fs::read_dir(stage.path()).unwrap().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                if [".safetensors", ".png", ".jpg", "result.json"]
                    .iter()
                    .any(|end| name.ends_with(end))
                {
                    files.push(file.path());
                }
            }
        }
    }
    files.sort();
    assert!(files.len() >= 3, "nothing was published");
    for file in files {
        hash.update(file.strip_prefix(place.runs()).unwrap().to_string_lossy().as_bytes());
        hash.update(&std::fs::read(&file).unwrap());
    }
    let curves = place.succeed(&[
        "query",
        "select arm, seed, metric, step, value from curves where metric <> 'step_seconds' order by 1, 2, 3, 4",
        "--format",
        "csv",
    ]);
    assert!(curves.lines().count() > 50, "too few values: {curves}");
    hash.update(curves.as_bytes());
    hash.finalize().to_hex().to_string()
}
