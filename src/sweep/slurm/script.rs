//! The batch script of an array: what is asked of the cluster, which task does what, and how a task that
//! runs out of time saves and goes back into the queue. Text in, text out.

use std::fmt::Write;

use super::state::{NOT_REQUEUED, TaskId};
use crate::spec::Slurm;
use crate::sweep::process::ENVIRONMENT;

/// Seconds before the time limit at which a worker is told to save.
const WARNING: u64 = 120;

/// An array to submit. Paths of tasks may be relative to `folder`, the others are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub name: String,
    pub slurm: Slurm,
    /// Cores of a task.
    pub cpus: u32,
    /// Where `sbatch` was called, to which settings' paths are relative.
    pub folder: String,
    /// Where Slurm writes what the script itself says.
    pub outputs: String,
    pub worker: String,
    pub tasks: Vec<Task>,
    /// Tasks that must have succeeded before.
    pub after_ok: Vec<TaskId>,
    /// Tasks that must be over before, whatever came of them.
    pub after_any: Vec<TaskId>,
}

/// What one task of an array does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// For people.
    pub label: String,
    pub arguments: Vec<String>,
    /// Where its worker complains.
    pub log: String,
}

/// The script.
pub fn text(batch: &Batch) -> String {
    let mut out = String::from("#!/bin/bash\n");
    for option in options(batch) {
        let _ = writeln!(out, "#SBATCH {option}");
    }
    out += "# Made by `dgnet sweep --launcher slurm`: a worker for every task.\n";
    let _ = writeln!(out, "worker={}", quoted(&batch.worker));
    out += "case \"$SLURM_ARRAY_TASK_ID\" in\n";
    for (index, task) in batch.tasks.iter().enumerate() {
        let arguments: Vec<String> = task.arguments.iter().map(|word| quoted(word)).collect();
        // a label is of the study's own names, which have no line breaks
        let _ = writeln!(
            out,
            "{index}) # {}\n    log={}\n    set -- {} ;;",
            task.label,
            quoted(&task.log),
            arguments.join(" ")
        );
    }
    out += "*) echo \"no task $SLURM_ARRAY_TASK_ID\" >&2; exit 2 ;;\nesac\n";
    let environment = ENVIRONMENT.map(|(name, value)| format!("{name}={value}")).join(" ");
    out + &WORK
        .replace("@NOT_REQUEUED@", &NOT_REQUEUED.to_string())
        .replace("@ENVIRONMENT@", &environment)
}

