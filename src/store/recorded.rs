//! What is known of one run, as its folder tells it or, where that is not here, the database: settings,
//! provenance, how it ended, what people say of it. Results are questions to the database either way.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::db::Db;
use super::error::StoreError;
use super::marks::Marks;
use super::records::{Begin, End, EndState, StageKeys};
use super::run_dir::RunDir;

/// A run and its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What it is made of.
    pub spec: Spec,
    /// planned | running | done | failed | diverged | stale | interrupted.
    pub state: String,
    /// Provenance of the last attempt; `None` before the first.
    pub begin: Option<Begin>,
    /// How it ended.
    pub end: Option<End>,
    /// Notes, tags, archiving.
    pub marks: Marks,
}

/// The content of `spec.yaml`, with the settings of whichever version of this program wrote it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    /// Study that created the folder.
    pub study: String,
    /// Arm that created the folder.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Identity.
    pub uid: String,
    /// Recipe version.
    pub recipe: u32,
    /// Keys of its stages; the database does not know that of a generator that feeds offline.
    pub stages: StageKeys,
    /// Dotted overrides of the arm; none where the database does not hold the study that created the run.
    pub overrides: BTreeMap<String, Json>,
    /// The resolved settings.
    pub settings: Json,
}

#[derive(sqlx::FromRow)]
struct Row {
    folder: String,
    state: String,
    attempt: i64,
    seed: i64,
    step: i64,
    recipe: i64,
    settings: String,
    begin: String,
    failure: Option<String>,
    ended_at: Option<f64>,
    wall_s: Option<f64>,
    cpu_s: Option<f64>,
    peak_bytes: Option<i64>,
    overrides: Option<String>,
    tags: Option<String>,
    notes: Option<String>,
    archived_at: Option<f64>,
}

impl Recorded {
    /// The records of a run folder.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a folder without `spec.yaml`, or with records that cannot be understood.
    pub fn read(run: &RunDir) -> Result<Self, StoreError> {
        let spec = run.spec()?;
        Ok(Self {
            spec: Spec {
                study: spec.study,
                arm: spec.arm,
                seed: spec.seed,
                uid: spec.uid,
                recipe: spec.recipe,
                stages: spec.stages,
                overrides: BTreeMap::clone(&spec.overrides),
                // plain records of strings and numbers, which JSON can always spell
                settings: serde_json::to_value(spec.settings.as_ref()).unwrap_or_default(),
            },
            state: run.state()?.as_str().to_owned(),
            begin: run.begin()?,
            end: run.end()?,
            marks: Marks::read(run.path())?,
        })
    }
}

impl Spec {
    /// The text of a `spec.yaml`.
    ///
    /// # Errors
    /// Settings that YAML cannot spell.
    pub fn yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(self)
    }
}

impl Db {
    /// What the database knows of a run without looking at its folder; `None` before it has one.
    ///
    /// # Errors
    /// An unreadable database.
    pub fn recorded(&mut self, uid: &str) -> Result<Option<Recorded>, StoreError> {
        let (row, stages) = self.with("reading a run", async |connection| {
            // names hold no `/`: a folder begins with one study and one arm only
            let row: Option<Row> = sqlx::query_as(
                "SELECT run.folder, run.state, run.attempt, run.seed, run.step, run.recipe,
                        run.settings, run.begin, run.failure, run.ended_at, run.wall_s, run.cpu_s,
                        run.peak_bytes, arm.overrides, mark.tags, mark.notes, mark.archived_at
                 FROM run
                 LEFT JOIN arm ON instr(run.folder, arm.study || '/' || arm.name || '/') = 1
                 LEFT JOIN mark ON mark.kind = 'run' AND mark.name = run.uid
                 WHERE run.uid = ?",
            )
            .bind(uid)
            .fetch_optional(&mut *connection)
            .await?;
            let stages: Vec<(String, String)> =
                sqlx::query_as("SELECT kind, key FROM run_stage WHERE run_uid = ?")
                    .bind(uid)
                    .fetch_all(connection)
                    .await?;
            Ok((row, stages))
        })?;
        let recorded = row.map(|row| row.recorded(uid, stages)).transpose();
        recorded.map_err(|error| self.damaged(&error))
    }
}

