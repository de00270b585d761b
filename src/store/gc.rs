//! Room on the disk: which files below the runs folder nobody needs any more. A plan first, then its
//! removal. What a run folder names is never in it: its data, teacher, weights, evaluation, pictures,
//! and the beginnings that its `forks.json` lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::files::create_folder;
use super::run_dir::{RunDir, RunLock, RunState};
use super::stages::{StageKind, alive, builder, host};
use super::study_dir;

/// Held by `gc` alone, shared by everything that needs stages to stay.
const LOCK: &str = ".gc.lock";

/// Why something can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A stage that no run folder names.
    UnusedStage,
    /// The shared beginning of trainings that are all over.
    FinishedBeginning,
    /// Checkpoints of a run that is done: its weights are a stage.
    SupersededCheckpoint,
    /// What killed processes left behind.
    Leftover,
}

impl Reason {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnusedStage => "stage that no run needs",
            Self::FinishedBeginning => "beginning of trainings that are over",
            Self::SupersededCheckpoint => "checkpoint of a finished run",
            Self::Leftover => "temporary leftover",
        }
    }
}

/// A file or folder that can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
}

/// The items of a runs folder and the locks under which they may be removed.
#[derive(Debug)]
pub struct Garbage {
    /// By reason, then path.
    pub items: Vec<Item>,
    _locks: Vec<RunLock>,
}

/// What keeps stages where they are: held while somebody plans with them and works.
#[derive(Debug)]
pub struct InUse(#[allow(dead_code, reason = "it is held, not read")] RunLock);

/// Keeps `gc` away from a runs folder, which is created where it is not there. Take it before the plan:
/// what the plan counts on must not go.
///
/// # Errors
/// [`StoreError::Locked`] while `gc` makes room.
pub fn in_use(runs_root: &Path) -> Result<InUse, StoreError> {
    create_folder(runs_root)?;
    let file = runs_root.join(LOCK);
    let lock = RunLock::share_file(&file)?.ok_or_else(|| StoreError::Locked {
        what: "the runs folder".into(),
        path: file,
        hint: "`dgnet gc` is making room there; start again when it is over".into(),
    })?;
    Ok(InUse(lock))
}

/// Looks for what can go. `beginnings` includes shared beginnings that only finished runs name: they
/// help nobody but an arm that is still to be added.
///
/// # Errors
/// [`StoreError::Locked`] while a sweep is running, whose runs may not have folders yet;
/// [`StoreError::Damaged`] for a run folder that cannot say what it needs.
pub fn plan(runs_root: &Path, beginnings: bool) -> Result<Garbage, StoreError> {
    let lock_file = runs_root.join(".writer.lock");
    if !runs_root.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StoreError::io("read", runs_root)(source));
    }
    let mut locks = Vec::new();
    let sweeps = study_dir::list(runs_root)?
        .into_iter()
        .map(|study| study_dir::folder(runs_root, &study).map(|dir| dir.join(".sweep.lock")));
    let of_all = [runs_root.join(LOCK), lock_file];
    for file in of_all.into_iter().map(Ok).chain(sweeps) {
        let file = file?;
        locks.push(RunLock::acquire_file(&file)?.ok_or_else(|| StoreError::Locked {
            what: "the runs folder".into(),
            path: file,
            hint: "a sweep is running; wait for it or stop it".into(),
        })?);
    }
    let mut needed = Needed::default();
    let mut items = Vec::new();
    for run in RunDir::list(runs_root)? {
        let state = run.state()?;
        needed.of_run(&run, state, beginnings)?;
        let checkpoints = run.checkpoints();
        if state == RunState::Done && checkpoints.is_dir() {
            push(&mut items, Reason::SupersededCheckpoint, checkpoints);
        }
        for path in entries(run.path())? {
            if is_temporary(&name(&path)) && state != RunState::Running {
                push(&mut items, Reason::Leftover, path);
            }
        }
    }
    for kind in StageKind::ALL {
        for path in entries(&runs_root.join(".stages").join(kind.as_str()))? {
            if let Some(reason) = needed.reason(kind, &path)? {
                push(&mut items, reason, path);
            }
        }
    }
    for path in entries(runs_root)? {
        let name = name(&path);
        if is_temporary(&name) || name.starts_with(".reindex.db") {
            push(&mut items, Reason::Leftover, path);
        }
    }
    items.sort_by(|a, b| (a.reason, &a.path).cmp(&(b.reason, &b.path)));
    Ok(Garbage { items, _locks: locks })
}

