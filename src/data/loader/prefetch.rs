//! Work made ahead of its use by worker threads and handed out in order, whatever their number. Knows
//! nothing of photos.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::data::DataError;

/// How one item is made from its number.
pub type Make<T> = Arc<dyn Fn(u64) -> T + Send + Sync>;

/// An iterator over `make(step)` for a range of steps, in order. At most `depth` items are in the making
/// or waiting. After an error there are no more items. Dropping it stops and joins the workers.
pub struct Prefetch<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    make: Make<T>,
    steps: Range<u64>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    end: u64,
    depth: u64,
}

struct State<T> {
    /// The next step that a worker takes.
    next: u64,
    /// The next step that is handed out.
    wanted: u64,
    ready: BTreeMap<u64, Result<T, DataError>>,
    stop: bool,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `workers` threads; with none, items are made when they are asked for.
    #[must_use]
    pub fn new(steps: Range<u64>, workers: usize, depth: usize, make: Make<T>) -> Self {
        let state =
            State { next: steps.start, wanted: steps.start, ready: BTreeMap::new(), stop: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            end: steps.end,
            depth: depth.max(1) as u64,
        });
        // A machine out of threads makes do with those it has, or with the caller's.
        let workers = (0..workers)
            .map_while(|number| {
                let (shared, make) = (Arc::clone(&shared), Arc::clone(&make));
                std::thread::Builder::new()
                    .name(format!("loader-{number}"))
                    .spawn(move || shared.work(&make))
                    .ok()
            })
            .collect();
        Self { shared, make, steps, workers }
    }
}

impl<T> Shared<T> {
    // A panic is caught outside the lock, so a poisoned lock still guards a whole state.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, make: &Make<T>) {
        let mut state = self.lock();
        while !state.stop && state.next < self.end {
            if state.next >= state.wanted.saturating_add(self.depth) {
                state = self.wait(state);
                continue;
            }
            let step = state.next;
            state.next += 1;
            drop(state);
            let item = guarded(make, step);
            state = self.lock();
            state.ready.insert(step, item);
            self.changed.notify_all();
        }
    }
}

fn guarded<T>(make: &Make<T>, step: u64) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(|| make(step))).map_err(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        DataError::Worker(format!("at step {step}: {message}"))
    })
}

impl<T: Send + 'static> Iterator for Prefetch<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        let item = if self.workers.is_empty() {
            guarded(&self.make, step)
        } else {
            let mut state = self.shared.lock();
            loop {
                if let Some(item) = state.ready.remove(&step) {
                    state.wanted = step + 1;
                    self.shared.changed.notify_all();
                    break item;
                }
                state = self.shared.wait(state);
            }
        };
        if item.is_err() {
            self.steps.start = self.steps.end;
        }
        Some(item)
    }
}

impl<T: Send + 'static> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panic was already handed out as an error.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_order_is_the_same_for_any_worker_count() {
        let expected: Vec<u64> = (3..103).map(|step| step * step).collect();
        for (workers, depth) in [(0, 4), (1, 1), (1, 4), (2, 3), (5, 2), (5, 16)] {
            // Uneven work lets later steps finish first.
            let make: Make<u64> = Arc::new(|step| {
                std::thread::sleep(Duration::from_micros(step * 37 % 400));
                step * step
            });
            let got: Vec<u64> =
                Prefetch::new(3..103, workers, depth, make).map(Result::unwrap).collect();
            assert_eq!(got, expected, "{workers} workers, depth {depth}");
        }
    }

    #[test]
    fn at_most_depth_items_are_made_ahead() {
        let made = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let make: Make<u64> = Arc::new(move |step| {
            counter.fetch_add(1, Ordering::SeqCst);
            step
        });
        let mut items = Prefetch::new(0..1000, 5, 3, make);
        assert_eq!(items.next().unwrap().unwrap(), 0);
        std::thread::sleep(Duration::from_millis(50));
        assert!(made.load(Ordering::SeqCst) <= 4);
    }

    #[test]
    fn a_panic_is_an_error_in_its_place_and_ends_the_items() {
        for workers in [0, 1, 2, 5] {
            let make: Make<u64> = Arc::new(|step| {
                assert!(step != 4, "step four is broken");
                step
            });
            let items: Vec<_> = Prefetch::new(0..20, workers, 4, make).collect();
            assert_eq!(items.len(), 5);
            let message = items[4].as_ref().unwrap_err().to_string();
            assert!(message.contains("step four is broken"), "{message}");
        }
    }

    #[test]
    fn dropping_it_early_joins_every_worker() {
        let make: Make<Vec<u8>> = Arc::new(|_| vec![0; 1000]);
        let held = Arc::clone(&make);
        let mut items = Prefetch::new(0..u64::MAX, 5, 8, make);
        assert!(items.next().is_some());
        drop(items);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
