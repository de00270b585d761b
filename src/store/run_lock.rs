//! Locks of files: held by a process for as long as it lives, dropped by the kernel with it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::error::StoreError;

/// The lock that a worker holds on its folder for life; the kernel drops it with the process.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock; `None` when another process holds it.
    pub fn acquire(dir: &Path) -> Result<Option<Self>, StoreError> {
        Self::acquire_file(&dir.join("lock"))
    }

    /// Takes the lock of any lock file; `None` when another process holds it.
    pub fn acquire_file(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(StoreError::io("open", path))?;
        // `is_held` takes a shared lock for an instant: a look must not keep a worker from starting
        for _ in 0..10 {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::Error(source)) => {
                    return Err(StoreError::io("lock", path)(source));
                }
            }
        }
        Ok(None)
    }

    /// Takes the lock of any lock file together with others who share it; `None` when somebody has it
    /// alone.
    pub fn share_file(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(StoreError::io("open", path))?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock", path)(source)),
        }
    }

    /// Whether some process holds the lock of a run folder.
    pub fn is_held(dir: &Path) -> Result<bool, StoreError> {
        Self::is_held_file(&dir.join("lock"))
    }

    /// Whether some process holds a lock file; a look creates nothing.
    pub fn is_held_file(path: &Path) -> Result<bool, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::io("open", path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock", path)(source)),
        }
    }
}