impl Garbage {
    /// Bytes of all items.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// Removes the items. What somebody else removed meanwhile is no error.
    ///
    /// # Errors
    /// The first item that cannot be removed; those before it are gone.
    pub fn remove(self) -> Result<u64, StoreError> {
        for item in &self.items {
            let removed = if item.path.is_dir() {
                fs::remove_dir_all(&item.path)
            } else {
                fs::remove_file(&item.path)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &item.path)(error));
                }
                _ => {}
            }
        }
        Ok(self.bytes())
    }
}

/// Stages that run folders name.
#[derive(Default)]
struct Needed {
    stages: BTreeSet<(StageKind, String)>,
    /// Beginnings that only finished runs name.
    finished: BTreeSet<String>,
}

impl Needed {
    fn of_run(
        &mut self,
        run: &RunDir,
        state: RunState,
        beginnings: bool,
    ) -> Result<(), StoreError> {
        let keys = run.spec()?.stages;
        self.stages.extend(keys.all().map(|(kind, key)| (kind, key.to_owned())));
        for fork in run.forks()? {
            if beginnings && state == RunState::Done {
                self.finished.insert(fork.key);
            } else {
                self.stages.insert((StageKind::Prefix, fork.key));
            }
        }
        Ok(())
    }

    /// Why an entry of a stage folder can go; `None` where it cannot.
    fn reason(&self, kind: StageKind, path: &Path) -> Result<Option<Reason>, StoreError> {
        let name = name(path);
        if let Some((owner, pid)) = builder(&name) {
            // another machine's process may live
            let dead = owner == host() && !alive(pid);
            return Ok(dead.then_some(Reason::Leftover));
        }
        if name.starts_with(".damaged-") || is_temporary(&name) {
            return Ok(Some(Reason::Leftover));
        }
        if let Some(key) = name.strip_prefix(".resume-") {
            let over = path.with_file_name(key).is_dir() || !self.has(kind, key);
            return Ok((over && !RunLock::is_held(path)?).then_some(Reason::Leftover));
        }
        // the log of who built a stage stays as long as the stage
        let name = name.strip_suffix(".log").unwrap_or(&name).to_owned();
        if name.starts_with('.') || self.has(kind, &name) {
            return Ok(None);
        }
        Ok(Some(match kind {
            StageKind::Prefix if self.finished.contains(&name) => Reason::FinishedBeginning,
            // a beginning that run folders do not name was made for them all the same
            _ => Reason::UnusedStage,
        }))
    }

    fn has(&self, kind: StageKind, key: &str) -> bool {
        self.stages.contains(&(kind, key.to_owned()))
    }
}

/// `.<file>.tmp-<pid>-<n>`, which a killed `write_atomic` leaves, and `*.partial`.
fn is_temporary(name: &str) -> bool {
    let of_dead = || {
        let (_, rest) = name.rsplit_once(".tmp-")?;
        let pid = rest.split('-').next()?.parse().ok()?;
        Some(!alive(pid))
    };
    name.ends_with(".partial") || (name.starts_with('.') && of_dead().unwrap_or(false))
}