/// Waits for the worker through signals. Bash returns from `wait` when a trap has run.
const WORK: &str = r#"unset DGNET_PARENT
export @ENVIRONMENT@
asked= pid=
ask() { asked=${asked:-$1}; again=1; [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null; }
trap 'ask requeue' USR1 # the time limit is near
trap 'ask stop' TERM INT
"$worker" "$@" </dev/null >/dev/null 2>>"$log" &
pid=$!
[ -z "$asked" ] || kill -TERM "$pid" 2>/dev/null
again=1 code=
while [ -n "$again" ]; do
    again=
    wait "$pid"
    got=$?
    # 127 here: its end was seen just before a signal came
    [ "$got" = 127 ] && [ -n "$code" ] || code=$got
done
# a worker that had not begun yet dies of the signal; nothing is lost
[ -n "$asked" ] && [ "$code" = 143 ] && code=130
if [ "$asked" = requeue ] && [ "$code" = 130 ]; then
    echo "saved before the time limit: back into the queue"
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" && exec sleep 60
    exit @NOT_REQUEUED@
fi
exit "$code"
"#;

fn options(batch: &Batch) -> Vec<String> {
    let slurm = &batch.slurm;
    let last = batch.tasks.len().saturating_sub(1);
    let parallel = slurm.parallel.map_or_else(String::new, |most| format!("%{most}"));
    let mut options = vec![
        format!("--job-name={}", batch.name),
        format!("--array=0-{last}{parallel}"),
        "--nodes=1".into(),
        "--ntasks=1".into(),
        format!("--cpus-per-task={}", batch.cpus),
    ];
    options.extend(slurm.partition.as_ref().map(|name| format!("--partition={name}")));
    options.extend((slurm.gpus > 0).then(|| format!("--gres=gpu:{}", slurm.gpus)));
    let minutes = slurm.time.map(|time| time.as_secs() / 60);
    options.extend(minutes.map(|m| format!("--time={}:{:02}:00", m / 60, m % 60)));
    options.extend(slurm.memory.as_ref().map(|memory| format!("--mem={memory}")));
    options.push(format!("--chdir={}", in_option(&batch.folder)));
    let outputs = in_option(&format!("{}/%A_%a.out", batch.outputs.replace('%', "%%")));
    options.push(format!("--output={outputs}"));
    options.push("--open-mode=append".into());
    options.push("--requeue".into());
    let warning = minutes.map_or(WARNING, |minutes| WARNING.min(minutes * 60 / 3));
    options.push(format!("--signal=B:USR1@{warning}"));
    if let Some(dependency) = dependency(batch) {
        options.push(format!("--dependency={dependency}"));
        options.push("--kill-on-invalid-dep=yes".into());
    }
    options.extend(slurm.extra.iter().cloned());
    options
}

/// `afterok:1_0:1_1,afterany:2_0`.
fn dependency(batch: &Batch) -> Option<String> {
    let lists = [("afterok", &batch.after_ok), ("afterany", &batch.after_any)];
    let lists: Vec<String> = lists
        .into_iter()
        .filter(|(_, tasks)| !tasks.is_empty())
        .map(|(kind, tasks)| {
            tasks.iter().fold(kind.to_owned(), |list, task| format!("{list}:{task}"))
        })
        .collect();
    (!lists.is_empty()).then(|| lists.join(","))
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A value of a `#SBATCH` line, which knows double quotes and backslashes.
fn in_option(value: &str) -> String {
    if value.chars().any(|c| c.is_whitespace() || "\"'\\#".contains(c)) {
        format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn task(label: &str, arguments: &[&str]) -> Task {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Task { label: label.into(), arguments, log: "/r/it's/worker.log".into() }
    }

    fn batch() -> Batch {
        Batch {
            name: "dgnet-tiny-1a2b3c4d".into(),
            slurm: Slurm {
                partition: Some("gpu".into()),
                gpus: 1,
                cpus: None,
                time: Some(Duration::from_hours(30)),
                memory: Some("16G".into()),
                parallel: Some(4),
                extra: vec!["--account=vision".into()],
            },
            cpus: 2,
            folder: "/home/some body".into(),
            outputs: "/r/s/.slurm".into(),
            worker: "/opt/dgnet-worker".into(),
            tasks: vec![
                task("full seed 1", &["--runs", "/r", "run", "/r/s/full/seed 1"]),
                task("rgb seed 1", &["--runs", "/r", "run", "/r/s/rgb/seed-1"]),
            ],
            after_ok: vec![TaskId { array: 5, index: 0 }, TaskId { array: 5, index: 1 }],
            after_any: vec![TaskId { array: 6, index: 2 }],
        }
    }

    #[test]
    fn a_script_asks_for_what_the_study_says() {
        let expected = "#!/bin/bash
#SBATCH --job-name=dgnet-tiny-1a2b3c4d
#SBATCH --array=0-1%4
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --partition=gpu
#SBATCH --gres=gpu:1
#SBATCH --time=30:00:00
#SBATCH --mem=16G
#SBATCH --chdir=\"/home/some body\"
#SBATCH --output=/r/s/.slurm/%A_%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --dependency=afterok:5_0:5_1,afterany:6_2
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --account=vision
# Made by `dgnet sweep --launcher slurm`: a worker for every task.
worker=/opt/dgnet-worker
case \"$SLURM_ARRAY_TASK_ID\" in
0) # full seed 1
    log='/r/it'\\''s/worker.log'
    set -- --runs /r run '/r/s/full/seed 1' ;;
1) # rgb seed 1
    log='/r/it'\\''s/worker.log'
    set -- --runs /r run /r/s/rgb/seed-1 ;;
*) echo \"no task $SLURM_ARRAY_TASK_ID\" >&2; exit 2 ;;
esac
";
        let environment = "CUBLAS_WORKSPACE_CONFIG=:4096:8 MIMALLOC_PURGE_DELAY=-1";
        let work = WORK.replace("@NOT_REQUEUED@", "75").replace("@ENVIRONMENT@", environment);
        assert_eq!(text(&batch()).strip_suffix(&work), Some(expected));
    }

    #[test]
    fn what_is_not_stated_is_not_asked_for() {
        let small =
            Batch { slurm: Slurm::default(), after_ok: vec![], after_any: vec![], ..batch() };
        let said = text(&small);
        for option in ["partition", "gres", "time=", "mem", "dependency", "%4"] {
            assert!(!said.contains(&format!("--{option}")), "{option}");
        }
        let short = Slurm { time: Some(Duration::from_mins(3)), ..Slurm::default() };
        let short = text(&Batch { slurm: short, ..small });
        assert!(short.contains("--time=0:03:00\n") && short.contains("USR1@60\n"), "{short}");
    }

    /// Runs the script with a worker of a few shell lines; gives its exit code and what it left in `said`.
    fn run(worker: &str, signal: Option<&str>) -> (Option<i32>, String) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let said = at("said");
        let script = |name: &str, lines: &str| {
            std::fs::write(at(name), format!("#!/bin/bash\n{lines}\n")).unwrap();
            Command::new("chmod").args(["+x", &at(name)]).status().unwrap();
        };
        script("worker", worker);
        // the queue takes nothing back here
        script("scontrol", &format!("echo \"$@\" >> '{said}'; exit 1"));
        let mut task = task("x", &["--runs", "/r", "run", &said]);
        task.log = at("log");
        let batch = Batch { worker: at("worker"), tasks: vec![task], ..Batch::default() };
        std::fs::write(at("script"), text(&batch)).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("bash")
            .arg(at("script"))
            .env("SLURM_ARRAY_TASK_ID", "0")
            .env("SLURM_ARRAY_JOB_ID", "12")
            .env("PATH", path)
            .env("DGNET_PARENT", "1")
            .spawn()
            .unwrap();
        if let Some(signal) = signal {
            while !std::path::Path::new(&said).exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let pid = child.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
        let status = child.wait().unwrap();
        (status.code(), std::fs::read_to_string(&said).unwrap_or_default())
    }

    #[test]
    fn the_worker_s_exit_code_is_the_task_s() {
        for code in [0, 1, 3, 4, 130] {
            let worker = format!("echo \"$3 ${{DGNET_PARENT:-free}}\" > \"$4\"; exit {code}");
            assert_eq!(run(&worker, None), (Some(code), "run free\n".into()));
        }
        assert_eq!(run("kill -9 $$", None).0, Some(137));
    }

    #[test]
    fn a_signal_reaches_the_worker_and_only_the_time_limit_goes_back_into_the_queue() {
        let worker = "trap 'echo saving >> \"$4\"; sleep 0.2; exit 130' TERM; echo begun > \"$4\"
            while :; do sleep 0.02; done";
        assert_eq!(run(worker, Some("-USR1")), (Some(75), "begun\nsaving\nrequeue 12_0\n".into()));
        assert_eq!(run(worker, Some("-TERM")), (Some(130), "begun\nsaving\n".into()));
        // one that is done just then is done
        let worker = "trap 'exit 0' TERM; echo begun > \"$4\"; while :; do sleep 0.02; done";
        assert_eq!(run(worker, Some("-USR1")), (Some(0), "begun\n".into()));
    }
}
