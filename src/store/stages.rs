//! Work that runs share: input-addressed folders `runs/.stages/<kind>/<key>/`, built under a temporary
//! name and published by rename, so that a stage is either whole or not there.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::error::StoreError;
use super::files::{create_folder, read_json, write_json};
use super::records::StageRecord;

/// What a stage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageKind {
    /// A drawn data set.
    Data,
    /// A trained teacher.
    Teacher,
    /// The beginning of a training that several runs have in common.
    Prefix,
    /// Weights after joint training.
    Training,
    /// Ranking and swap scores.
    Evaluation,
    /// Pictures.
    Pictures,
}

impl StageKind {
    /// All kinds, in the order in which a run needs them.
    pub const ALL: [Self; 6] =
        [Self::Data, Self::Teacher, Self::Prefix, Self::Training, Self::Evaluation, Self::Pictures];

    /// The word used for folders and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Teacher => "teacher",
            Self::Prefix => "prefix",
            Self::Training => "training",
            Self::Evaluation => "evaluation",
            Self::Pictures => "pictures",
        }
    }
}

/// The stages of a runs folder.
#[derive(Debug, Clone)]
pub struct Stages {
    root: PathBuf,
    /// Stages that were there when somebody looked, for many questions.
    seen: Option<BTreeMap<StageKind, HashSet<String>>>,
}

impl Stages {
    /// The stages below `runs_root/.stages`.
    #[must_use]
    pub fn new(runs_root: &Path) -> Self {
        Self { root: runs_root.join(".stages"), seen: None }
    }

    /// The same, with a list of what is there now: [`Stages::published`] then knows of nothing else.
    #[must_use]
    pub fn listed(runs_root: &Path) -> Self {
        let mut stages = Self::new(runs_root);
        let mut seen = BTreeMap::new();
        for kind in StageKind::ALL {
            let Ok(entries) = std::fs::read_dir(stages.root.join(kind.as_str())) else { continue };
            let names = entries.flatten().map(|entry| entry.file_name());
            let names = names.map(|name| name.to_string_lossy().into_owned());
            seen.insert(kind, names.collect());
        }
        stages.seen = Some(seen);
        stages
    }

    /// Where a stage lies once it is published.
    #[must_use]
    pub fn dir(&self, kind: StageKind, key: &str) -> PathBuf {
        self.root.join(kind.as_str()).join(key)
    }

    /// The stage, if it is there.
    #[must_use]
    pub fn published(&self, kind: StageKind, key: &str) -> Option<PathBuf> {
        let there = |seen: &BTreeMap<StageKind, HashSet<String>>| {
            seen.get(&kind).is_some_and(|keys| keys.contains(key))
        };
        if self.seen.as_ref().is_some_and(|seen| !there(seen)) {
            return None;
        }
        let path = self.dir(kind, key);
        (is_key(key) && path.is_dir()).then_some(path)
    }

    /// The stage, if it is there and whole by its checksum; what earlier versions published has none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for one that is not what was published. It is set aside then: the next who
    /// needs it makes it anew.
    pub fn verified(&self, kind: StageKind, key: &str) -> Result<Option<PathBuf>, StoreError> {
        let Some(path) = self.published(kind, key) else { return Ok(None) };
        let Some(reason) = self.damage(kind, key)? else { return Ok(Some(path)) };
        self.set_aside(kind, key);
        let hint = "it is set aside as `.damaged-*`; the same command makes it anew".to_owned();
        Err(StoreError::Damaged { path, reason, hint })
    }

    /// What is wrong with a published stage, by its checksum; reads every byte.
    pub fn damage(&self, kind: StageKind, key: &str) -> Result<Option<String>, StoreError> {
        Ok(match self.record(kind, key) {
            Ok(None) => Some("`stage.json` is missing".to_owned()),
            Ok(Some(StageRecord { blake3: None, .. })) => None,
            Ok(Some(record)) if record.blake3 == Some(checksum(&self.dir(kind, key))?) => None,
            Ok(Some(_)) => Some("its files are not those that were published".to_owned()),
            Err(StoreError::Damaged { reason, .. }) => Some(format!("`stage.json`: {reason}")),
            Err(error) => return Err(error),
        })
    }