fn push(items: &mut Vec<Item>, reason: Reason, path: PathBuf) {
    let bytes = super::stages::size_of(&path);
    items.push(Item { reason, path, bytes });
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    };
    entries.map(|e| e.map(|e| e.path()).map_err(StoreError::io("list", folder))).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Stages;
    use crate::store::records::{EndState, Fork};
    use crate::store::run_dir::tests::{begin, end, spec};
    use crate::store::run_writer::RunWriter;

    fn stage(root: &Path, kind: StageKind, key: &str) {
        let stages = Stages::new(root);
        let work = stages.work(kind, key).unwrap();
        fs::write(work.path().join("weights"), b"12345").unwrap();
        stages.publish(work).unwrap();
    }

    fn names(garbage: &Garbage) -> Vec<(Reason, String)> {
        garbage.items.iter().map(|item| (item.reason, name(&item.path))).collect()
    }

    /// A done run and one that is still to be trained.
    fn runs(root: &Path) -> [RunDir; 2] {
        let mut made = Vec::new();
        for (uid, key) in [("aaaaaaaa", "a1"), ("bbbbbbbb", "b1")] {
            let mut spec = spec("s", "full", u64::from(uid.as_bytes()[0]), uid);
            spec.stages.training = key.into();
            spec.stages.data = "dd".into();
            spec.stages.generator = format!("e{key}");
            let run = RunDir::create(root, &spec).unwrap();
            run.set_forks(&[Fork { steps: 3, key: format!("f{key}") }]).unwrap();
            fs::create_dir(run.checkpoints()).unwrap();
            fs::write(run.checkpoints().join("x.safetensors"), b"1234").unwrap();
            made.push(run);
        }
        let done = RunWriter::begin(made[0].path(), &begin(1, 0)).unwrap();
        done.end(&end(EndState::Done, 1, 5)).unwrap();
        [made.remove(0), made.remove(0)]
    }

    #[test]
    fn only_what_no_run_names_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let [done, open] = runs(root);
        for (kind, key) in [
            (StageKind::Data, "dd"),
            (StageKind::Data, "de"),
            (StageKind::Training, "a1"),
            (StageKind::Training, "c1"),
            (StageKind::Training, "eb1"),
            (StageKind::Prefix, "fa1"),
            (StageKind::Prefix, "fb1"),
        ] {
            stage(root, kind, key);
        }
        fs::write(root.join(".results.tmp-4194303-0"), b"x").unwrap();
        fs::write(root.join(format!(".mine.tmp-{}-0", std::process::id())), b"x").unwrap();
        fs::write(root.join(".stages/training/a1.log"), b"kept").unwrap();
        fs::create_dir(root.join(".stages/training/.resume-a1")).unwrap();
        fs::create_dir(root.join(".stages/training/.resume-b1")).unwrap();
        fs::create_dir(root.join(".stages/training/.resume-ea1")).unwrap();
        let found = plan(root, false).unwrap();
        let expected = [
            (Reason::UnusedStage, "de"),
            (Reason::UnusedStage, "c1"),
            (Reason::SupersededCheckpoint, "checkpoints"),
            (Reason::Leftover, ".results.tmp-4194303-0"),
            (Reason::Leftover, ".resume-a1"),
        ];
        assert_eq!(names(&found), expected.map(|(reason, name)| (reason, name.to_owned())));
        assert!(found.bytes() > 10);
        drop(found);
        assert!(done.checkpoints().is_dir(), "a plan removes nothing");
        let with = plan(root, true).unwrap();
        assert!(names(&with).contains(&(Reason::FinishedBeginning, "fa1".to_owned())));
        with.remove().unwrap();
        let stages = Stages::new(root);
        assert!(stages.published(StageKind::Prefix, "fb1").is_some());
        assert!(stages.published(StageKind::Training, "a1").is_some());
        assert!(stages.published(StageKind::Training, "c1").is_none());
        assert!(open.checkpoints().is_dir() && !done.checkpoints().exists());
        assert!(plan(root, true).unwrap().items.is_empty());
    }

    /// A study that is only about to begin has no folder of its own yet.
    #[test]
    fn gc_and_whoever_plans_keep_out_of_each_other_s_way() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (in_use(folder.path()).unwrap(), in_use(folder.path()).unwrap());
        assert!(matches!(plan(folder.path(), false), Err(StoreError::Locked { .. })));
        drop((one, two));
        let garbage = plan(folder.path(), false).unwrap();
        let text = in_use(folder.path()).unwrap_err().to_string();
        assert!(text.contains("dgnet gc"), "{text}");
        drop(garbage);
        in_use(folder.path()).unwrap();
    }

    #[test]
    fn nothing_is_looked_for_while_a_sweep_runs() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::acquire_file(&folder.path().join(".writer.lock")).unwrap();
        assert!(matches!(plan(folder.path(), false), Err(StoreError::Locked { .. })));
        drop(lock);
        assert!(plan(folder.path(), false).unwrap().items.is_empty());
    }
}
