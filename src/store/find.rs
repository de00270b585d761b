//! Names that people give: an arm, a run, a study; and the last values and per-query results of what
//! they name.

use std::collections::BTreeSet;
use std::path::Path;

use super::db::Db;
use super::error::StoreError;
use super::query::nearest;
use super::series::spelled;
use super::study_dir;

/// A run of an arm and the last value of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmRun {
    /// Seed.
    pub seed: u64,
    /// Identity.
    pub uid: String,
    /// planned | running | done | failed | diverged | stale | interrupted.
    pub state: String,
    /// Recipe version; 0 before it began.
    pub recipe: u32,
    /// Key of the data set; empty before it began.
    pub data_key: String,
    /// Last value of the metric, NaN and infinities restored; `None` where it has none.
    pub value: Option<f64>,
    /// Whether it or its study is archived.
    pub archived: bool,
}

/// A setting and its JSON value in either of two runs.
pub type SettingPair = (String, Option<String>, Option<String>);

/// How one query was ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRow {
    /// File name of the query.
    pub query: String,
    /// Average precision; `None` where no true match exists.
    pub ap: Option<f64>,
    /// Rank of the first true match, from 1.
    pub first_hit: Option<u32>,
}

/// Study and name of an arm.
type Arm<'a> = (&'a str, &'a str);

type RunTuple = (i64, String, String, i64, String, Option<f64>, Option<String>, Option<i64>, bool);

impl Db {
    /// The arm of a study that `ARM` or `STUDY/ARM` names.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] with the nearest names, [`StoreError::Ambiguous`] with the studies to choose
    /// from.
    pub fn find_arm(&mut self, name: &str) -> Result<(String, String), StoreError> {
        let rows: Vec<(String, String)> = self.with("looking for an arm", async |connection| {
            sqlx::query_as("SELECT study, name FROM arm ORDER BY study, position")
                .fetch_all(connection)
                .await
        })?;
        let parts = name.split_once('/');
        let fits = |(study, arm): &&(String, String)| {
            arm == name || parts == Some((study.as_str(), arm.as_str()))
        };
        let found: Vec<&(String, String)> = rows.iter().filter(fits).collect();
        match found.as_slice() {
            [one] => return Ok((*one).clone()),
            [] => {}
            several => {
                let names = several.iter().map(|(study, arm)| format!("`{study}/{arm}`"));
                return Err(ambiguous("arm", name, names.collect()));
            }
        }
        let is_run = parts.is_some()
            && matches!(self.find_run(name), Ok(_) | Err(StoreError::Ambiguous { .. }));
        let arms: Vec<Arm> =
            rows.iter().map(|(study, arm)| (study.as_str(), arm.as_str())).collect();
        let hint = match parts {
            _ if is_run => format!(
                "`{name}` is a run: `dgnet diff` sets two runs side by side, `dgnet compare` two arms over all their seeds"
            ),
            Some((study, arm)) => no_arm(Some(study), arm, &arms).unwrap_or_default(),
            None => nearest(name, &unique(arms.iter().map(|(_, arm)| *arm)), "arms"),
        };
        Err(StoreError::Unknown { what: "arm", name: name.to_owned(), hint })
    }

