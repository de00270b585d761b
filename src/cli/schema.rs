//! `dgnet schema`: the JSON schema of a study file, for editors.

use std::path::PathBuf;

use super::failure::BadInput;
use super::{DONE, output};
use crate::spec::schema::study_schema;

/// Print the JSON schema of a study file, for editors that complete and check YAML.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet schema > schema/study.schema.json
  dgnet schema --check schema/study.schema.json")]
pub struct Args {
    /// Compare with a file instead of printing; exit code 2 when they differ
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let text = format!("{:#}\n", study_schema());
    let Some(file) = &args.check else {
        output::data(&text)?;
        return Ok(DONE);
    };
    let name = file.display();
    let stored = std::fs::read_to_string(file)
        .map_err(|error| BadInput(format!("cannot read `{name}`: {error}")))?;
    if stored != text {
        let hint = format!("`dgnet schema > {name}` writes it anew");
        return Err(BadInput(format!("`{name}` is out of date\n  hint: {hint}")).into());
    }
    Ok(DONE)
}
