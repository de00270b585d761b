//! `dgnet eval`: finished networks on data sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::failure::BadInput;
use super::network::{self, NetworkArgs};
use super::{DONE, output};
use crate::spec::Study;
use crate::spec::settings::Drawn;
use crate::store::inquiry::{Answer, DataSet, Evaluate, Evaluated, Inquiry};
use crate::store::{StageKind, Stages};
use crate::sweep::inquiry::{self, Found};

const EXAMPLES: &str = "\
Examples:
  dgnet eval --checkpoint runs/ablations/full/seed-1-0a1b2c3d
      a finished run on its own data: the numbers that it recorded
  dgnet eval --checkpoint id_00100000.pt --data Market-1501 --data DukeMTMC-reID --beta 0,0.5,1
      the public release's weights on two sets, three weights of the fine half
  dgnet eval --checkpoint market/id.pt --checkpoint duke/id.pt --data Market --data Duke --json
      all pairs
  dgnet eval --checkpoint net_last.pth --data Market-1501 --set teacher.last_stride=1 --rerank
      a teacher: one head, recognised by its names
  dgnet eval --checkpoint id.pt --base small --data drawn:ids=40,cameras=3
      people that are drawn

Checkpoints are run folders, stages (`runs/.stages/training/KEY`), our safetensors files, and PyTorch files \
(`.pt`, `.pth`), of which tensors are read and nothing is executed. What belongs to no run is built from the shapes in \
its file, with the paper's photo size and strides unless `--base`, `--set` or `--settings` say otherwise. Rates are over \
queries with a true match.";

/// Evaluate finished networks on any data set: ranks, mAP, mINP.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
// a flag an option of the command line
#[allow(clippy::struct_excessive_bools)]
pub struct Args {
    /// Run folder, stage or weights file; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    checkpoint: Vec<PathBuf>,
    /// Data set in any layout, `drawn`, or `drawn:KEY=VALUE,...`; may be repeated [default: the run's own]
    #[arg(long, value_name = "DIR")]
    data: Vec<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Weights of the fine half of a query's feature, one row each: 0 is the primary head alone [default: the run's own, else 0.5]
    #[arg(
        long,
        visible_alias = "fine-weight",
        value_name = "W,...",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    beta: Vec<f64>,
    /// Also after k-reciprocal re-ranking
    #[arg(long)]
    rerank: bool,
    /// Also with all photos of a query's person under its camera
    #[arg(long)]
    multi_query: bool,
    /// Also for each pair of a query's and a gallery photo's camera
    #[arg(long)]
    per_camera: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    if let Some(weight) = args.beta.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
        let text =
            format!("`--beta`: {weight} is no weight\n  hint: a number from 0 on, such as 0.5");
        return Err(BadInput(text).into());
    }
    let given = args.network.load()?;
    let found = args
        .checkpoint
        .iter()
        .map(|named| inquiry::find(named, runs, given.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut data = Vec::new();
    let mut pairs = Vec::new();
    if args.data.is_empty() {
        for (at, found) in found.iter().enumerate() {
            let own = own_data(found)?;
            let place = data.iter().position(|known| *known == own).unwrap_or_else(|| {
                data.push(own);
                data.len() - 1
            });
            pairs.push((at, place));
        }
    } else {
        data = args
            .data
            .iter()
            .map(|named| data_set(named, &found, runs))
            .collect::<Result<_, _>>()?;
        pairs.extend((0..found.len()).flat_map(|n| (0..data.len()).map(move |d| (n, d))));
    }
    let asked = Evaluate {
        networks: found.into_iter().map(|found| found.network).collect(),
        data,
        pairs,
        fine_weights: args.beta.clone(),
        rerank: args.rerank,
        multi_query: args.multi_query,
        per_camera: args.per_camera,
    };
    let mut rows = Vec::new();
    network::ask(&Inquiry::Evaluate(asked), runs, |answer| {
        if let Answer::Evaluated(row) = answer {
            rows.push(*row);
        }
        Ok(())
    })?;
    let text =
        if args.json { format!("{:#}\n", serde_json::to_value(&rows)?) } else { as_text(&rows) };
    output::data(&text)?;
    Ok(DONE)
}

/// The data set that a run was trained for.
fn own_data(found: &Found) -> anyhow::Result<DataSet> {
    let name = &found.network.name;
    let Some(run) = &found.run else {
        let text = format!(
            "`{name}` belongs to no run, so it has no data of its own\n  hint: name a set with `--data`"
        );
        return Err(BadInput(text).into());
    };
    if let Some(path) = &run.settings.data.path {
        return Ok(DataSet { name: path.clone(), path: path.into() });
    }
    let stages = Stages::new(&found.runs_root);
    let path = match stages.published(StageKind::Data, &run.stages.data) {
        Some(path) => path,
        None => drawn(&run.settings.data.drawn, &found.runs_root)?,
    };
    Ok(DataSet { name: "drawn".to_owned(), path })
}

/// The data set that an argument names.
fn data_set(named: &str, found: &[Found], runs: &Path) -> anyhow::Result<DataSet> {
    let name = named.to_owned();
    let settings = match named.strip_prefix("drawn") {
        Some("") if !Path::new(named).is_dir() => {
            let of_run = found.iter().find_map(|found| found.run.as_ref());
            let drawn = of_run.filter(|run| run.settings.data.path.is_none());
            drawn.map_or_else(
                || {
                    found
                        .first()
                        .map(|found| found.network.settings.data.drawn.clone())
                        .unwrap_or_default()
                },
                |run| run.settings.data.drawn.clone(),
            )
        }
        Some(spec) if spec.starts_with(':') => {
            let pairs = spec[1..].split(',').filter(|pair| !pair.trim().is_empty());
            let sets: Vec<String> =
                pairs.map(|pair| format!("data.drawn.{}", pair.trim())).collect();
            Study::settings(None, &sets)?.data.drawn
        }
        _ => return Ok(DataSet { name, path: named.into() }),
    };
    Ok(DataSet { name, path: drawn(&settings, runs)? })
}

fn drawn(settings: &Drawn, runs: &Path) -> anyhow::Result<PathBuf> {
    Ok(inquiry::drawn_set(settings, runs, &|_, _| {})?)
}

fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

const COLUMNS: [&str; 11] = [
    "checkpoint",
    "data",
    "protocol",
    "beta",
    "rank-1",
    "rank-5",
    "rank-10",
    "mAP",
    "mAP_standard",
    "mINP",
    "queries",
];

fn as_text(rows: &[Evaluated]) -> String {
    let names = short_names(rows);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let queries = if row.usable_queries == row.queries {
                row.queries.to_string()
            } else {
                format!("{} of {}", row.usable_queries, row.queries)
            };
            let rates = [row.rank1, row.rank5, row.rank10, row.map, row.map_standard, row.minp];
            let mut line = vec![
                names[&row.checkpoint].clone(),
                row.data.clone(),
                row.protocol.as_str().to_owned(),
                row.fine_weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string()),
            ];
            line.extend(rates.map(percent));
            line.extend([queries, row.gallery.to_string()]);
            line
        })
        .collect();
    let columns = [COLUMNS.as_slice(), &["gallery"]].concat();
    let mut text = output::table(&columns, &columns[3..], &lines);
    text.push_str(
        "rates in %; mAP is trapezoidal (the official code's), mAP_standard the plain one\n",
    );
    for row in rows.iter().filter(|row| !row.cameras.is_empty()) {
        let weight = row.fine_weight.map_or_else(String::new, |weight| format!(", beta {weight}"));
        text.push('\n');
        text.push_str(&names[&row.checkpoint]);
        text.push_str(" on ");
        text.push_str(&row.data);
        text.push_str(&weight);
        text.push_str(", by cameras\n");
        let lines: Vec<Vec<String>> = row
            .cameras
            .iter()
            .map(|pair| {
                vec![
                    pair.query_camera.to_string(),
                    pair.gallery_camera.to_string(),
                    pair.queries.to_string(),
                    percent(pair.rank1),
                    percent(pair.map),
                ]
            })
            .collect();
        let columns = ["query camera", "gallery camera", "queries", "rank-1", "mAP"];
        text.push_str(&output::table(&columns, &columns, &lines));
    }
    text
}