    /// The uid of the run that `ARM/SEED`, `STUDY/ARM/SEED` or the beginning of a uid names.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where it names none, with the nearest names or the seeds that are there;
    /// [`StoreError::Ambiguous`] where it names more than one.
    pub fn find_run(&mut self, name: &str) -> Result<String, StoreError> {
        let parts: Vec<&str> = name.split('/').collect();
        let (sql, values) = match parts.as_slice() {
            [arm, seed] => (
                "SELECT run_uid, study || '/' || arm || '/' || seed FROM cell
                 WHERE arm = ? AND seed = ? ORDER BY study",
                vec![*arm, *seed],
            ),
            [study, arm, seed] => (
                "SELECT run_uid, study || '/' || arm || '/' || seed FROM cell
                 WHERE study = ? AND arm = ? AND seed = ?",
                vec![*study, *arm, *seed],
            ),
            _ => (
                "SELECT uid, (SELECT study || '/' || arm || '/' || seed FROM cell
                              WHERE run_uid = uid ORDER BY study, arm, seed LIMIT 1)
                 FROM run WHERE substr(uid, 1, length(?1)) = ?1 ORDER BY uid",
                vec![name],
            ),
        };
        let found: Vec<(String, Option<String>)> =
            self.with("looking for a run", async |connection| {
                let mut query = sqlx::query_as(sql);
                for value in values {
                    query = query.bind(value.to_owned());
                }
                query.fetch_all(connection).await
            })?;
        let uids: BTreeSet<&str> = found.iter().map(|(uid, _)| uid.as_str()).collect();
        if uids.len() > 1 {
            // enough of an id to tell it from the others
            let digits = name.len().max(4) + 4;
            let names = found.iter().map(|(uid, cell)| match cell {
                Some(cell) if parts.len() > 1 => format!("`{cell}`"),
                Some(cell) => format!("`{uid:.digits$}` ({cell})"),
                None => format!("`{uid:.digits$}`"),
            });
            return Err(ambiguous("run", name, names.collect()));
        }
        if let Some((uid, _)) = found.into_iter().next() {
            return Ok(uid);
        }
        let cells: Vec<(String, String, i64)> =
            self.with("looking for a run's cells", async |connection| {
                sqlx::query_as("SELECT study, arm, seed FROM cell ORDER BY study, arm, seed")
                    .fetch_all(connection)
                    .await
            })?;
        Err(StoreError::Unknown {
            what: "run",
            name: name.to_owned(),
            hint: no_run(&parts, &cells),
        })
    }

    /// The runs of an arm by seed, with the last value of a metric.
    pub fn arm_runs(
        &mut self,
        study: &str,
        arm: &str,
        metric: &str,
    ) -> Result<Vec<ArmRun>, StoreError> {
        let rows: Vec<RunTuple> = self.with("reading an arm", async |connection| {
            sqlx::query_as(
                "SELECT cell.seed, cell.run_uid, coalesce(runs.state, 'planned'),
                        coalesce(runs.recipe, 0), coalesce(runs.data_key, ''), metric.value,
                        metric.nonfinite, metric.step, runs.archived
                 FROM cell
                 JOIN runs ON runs.study = cell.study AND runs.arm = cell.arm AND runs.seed = cell.seed
                 LEFT JOIN run_number ON run_number.uid = cell.run_uid
                 LEFT JOIN metric ON metric.run = run_number.id
                       AND metric.name = (SELECT id FROM metric_name WHERE metric_name.name = ?3)
                       AND metric.step = (SELECT max(step) FROM metric AS other
                                          WHERE other.run = metric.run AND other.name = metric.name)
                 WHERE cell.study = ?1 AND cell.arm = ?2 ORDER BY cell.seed",
            )
            .bind(study)
            .bind(arm)
            .bind(metric)
            .fetch_all(connection)
            .await
        })?;
        Ok(rows
            .into_iter()
            .map(|(seed, uid, state, recipe, data_key, value, nonfinite, step, archived)| ArmRun {
                seed: seed as u64,
                uid,
                state,
                recipe: recipe as u32,
                data_key,
                value: step.map(|_| value.unwrap_or_else(|| spelled(nonfinite.as_deref()))),
                archived,
            })
            .collect())
    }

    /// How every query of a run was ranked at its last evaluation, by query.
    pub fn query_results(&mut self, uid: &str) -> Result<Vec<QueryRow>, StoreError> {
        let rows: Vec<(String, Option<f64>, Option<i64>)> =
            self.with("reading queries", async |connection| {
                sqlx::query_as(
                    "SELECT query, ap, first_hit FROM query_result
                     WHERE run = (SELECT id FROM run_number WHERE uid = ?1)
                       AND step = (SELECT max(step) FROM query_result
                                   WHERE run = (SELECT id FROM run_number WHERE uid = ?1))
                     ORDER BY query",
                )
                .bind(uid)
                .fetch_all(connection)
                .await
            })?;
        Ok(rows
            .into_iter()
            .map(|(query, ap, hit)| QueryRow { query, ap, first_hit: hit.map(|h| h as u32) })
            .collect())
    }

    /// The settings in which two runs differ: key, JSON value of the first, of the second.
    pub fn settings_between(
        &mut self,
        one: &str,
        other: &str,
    ) -> Result<Vec<SettingPair>, StoreError> {
        self.with("comparing settings", async |connection| {
            sqlx::query_as(
                "SELECT key, max(CASE run_uid WHEN ?1 THEN value END) AS a,
                        max(CASE run_uid WHEN ?2 THEN value END) AS b
                 FROM setting WHERE run_uid IN (?1, ?2) GROUP BY key HAVING a IS NOT b ORDER BY key",
            )
            .bind(one)
            .bind(other)
            .fetch_all(connection)
            .await
        })
    }

    /// The folder of a run, relative to the runs folder; empty before it has one.
    pub fn run_folder(&mut self, uid: &str) -> Result<String, StoreError> {
        let folder: Option<String> =
            self.with("looking for a run's folder", async |connection| {
                sqlx::query_scalar("SELECT folder FROM run WHERE uid = ?")
                    .bind(uid)
                    .fetch_optional(connection)
                    .await
            })?;
        Ok(folder.unwrap_or_default())
    }

    /// The cells that point to a run: study, arm, seed.
    pub fn cells_of(&mut self, uid: &str) -> Result<Vec<(String, String, i64)>, StoreError> {
        self.with("looking for a run's cells", async |connection| {
            sqlx::query_as(
                "SELECT study, arm, seed FROM cell WHERE run_uid = ? ORDER BY study, arm, seed",
            )
            .bind(uid)
            .fetch_all(connection)
            .await
        })
    }

    /// Checks that a metric is known.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] with the nearest names.
    pub fn check_metric(&mut self, name: &str) -> Result<(), StoreError> {
        let known: Vec<String> = self.metric_defs()?.into_iter().map(|def| def.name).collect();
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        let hint = nearest(name, &known, "metrics");
        Err(StoreError::Unknown { what: "metric", name: name.to_owned(), hint })
    }
}

