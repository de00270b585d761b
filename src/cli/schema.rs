//! `dgnet schema`: the JSON schema of a study file, for editors, and the database described.

use std::path::PathBuf;

use super::failure::BadInput;
use super::{DONE, output};
use crate::spec::schema::study_schema;
use crate::store::describe::describe;

/// Print the JSON schema of a study file, for editors that complete and check YAML.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet schema > schema/study.schema.json
  dgnet schema --check schema/study.schema.json
  dgnet schema --database > schema/README.md")]
pub struct Args {
    /// Describe the results database instead, as Markdown
    #[arg(long)]
    database: bool,
    /// Compare with a file instead of printing; exit code 2 when they differ
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (text, switch) = if args.database {
        (describe()?, " --database")
    } else {
        (format!("{:#}\n", study_schema()), "")
    };
    let Some(file) = &args.check else {
        output::data(&text)?;
        return Ok(DONE);
    };
    let name = file.display();
    let stored = std::fs::read_to_string(file)
        .map_err(|error| BadInput(format!("cannot read `{name}`: {error}")))?;
    if stored != text {
        let hint = format!("`dgnet schema{switch} > {name}` writes it anew");
        return Err(BadInput(format!("`{name}` is out of date\n  hint: {hint}")).into());
    }
    Ok(DONE)
}