    /// Keys of the published stages of a kind, sorted.
    pub fn keys(&self, kind: StageKind) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(kind.as_str())).into_iter().flatten().flatten();
        let mut keys: Vec<String> = entries.map(|entry| name_of(&entry.path())).collect();
        keys.retain(|key| self.published(kind, key).is_some());
        keys.sort();
        keys
    }

    /// What a published stage cost.
    pub fn record(&self, kind: StageKind, key: &str) -> Result<Option<StageRecord>, StoreError> {
        read_json(&self.dir(kind, key).join("stage.json"))
    }

    /// A fresh empty folder to build a stage in; removed again unless it is published.
    pub fn work(&self, kind: StageKind, key: &str) -> Result<StageWork, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if !is_key(key) {
            return Err(StoreError::Name { what: "stage", name: key.to_owned() });
        }
        let host = host();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".tmp-{host}-{}-{count}-{key}", std::process::id());
        let path = self.root.join(kind.as_str()).join(name);
        create_folder(&path)?;
        Ok(StageWork {
            path,
            kind,
            key: key.to_owned(),
            since: Instant::now(),
            parents: Vec::new(),
            published: false,
        })
    }

    /// Publishes a finished stage. Whoever comes second drops its own and takes the first one's.
    pub fn publish(&self, mut work: StageWork) -> Result<PathBuf, StoreError> {
        let target = self.dir(work.kind, &work.key);
        // a heartbeat belongs to the building; of a stage it would be noise
        let _ = fs::remove_file(work.path.join("heartbeat"));
        let record = StageRecord {
            kind: work.kind.as_str().to_owned(),
            key: work.key.clone(),
            wall_s: work.since.elapsed().as_secs_f64(),
            bytes: size_of(&work.path),
            parents: work.parents.clone(),
            blake3: Some(checksum(&work.path)?),
        };
        write_json(&work.path.join("stage.json"), &record)?;
        match fs::rename(&work.path, &target) {
            Ok(()) => work.published = true,
            Err(_) if target.is_dir() => {}
            Err(source) => return Err(StoreError::io("publish", target)(source)),
        }
        Ok(target)
    }

    /// Publishes a copy of a stage from elsewhere with the record that it brings. Returns whether it was
    /// missing.
    pub fn publish_copy(&self, mut work: StageWork) -> Result<bool, StoreError> {
        let target = self.dir(work.kind, &work.key);
        match fs::rename(&work.path, &target) {
            Ok(()) => work.published = true,
            Err(_) if target.is_dir() => {}
            Err(source) => return Err(StoreError::io("publish", target)(source)),
        }
        Ok(work.published)
    }

    /// Takes a damaged stage out of the way, so that it counts as not there.
    pub fn set_aside(&self, kind: StageKind, key: &str) {
        let path = self.dir(kind, key);
        let aside = path.with_file_name(format!(".damaged-{key}"));
        // one that was set aside before is in the way; whoever comes second finds all of it gone
        let _ = fs::remove_dir_all(&aside);
        let _ = fs::rename(&path, aside);
    }

    /// Where the worker that builds a long stage keeps its heartbeat, records and checkpoints.
    #[must_use]
    pub fn resume_dir(&self, kind: StageKind, key: &str) -> PathBuf {
        self.dir(kind, key).with_file_name(format!(".resume-{key}"))
    }

    /// Folders in which some process is building, or was when it died, the stage right now.
    pub fn in_progress(&self, kind: StageKind, key: &str) -> Vec<PathBuf> {
        let suffix = format!("-{key}");
        self.temporary(kind).into_iter().filter(|path| name_of(path).ends_with(&suffix)).collect()
    }

    /// Removes what processes of this machine that are gone left behind. Returns how many folders went.
    pub fn remove_abandoned(&self) -> usize {
        let host = host();
        let mut removed = 0;
        for kind in StageKind::ALL {
            for path in self.temporary(kind) {
                let name = name_of(&path);
                let gone = builder(&name).is_some_and(|(owner, pid)| owner == host && !alive(pid));
                if gone && fs::remove_dir_all(&path).is_ok() {
                    removed += 1;
                }
            }
        }
        removed
    }

    fn temporary(&self, kind: StageKind) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.root.join(kind.as_str())) else { return Vec::new() };
        let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        found.retain(|path| name_of(path).starts_with(".tmp-"));
        found.sort();
        found
    }
}

/// A stage that is being built.
#[derive(Debug)]
pub struct StageWork {
    path: PathBuf,
    kind: StageKind,
    key: String,
    since: Instant,
    parents: Vec<String>,
    published: bool,
}

impl StageWork {
    /// Notes the stages that go into it; those without a key are none.
    #[must_use]
    pub fn made_from<'a>(
        mut self,
        parents: impl IntoIterator<Item = (StageKind, &'a str)>,
    ) -> Self {
        let named = parents.into_iter().filter(|(_, key)| !key.is_empty());
        self.parents.extend(named.map(|(kind, key)| format!("{}/{key}", kind.as_str())));
        self
    }

    /// Counts its cost from an earlier moment than the creation of the folder.
    #[must_use]
    pub fn since(mut self, began: Instant) -> Self {
        self.since = began;
        self
    }