/// Candidates named of an ambiguous name, at most.
const CANDIDATES: usize = 8;

fn ambiguous(what: &'static str, name: &str, mut names: Vec<String>) -> StoreError {
    let more = names.len().saturating_sub(CANDIDATES);
    if more > 0 {
        names.truncate(CANDIDATES);
        names.push(format!("one of {more} more"));
    }
    let last = names.pop().unwrap_or_default();
    let hint = format!("{} or {last}", names.join(", "));
    StoreError::Ambiguous { what, name: name.to_owned(), hint }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Why no arm has a name, of a study or of any, with the nearest names; `None` where one has.
fn no_arm(study: Option<&str>, arm: &str, known: &[Arm]) -> Option<String> {
    if known.is_empty() {
        return Some("the database holds no study yet; `dgnet sweep STUDY` fills it".to_owned());
    }
    let of = || known.iter().filter(|(other, _)| study.is_none_or(|study| study == *other));
    if let Some(study) = study.filter(|_| of().next().is_none()) {
        let near = nearest(study, &unique(known.iter().map(|(study, _)| *study)), "studies");
        return Some(format!("no study is called `{study}`: {near}"));
    }
    if of().any(|(_, other)| *other == arm) {
        return None;
    }
    let near = nearest(arm, &unique(of().map(|(_, arm)| *arm)), "arms");
    Some(match study {
        Some(study) => format!("the study `{study}` has no arm `{arm}`: {near}"),
        None => format!("no arm is called `{arm}`: {near}"),
    })
}

/// What to write instead of the name of a run that there is not; cells are study, arm, seed.
fn no_run(parts: &[&str], cells: &[(String, String, i64)]) -> String {
    let arms: Vec<Arm> =
        cells.iter().map(|(study, arm, _)| (study.as_str(), arm.as_str())).collect();
    let seeds = |study: Option<&str>, arm: &str| -> Option<String> {
        let of = cells.iter().filter(|cell| cell.1 == arm && study.is_none_or(|s| s == cell.0));
        let seeds: BTreeSet<i64> = of.map(|(_, _, seed)| *seed).collect();
        (!seeds.is_empty()).then(|| told(&seeds.into_iter().collect::<Vec<_>>()))
    };
    let usual = || {
        "a run is named ARM/SEED, STUDY/ARM/SEED or by the beginning of its id; `dgnet runs` lists them".to_owned()
    };
    let (study, arm) = match *parts {
        [arm] => {
            return seeds(None, arm)
                .map_or_else(usual, |s| format!("`{arm}` is an arm with {s}: add one, ARM/SEED"));
        }
        [study, arm] if seeds(Some(study), arm).is_some() => {
            let s = seeds(Some(study), arm).unwrap_or_default();
            return format!("`{study}/{arm}` is an arm with {s}: add one, STUDY/ARM/SEED");
        }
        [arm, _] => (None, arm),
        [study, arm, _] => (Some(study), arm),
        _ => return usual(),
    };
    let seeds = || seeds(study, arm).map_or_else(usual, |seeds| format!("`{arm}` has {seeds}"));
    no_arm(study, arm, &arms).unwrap_or_else(seeds)
}

/// `the seeds 1 to 8`, `the seeds 1, 2, 5`; ascending.
fn told(seeds: &[i64]) -> String {
    match seeds {
        [] => "no seeds".to_owned(),
        [one] => format!("the seed {one}"),
        [first, _, .., last] if last - first == seeds.len() as i64 - 1 => {
            format!("the seeds {first} to {last}")
        }
        seeds => {
            let mut words: Vec<String> =
                seeds.iter().take(CANDIDATES).map(i64::to_string).collect();
            if seeds.len() > CANDIDATES {
                words.push(format!("{} more", seeds.len() - CANDIDATES));
            }
            format!("the seeds {}", words.join(", "))
        }
    }
}

/// Whether a name is that of a study that has a folder.
#[must_use]
pub fn is_study(runs_root: &Path, name: &str) -> bool {
    study_dir::folder(runs_root, name).is_ok_and(|folder| folder.join("study.json").is_file())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::ingest::Writer;
    use crate::store::records::{ArmRecord, CellRecord, StudyRecord};
    use crate::store::run_dir::RunDir;
    use crate::store::run_dir::tests::spec;

    /// Two studies with an arm of one name, seeds 1 and 2.
    fn database() -> (tempfile::TempDir, Db) {
        let root = tempfile::tempdir().unwrap();
        for (name, arms) in [("one", vec!["full", "rgb"]), ("two", vec!["full"])] {
            let mut record = StudyRecord { name: name.into(), ..StudyRecord::default() };
            for arm in arms {
                let (arm_name, label) = (arm.into(), arm.into());
                record.arms.push(ArmRecord { name: arm_name, label, ..ArmRecord::default() });
                for seed in 1..3 {
                    let hash = blake3::hash(format!("{name} {arm} {seed}").as_bytes()).to_hex();
                    let spec = spec(name, arm, seed, &format!("4{hash:.7}"));
                    RunDir::create(root.path(), &spec).unwrap();
                    record.cells.push(CellRecord { arm: arm.into(), seed, uid: spec.uid });
                }
            }
            study_dir::write(root.path(), &record).unwrap();
        }
        let mut writer = Writer::open(root.path()).unwrap().unwrap();
        for run in RunDir::list(root.path()).unwrap() {
            writer.tail(&run).unwrap();
        }
        writer.study("one").unwrap();
        writer.study("two").unwrap();
        writer.close().unwrap();
        let db = Db::open_read(&Db::file(root.path())).unwrap();
        (root, db)
    }

    #[test]
    fn a_name_that_several_have_lists_them() {
        let (_root, mut db) = database();
        let text = db.find_arm("full").unwrap_err().to_string();
        assert_eq!(text, "ambiguous arm `full`\n  hint: it may be `one/full` or `two/full`");
        let text = db.find_run("full/2").unwrap_err().to_string();
        assert_eq!(text, "ambiguous run `full/2`\n  hint: it may be `one/full/2` or `two/full/2`");
        let uid = db.find_run("one/rgb/1").unwrap();
        assert_eq!(db.find_run("rgb/1").unwrap(), uid);
        let text = db.find_run("4").unwrap_err().to_string();
        let known = format!("`{uid:.8}` (one/rgb/1)");
        assert!(text.starts_with("ambiguous run `4`") && text.contains(&known), "{text}");
        let many = ambiguous("run", "4", (0..20).map(|n| format!("`{n}`")).collect()).to_string();
        assert!(many.ends_with("`6`, `7` or one of 12 more"), "{many}");
    }

    #[test]
    fn a_name_that_nothing_has_gets_near_ones() {
        let (_root, mut db) = database();
        for (name, expected) in [
            ("ful/2", "no arm is called `ful`: did you mean `full`?"),
            ("full/99", "`full` has the seeds 1, 2"),
            ("on/full/1", "no study is called `on`: did you mean `one`?"),
            ("two/rgb/1", "the study `two` has no arm `rgb`: known arms: full"),
            ("one/rgb", "`one/rgb` is an arm with the seeds 1, 2: add one, STUDY/ARM/SEED"),
            ("rgb", "`rgb` is an arm with the seeds 1, 2: add one, ARM/SEED"),
            ("zzz", "a run is named ARM/SEED"),
        ] {
            let text = db.find_run(name).unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("unknown run `{name}`\n  hint: {expected}")),
                "{text}"
            );
        }
        for (name, expected) in [
            ("fulll", "did you mean `full`?"),
            ("on/full", "no study is called `on`: did you mean `one`?"),
            ("rgb/1", "`rgb/1` is a run: `dgnet diff`"),
            ("full/1", "`full/1` is a run: `dgnet diff`"),
        ] {
            let text = db.find_arm(name).unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("unknown arm `{name}`\n  hint: {expected}")),
                "{text}"
            );
        }
        assert_eq!(told(&[2]), "the seed 2");
        assert_eq!(told(&[1, 2, 3]), "the seeds 1 to 3");
        assert_eq!(told(&[1, 2, 5]), "the seeds 1, 2, 5");
        assert_eq!(
            told(&[1, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            "the seeds 1, 3, 4, 5, 6, 7, 8, 9, 2 more"
        );
    }
}
