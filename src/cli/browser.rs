//! Opening a page in the user's browser: the desktop's own opener, started as a program with the page as its
//! one argument, never through a shell.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::output;

/// What opens a file with the program that the user chose for it.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens a page. Where that does not work, says so and why: the page itself is there all the same.
///
/// # Errors
/// A page that has gone meanwhile.
pub fn open(page: &Path) -> anyhow::Result<()> {
    // an absolute path begins with no dash and is nobody's option
    let page = page.canonicalize()?;
    if let Err(reason) = open_with(OsStr::new(OPENER), &page) {
        output::talk(&format!(
            "warning: no browser was opened: {reason}\n  hint: open `{}` yourself",
            page.display()
        ));
    }
    Ok(())
}

fn open_with(program: &OsStr, page: &Path) -> Result<(), String> {
    let name = program.to_string_lossy();
    let ended = Command::new(program)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` found nothing to open it with ({status})")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("there is no `{name}` on this machine"))
        }
        Err(error) => Err(format!("`{name}` does not start: {error}")),
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_page_is_one_argument_and_failures_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let (opener, told) = (folder.path().join("opener"), folder.path().join("told"));
        let script = format!("#!/bin/sh\nprintf '%s|' \"$@\" > '{}'\n", told.display());
        std::fs::write(&opener, script).unwrap();
        std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
        let page = folder.path().join("$(touch no) it's; a page.html");
        open_with(opener.as_os_str(), &page).unwrap();
        assert_eq!(std::fs::read_to_string(told).unwrap(), format!("{}|", page.display()));
        assert!(open_with(OsStr::new("false"), &page).unwrap_err().contains("nothing to open it"));
        let missing = open_with(OsStr::new("no-such-opener"), &page).unwrap_err();
        assert_eq!(missing, "there is no `no-such-opener` on this machine");
    }
}
