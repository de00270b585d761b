//! Reports that were made, each kept until the database changes. A page that updates by itself asks
//! often: then a report is made anew only when a tenth of the time at most goes into making it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::house::lock;
use crate::report::{Report, ReportError, build, write};
use crate::store::Db;
use crate::store::overview::Stamp;
use crate::store::run_dir::now;

/// Studies whose reports are kept.
const KEPT: usize = 4;
/// A report that took a second is made anew after this many at the earliest.
const REST: u32 = 10;

/// How new a report has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As new as the database.
    Exact,
    /// As new as it can be without taking processors from training.
    Thrifty,
}

/// The reports, the last asked for first.
#[derive(Debug)]
pub struct Shelf {
    database: PathBuf,
    places: Mutex<Vec<(String, Place)>>,
}

/// Where one report stands; locked while it is made, so that it is made once for all who wait.
type Place = Arc<Mutex<Option<Made>>>;

#[derive(Debug)]
struct Made {
    stamp: Stamp,
    at: Instant,
    took: Duration,
    /// The moment, so that no page of an earlier server takes it for one that it has seen.
    version: String,
    report: Arc<Report>,
    files: Option<BTreeMap<String, Vec<u8>>>,
}

impl Made {
    fn will_do(&self, stamp: &Stamp, pace: Pace) -> bool {
        let rests = self.at.elapsed() < self.took * REST;
        self.stamp == *stamp || pace == Pace::Thrifty && rests
    }
}

impl Shelf {
    /// An empty one, for the database of a runs folder.
    pub fn new(runs: &Path) -> Self {
        Self { database: Db::file(runs), places: Mutex::default() }
    }

    /// The report of a study and the name of this making of it.
    pub fn report(
        &self,
        db: &mut Db,
        study: &str,
        pace: Pace,
    ) -> Result<(Arc<Report>, String), ReportError> {
        let place = self.place(db, study)?;
        let mut place = lock(&place);
        let made = self.made(&mut place, db, study, pace)?;
        Ok((made.report.clone(), made.version.clone()))
    }

    /// A file of the report of a study, if it has one of that name.
    pub fn file(
        &self,
        db: &mut Db,
        study: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, ReportError> {
        let place = self.place(db, study)?;
        let mut place = lock(&place);
        let made = self.made(&mut place, db, study, Pace::Exact)?;
        if made.files.is_none() {
            made.files = Some(write::files(&made.report)?);
        }
        Ok(made.files.as_ref().and_then(|files| files.get(name)).cloned())
    }

    /// Where the report of a study stands; only studies that there are get a place.
    fn place(&self, db: &mut Db, study: &str) -> Result<Place, ReportError> {
        db.study(study)?;
        let mut places = lock(&self.places);
        let found = places.iter().position(|(name, _)| name == study);
        let kept =
            found.map_or_else(|| (study.to_owned(), Place::default()), |at| places.remove(at));
        let place = kept.1.clone();
        places.insert(0, kept);
        places.truncate(KEPT);
        Ok(place)
    }

    fn made<'a>(
        &self,
        place: &'a mut Option<Made>,
        db: &mut Db,
        study: &str,
        pace: Pace,
    ) -> Result<&'a mut Made, ReportError> {
        let stamp = Stamp::of(&self.database);
        let kept = place.take().filter(|made| made.will_do(&stamp, pace));
        let made = if let Some(made) = kept {
            made
        } else {
            let began = Instant::now();
            let report = Arc::new(build(&write::rows(db, study, false)?)?);
            let (took, version) = (began.elapsed(), format!("{:.6}", now()));
            Made { stamp, at: Instant::now(), took, version, report, files: None }
        };
        Ok(place.insert(made))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_report_rests_ten_times_as_long_as_it_took() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        let before = Stamp::of(&path);
        Db::open(&path).unwrap().close().unwrap();
        let after = Stamp::of(&path);
        let data = crate::report::live::tests::small();
        let made = |took| Made {
            stamp: before.clone(),
            at: Instant::now(),
            took,
            version: String::new(),
            report: Arc::new(build(&data).unwrap()),
            files: None,
        };
        let (quick, slow) = (made(Duration::ZERO), made(Duration::from_mins(1)));
        assert!(quick.will_do(&before, Pace::Exact));
        assert!(!quick.will_do(&after, Pace::Thrifty));
        assert!(slow.will_do(&after, Pace::Thrifty));
        assert!(!slow.will_do(&after, Pace::Exact));
    }
}