    /// The folder to fill.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StageWork {
    fn drop(&mut self) {
        if !self.published {
            // what stays behind is removed by `remove_abandoned` later
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Name of this machine, of letters that a file name may have.
#[must_use]
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Whether a process of this machine exists.
#[must_use]
pub fn alive(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).is_some_and(|pid| {
        !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
    })
}

/// Machine and process that build in a folder of this name.
pub(super) fn builder(name: &str) -> Option<(&str, u32)> {
    let mut parts = name.strip_prefix(".tmp-")?.split('-');
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// blake3 over names and contents of all files of a stage but its own record, hex.
fn checksum(folder: &Path) -> Result<String, StoreError> {
    let mut hasher = blake3::Hasher::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|error| StoreError::io("read", folder)(error.into()))?;
        let path = entry.path();
        let name = path.strip_prefix(folder).unwrap_or(path).as_os_str().as_encoded_bytes();
        if !entry.file_type().is_file() || name == b"stage.json" {
            continue;
        }
        let mut content = blake3::Hasher::new();
        let file = fs::File::open(path).map_err(StoreError::io("read", path))?;
        content.update_reader(file).map_err(StoreError::io("read", path))?;
        // lengths keep names and contents apart
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
        hasher.update(content.finalize().as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Bytes of a file, or of all files below a folder.
pub(super) fn size_of(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().flatten();
    files
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|m| m.len())
        .sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_there_only_after_it_is_published() {
        let runs = tempfile::tempdir().unwrap();
        let stages = Stages::new(runs.path());
        let work = stages.work(StageKind::Teacher, "ab12").unwrap();
        fs::write(work.path().join("weights"), b"12345").unwrap();
        assert_eq!(stages.published(StageKind::Teacher, "ab12"), None);
        assert_eq!(stages.in_progress(StageKind::Teacher, "ab12"), [work.path()]);
        let path = stages.publish(work).unwrap();
        assert_eq!(stages.published(StageKind::Teacher, "ab12"), Some(path.clone()));
        assert_eq!(fs::read(path.join("weights")).unwrap(), b"12345");
        assert_eq!(stages.record(StageKind::Teacher, "ab12").unwrap().unwrap().bytes, 5);
        assert!(stages.in_progress(StageKind::Teacher, "ab12").is_empty());
    }

    #[test]
    fn the_loser_of_a_race_takes_the_winner_s() {
        let runs = tempfile::tempdir().unwrap();
        let stages = Stages::new(runs.path());
        let first = stages.work(StageKind::Data, "ab").unwrap();
        let second = stages.work(StageKind::Data, "ab").unwrap();
        fs::write(first.path().join("who"), b"first").unwrap();
        fs::write(second.path().join("who"), b"second").unwrap();
        let one = stages.publish(first).unwrap();
        let two = stages.publish(second).unwrap();
        assert_eq!(one, two);
        assert_eq!(fs::read(two.join("who")).unwrap(), b"first");
        assert!(stages.in_progress(StageKind::Data, "ab").is_empty());
    }

    #[test]
    fn a_stage_with_a_flipped_bit_is_set_aside_and_made_anew() {
        let runs = tempfile::tempdir().unwrap();
        let stages = Stages::new(runs.path());
        let build = || {
            let work = stages.work(StageKind::Teacher, "ab").unwrap();
            fs::create_dir(work.path().join("photos")).unwrap();
            fs::write(work.path().join("photos/1.jpg"), b"12345").unwrap();
            fs::write(work.path().join("weights"), b"12345").unwrap();
            stages.publish(work.made_from([(StageKind::Data, "cd"), (StageKind::Teacher, "")]))
        };
        for (file, bytes) in [
            ("photos/1.jpg", Some(&b"12344"[..])),
            ("weights", Some(b"1234")),
            ("weights", None),
            ("stage.json", Some(b"{")),
            ("stage.json", None),
            ("added", Some(b"")),
        ] {
            let path = build().unwrap();
            let whole = stages.verified(StageKind::Teacher, "ab").unwrap();
            assert_eq!(whole, Some(path.clone()));
            let record = stages.record(StageKind::Teacher, "ab").unwrap().unwrap();
            assert_eq!(record.parents, ["data/cd"]);
            match bytes {
                Some(bytes) => fs::write(path.join(file), bytes).unwrap(),
                None => fs::remove_file(path.join(file)).unwrap(),
            }
            let text = stages.verified(StageKind::Teacher, "ab").unwrap_err().to_string();
            assert!(text.contains("teacher/ab") && text.contains("hint:"), "{file}: {text}");
            assert_eq!(stages.published(StageKind::Teacher, "ab"), None, "{file}");
            assert_eq!(stages.verified(StageKind::Teacher, "ab").unwrap(), None);
        }
    }

    #[test]
    fn folders_of_dead_builders_are_removed_and_living_ones_kept() {
        let runs = tempfile::tempdir().unwrap();
        let stages = Stages::new(runs.path());
        let mine = stages.work(StageKind::Data, "ab").unwrap();
        let dead = mine.path().with_file_name(format!(".tmp-{}-4194303-0-ab", host()));
        fs::create_dir(&dead).unwrap();
        assert_eq!(stages.remove_abandoned(), 1);
        assert!(mine.path().is_dir() && !dead.exists());
    }

    #[test]
    fn a_key_cannot_leave_the_folder() {
        let stages = Stages::new(Path::new("/nowhere"));
        assert!(stages.work(StageKind::Data, "../x").is_err());
        assert_eq!(stages.published(StageKind::Data, ""), None);
    }
}