impl Row {
    fn recorded(
        self,
        uid: &str,
        stages: Vec<(String, String)>,
    ) -> Result<Recorded, serde_json::Error> {
        let mut parts = self.folder.split('/').map(str::to_owned);
        let (study, arm) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let overrides = self.overrides.as_deref().map_or(Ok(BTreeMap::new()), serde_json::from_str);
        let notes = self.notes.as_deref().map_or(Ok(Vec::new()), serde_json::from_str);
        let tags = self.tags.unwrap_or_default();
        let ended = match self.state.as_str() {
            "done" => Some(EndState::Done),
            "failed" => Some(EndState::Failed),
            "diverged" => Some(EndState::Diverged),
            _ => None,
        };
        let end = ended.zip(self.ended_at).map(|(state, ended_at)| End {
            state,
            reason: self.failure,
            attempt: self.attempt as u32,
            step: self.step as u64,
            ended_at,
            wall_s: self.wall_s.unwrap_or_default(),
            cpu_s: self.cpu_s.unwrap_or_default(),
            energy_j: None,
            peak_bytes: self.peak_bytes.unwrap_or_default() as u64,
        });
        Ok(Recorded {
            spec: Spec {
                study,
                arm,
                seed: self.seed as u64,
                uid: uid.to_owned(),
                recipe: self.recipe as u32,
                stages: keys(stages),
                overrides: overrides?,
                settings: serde_json::from_str(&self.settings)?,
            },
            state: self.state,
            // `{}` before the first attempt; provenance is nothing to refuse a run for
            begin: serde_json::from_str(&self.begin).ok(),
            end,
            marks: Marks {
                notes: notes?,
                tags: tags.split_whitespace().map(str::to_owned).collect(),
                archived_at: self.archived_at,
            },
        })
    }
}

/// Keys by kind; a beginning shared with other runs is no stage of a spec.
fn keys(stages: Vec<(String, String)>) -> StageKeys {
    let mut keys = StageKeys::default();
    for (kind, key) in stages {
        match kind.as_str() {
            "data" => keys.data = key,
            "teacher" => keys.teacher = key,
            "training" => keys.training = key,
            "evaluation" => keys.evaluation = key,
            "pictures" => keys.pictures = key,
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::ingest::Writer;
    use crate::store::marks::Note;
    use crate::store::records::{ArmRecord, StudyRecord};
    use crate::store::run_dir::tests::{begin, end, spec};
    use crate::store::{RunWriter, study_dir};

    #[test]
    fn the_database_knows_a_run_as_its_folder_does() {
        let root = tempfile::tempdir().unwrap();
        let mut spec = spec("s", "less", 3, "0123abcd");
        let lambda = ("loss.lambda_prim".to_owned(), Json::from(0.25));
        spec.overrides = std::sync::Arc::new(BTreeMap::from([lambda]));
        std::sync::Arc::make_mut(&mut spec.settings).loss.lambda_prim = 0.25;
        spec.stages.data = "dd".into();
        spec.stages.evaluation = "ee".into();
        let study = StudyRecord {
            name: "s".into(),
            arms: vec![ArmRecord {
                name: "less".into(),
                label: "less".into(),
                overrides: spec.overrides.clone(),
            }],
            ..StudyRecord::default()
        };
        study_dir::write(root.path(), &study).unwrap();
        let run = RunDir::create(root.path(), &spec).unwrap();
        let index = || -> Option<Recorded> {
            let mut writer = Writer::open(root.path()).unwrap().unwrap();
            writer.study("s").unwrap();
            writer.tail(&run).unwrap();
            writer.close().unwrap();
            Db::open_read(&Db::file(root.path())).unwrap().recorded(&spec.uid).unwrap()
        };
        let planned = index().unwrap();
        assert_eq!(
            (planned.state.as_str(), &planned.begin, &planned.end),
            ("planned", &None, &None)
        );
        let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
        lines.metrics(5, &[("mAP", 0.5)]).unwrap();
        lines.end(&end(EndState::Failed, 1, 5)).unwrap();
        Marks::change(root.path(), run.path(), |marks| {
            marks.notes.push(Note { at: 1.0, text: "odd".into() });
            marks.tag(&["+good".into(), "+b".into()]).unwrap();
            marks.archived_at = Some(2.0);
        })
        .unwrap();
        let known = index().unwrap();
        assert_eq!(known, Recorded::read(&run).unwrap());
        assert_eq!(known.spec.yaml().unwrap(), std::fs::read_to_string(run.spec_file()).unwrap());
        let mut db = Db::open_read(&Db::file(root.path())).unwrap();
        assert_eq!(db.recorded("nothing").unwrap(), None);
    }
}
