//! Networks on data sets: features once, then every weight of the fine half and every protocol.

use std::collections::BTreeMap;

use super::network::Loaded;
use super::{Report, say};
use crate::eval::rank::{Features, Ranking, by_both, by_cameras, pooled, reranked};
use crate::run::WorkerError;
use dgnet::data::{DataError, Dataset, Photo, layout};
use dgnet::stats::rerank::Rerank;
use dgnet::store::inquiry::{Answer, DataSet, Evaluate, Evaluated, Protocol};

/// Unusable queries that a message names.
const SHOWN: usize = 3;

/// Answers with a row for every pair, weight and protocol.
pub fn answer(asked: &Evaluate, report: &mut Report) -> Result<(), WorkerError> {
    let mut sets: Vec<(&DataSet, Dataset)> = Vec::new();
    for data in &asked.data {
        let dataset = layout::read(&data.path)?;
        usable(data, &dataset)?;
        sets.push((data, dataset));
    }
    let multi = |set: &Dataset| if asked.multi_query { set.multi_query.len() } else { 0 };
    let photos = |set: &Dataset| set.query.len() + set.gallery.len() + multi(set);
    let pairs =
        || asked.pairs.iter().filter_map(|&(n, d)| Some((asked.networks.get(n)?, sets.get(d)?)));
    report.total = pairs().map(|(_, (_, set))| photos(set) as u64).sum();
    for (network, (data, set)) in pairs() {
        let net = Loaded::open(network)?;
        let mut features = |photos: &[Photo]| -> Result<Features, WorkerError> {
            Ok(net.features_of(photos, |photos| report.advance(photos))?.labelled(photos))
        };
        let (query, gallery) = (features(&set.query)?, features(&set.gallery)?);
        let all = if multi(set) > 0 { Some(features(&set.multi_query)?) } else { None };
        if asked.multi_query && all.is_none() {
            say(&Answer::Note(format!(
                "`{}` has no multi-query part; its rows are left out",
                data.name
            )))?;
        }
        let own = [net.settings.eval.fine_weight];
        let weights = match (net.has_fine(), asked.fine_weights.as_slice()) {
            // with one head no weight changes anything
            (false, _) | (true, []) => own.as_slice(),
            (true, asked) => asked,
        };
        for &weight in weights {
            let row = |protocol, ranking: &Ranking| {
                let fine_weight = net.has_fine().then_some(weight);
                let gallery = gallery.labels.len();
                row(
                    (network.name.clone(), data.name.clone()),
                    (protocol, fine_weight),
                    ranking,
                    gallery,
                )
            };
            let (share, threads) = (weight as f32, net.threads);
            let mut single = row(Protocol::Single, &by_both(&query, &gallery, share, threads)?);
            if asked.per_camera {
                single.cameras = by_cameras(&query, &gallery, share, threads)?;
            }
            say(&Answer::Evaluated(Box::new(single)))?;
            if let Some(all) = &all {
                let ranking = by_both(&pooled(&query, all), &gallery, share, threads)?;
                say(&Answer::Evaluated(Box::new(row(Protocol::MultiQuery, &ranking))))?;
            }
            if asked.rerank {
                let ranking = reranked(&query, &gallery, share, Rerank::default(), threads);
                say(&Answer::Evaluated(Box::new(row(Protocol::Reranked, &ranking))))?;
            }
        }
    }
    Ok(())
}

fn row(
    (checkpoint, data): (String, String),
    (protocol, fine_weight): (Protocol, Option<f64>),
    ranking: &Ranking,
    gallery: usize,
) -> Evaluated {
    Evaluated {
        checkpoint,
        data,
        protocol,
        fine_weight,
        rank1: ranking.rank(1),
        rank5: ranking.rank(5),
        rank10: ranking.rank(10),
        map: ranking.map(),
        map_standard: ranking.map_standard(),
        minp: ranking.minp(),
        queries: ranking.queries.len(),
        usable_queries: ranking.valid_queries(),
        gallery,
        cameras: Vec::new(),
    }
}

/// Refuses a set in which no query has a true match, and says why each has none.
fn usable(data: &DataSet, set: &Dataset) -> Result<(), WorkerError> {
    let mut cameras: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for photo in set.gallery.iter().filter(|photo| photo.person > 0) {
        cameras.entry(photo.person).or_default().push(photo.camera);
    }
    // reason -> names of queries
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for query in &set.query {
        let reason = match cameras.get(&query.person) {
            _ if query.person <= 0 => "the query is a distractor or junk",
            None => "its person is not in the gallery",
            Some(seen) if seen.iter().all(|&camera| camera == query.camera) => {
                "the gallery shows its person under the query's own camera only"
            }
            Some(_) => return Ok(()),
        };
        reasons.entry(reason).or_default().push(query.name());
    }
    let told: Vec<String> = reasons
        .iter()
        .map(|(reason, names)| {
            let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let more = if names.len() > SHOWN { ", ..." } else { "" };
            format!("{} queries: {reason} ({shown}{more})", names.len())
        })
        .collect();
    let told = if told.is_empty() { "it has no queries".to_owned() } else { told.join("; ") };
    Err(WorkerError::Data(DataError::Layout {
        path: data.path.clone(),
        reason: format!("no query can be answered: {told}"),
        hint: "a query needs a gallery photo of its person under another camera; `dgnet data check` lists what is there".to_owned(),
    }))
}
