//! What a user would miss, through the real executables: runs, resumes, refusals, results.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "integration/architecture.rs"]
mod architecture;
#[path = "integration/browser.rs"]
mod browser;
#[path = "integration/command_line.rs"]
mod command_line;
#[path = "integration/damage.rs"]
mod damage;
#[path = "integration/faults.rs"]
mod faults;
#[path = "integration/generate.rs"]
mod generate;
#[path = "integration/memory.rs"]
mod memory;
#[path = "integration/networks.rs"]
mod networks;
#[path = "integration/precision.rs"]
mod precision;
#[path = "integration/results.rs"]
mod results;
#[path = "integration/serve.rs"]
mod serve;
#[path = "integration/slurm.rs"]
mod slurm;
#[path = "integration/study.rs"]
mod study;
#[path = "integration/support.rs"]
mod support;
#[path = "integration/survival.rs"]
mod survival;
#[path = "integration/switches.rs"]
mod switches;
#[path = "integration/web.rs"]
mod web;