/// Checkpoints as short as they stay distinct: the last parts of their paths.
fn short_names(rows: &[Evaluated]) -> BTreeMap<String, String> {
    let whole: Vec<&str> = rows.iter().map(|row| row.checkpoint.as_str()).collect();
    let last = |name: &str, parts: usize| {
        let all: Vec<_> = Path::new(name).iter().map(|part| part.to_string_lossy()).collect();
        all[all.len().saturating_sub(parts)..].join("/")
    };
    let name = |name: &str| {
        let unique = |parts: &usize| {
            whole.iter().all(|other| *other == name || last(other, *parts) != last(name, *parts))
        };
        (1..8).find(unique).map_or_else(|| name.to_owned(), |parts| last(name, parts))
    };
    whole.iter().map(|whole| ((*whole).to_owned(), name(whole))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ranking::CameraPair;
    use crate::store::inquiry::Protocol;

    fn row(checkpoint: &str) -> Evaluated {
        Evaluated {
            checkpoint: checkpoint.to_owned(),
            data: "market".to_owned(),
            protocol: Protocol::Single,
            fine_weight: Some(0.5),
            rank1: 0.948,
            rank5: 0.98,
            rank10: 0.99,
            map: 0.86,
            map_standard: 0.857,
            minp: 0.5,
            queries: 4,
            usable_queries: 3,
            gallery: 9,
            cameras: vec![CameraPair {
                query_camera: 1,
                gallery_camera: 12,
                queries: 2,
                rank1: 0.5,
                map: 0.25,
            }],
        }
    }

    #[test]
    fn the_table_names_what_differs_and_counts_what_counted() {
        let text = as_text(&[row("a/one/id.pt"), row("a/two/id.pt")]);
        for word in
            ["one/id.pt", "two/id.pt", "94.80", "86.00", "85.70", "3 of 4", "by cameras", "25.00"]
        {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("a/one"), "{text}");
    }
}
