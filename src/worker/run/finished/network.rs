//! A finished re-ID network from its weights file: its architecture comes from settings where they are
//! its own, and from the shapes in the file where they are not.

use std::collections::BTreeMap;

use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::eval::features::{self, Halves};
use crate::model::appearance::AppearanceEncoder;
use crate::model::resnet::layout;
use crate::model::teacher::TeacherNet;
use crate::run::WorkerError;
use crate::train::weights::{Holds, Weights};
use dgnet::data::loader::Images;
use dgnet::data::{DataError, Photo};
use dgnet::spec::Settings;
use dgnet::spec::settings::Backbone;
use dgnet::store::inquiry::Network;

/// Photos that are in memory at once, at most, unless a batch is larger.
const AT_ONCE: usize = 512;

/// A loaded network.
pub struct Loaded {
    /// The settings that it was built with.
    pub settings: Settings,
    /// Threads to compute with.
    pub threads: usize,
    net: Net,
    _vars: VarStore,
}

enum Net {
    TwoHeads(AppearanceEncoder),
    OneHead(TeacherNet),
}

impl Loaded {
    /// Reads the weights and builds the network.
    pub fn open(network: &Network) -> Result<Self, WorkerError> {
        let weights = Weights::read(&network.weights)?;
        let mut settings = network.settings.clone();
        let vars = VarStore::new(Device::Cpu);
        let net = match weights.holds() {
            Holds::TwoHeads => {
                let found = weights.of("id");
                let classes = shape(&weights, &found, "classifier1.classifier.0.weight")?[0];
                if !network.exact {
                    let seen = Seen::of(&weights, &found, "classifier1")?;
                    let cfg = &mut settings.appearance;
                    (cfg.backbone, cfg.width, cfg.feature) =
                        (seen.backbone, seen.width, seen.feature);
                }
                let net = AppearanceEncoder::new(&vars.root(), &settings.appearance, classes);
                weights.fill("id", &vars)?;
                Net::TwoHeads(net)
            }
            Holds::OneHead => {
                let found = weights.of("teacher");
                let classes = shape(&weights, &found, "classifier.classifier.0.weight")?[0];
                if !network.exact {
                    let seen = Seen::of(&weights, &found, "classifier")?;
                    let cfg = &mut settings.teacher;
                    (cfg.backbone, cfg.width, cfg.feature) =
                        (seen.backbone, seen.width, seen.feature);
                }
                let upsample = settings.appearance.upsample;
                let net = TeacherNet::new(&vars.root(), &settings.teacher, upsample, classes);
                weights.fill("teacher", &vars)?;
                Net::OneHead(net)
            }
            Holds::Other => return Err(no_network(&weights)),
        };
        let machine = std::thread::available_parallelism().map_or(1, usize::from);
        let own = settings.train.threads.max(1) as usize;
        let threads = if network.own_threads { own } else { machine };
        Ok(Self { settings, threads, net, _vars: vars })
    }

    /// Whether it has a fine head.
    pub fn has_fine(&self) -> bool {
        matches!(self.net, Net::TwoHeads(_))
    }

    /// Features of decoded photos.
    pub fn features(&self, images: &Images) -> Halves {
        tch::set_num_threads(i32::try_from(self.threads).unwrap_or(1));
        features::extract(images, self.settings.eval.batch, Device::Cpu, |x| match &self.net {
            Net::TwoHeads(net) => {
                let (primary, fine) = net.features(x);
                (primary, Some(fine))
            }
            Net::OneHead(net) => (net.features(x), None),
        })
    }

    /// Decodes photos at the network's size.
    pub fn load(&self, photos: &[Photo]) -> Result<Images, DataError> {
        let image = &self.settings.image;
        Images::load(photos, image.height as usize, image.width as usize, self.threads, &|_, _| {})
    }

    /// Features of any number of photos: while some are computed, the next are decoded. Batches are
    /// those of an evaluation that holds all photos at once, so the numbers are the same.
    pub fn features_of(
        &self,
        photos: &[Photo],
        mut done: impl FnMut(usize) -> Result<(), WorkerError>,
    ) -> Result<Halves, WorkerError> {
        let batch = self.settings.eval.batch.max(1) as usize;
        let chunks: Vec<&[Photo]> = photos.chunks(batch * (AT_ONCE / batch).max(1)).collect();
        let mut all = Halves::none();
        let mut next = chunks.first().map(|chunk| self.load(chunk)).transpose()?;
        let image = self.settings.image.clone();
        for at in 0..chunks.len() {
            let Some(images) = next.take() else { break };
            let threads = self.threads;
            next = std::thread::scope(|scope| {
                let ahead = chunks.get(at + 1).map(|chunk| {
                    let (height, width) = (image.height as usize, image.width as usize);
                    scope.spawn(move || Images::load(chunk, height, width, threads, &|_, _| {}))
                });
                all.extend(self.features(&images));
                done(images.len())?;
                let decoded = ahead.map(std::thread::ScopedJoinHandle::join).transpose();
                let decoded = decoded.map_err(|_| DataError::Worker("it panicked".into()))?;
                Ok::<_, WorkerError>(decoded.transpose()?)
            })?;
        }
        Ok(all)
    }
}

fn no_network(weights: &Weights) -> WorkerError {
    let first: Vec<_> = weights.tensors.keys().take(3).map(|name| format!("`{name}`")).collect();
    let names = if first.is_empty() { "no tensor at all".to_owned() } else { first.join(", ") };
    WorkerError::Refused(format!(
        "`{}` holds no re-ID network: it has {names}\n  hint: the names of E_a begin with `model.`, \
         `classifier1.` and `classifier2.`, those of a teacher with `model.` and `classifier.`; a generator \
         (`gen_*.pt`) or a discriminator has no features to rank",
        weights.path.display()
    ))
}

fn shape(
    weights: &Weights,
    found: &BTreeMap<String, Tensor>,
    name: &str,
) -> Result<Vec<i64>, WorkerError> {
    let size = found.get(name).map(Tensor::size).filter(|size| size.len() >= 2);
    size.ok_or_else(|| {
        WorkerError::Refused(format!(
            "`{}` lacks the matrix `{name}`\n  hint: the file must hold a whole state dict",
            weights.path.display()
        ))
    })
}

/// What the shapes of a file say about its network.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    backbone: Backbone,
    width: u32,
    feature: u32,
}

impl Seen {
    fn of(
        weights: &Weights,
        found: &BTreeMap<String, Tensor>,
        head: &str,
    ) -> Result<Self, WorkerError> {
        let width = shape(weights, found, "model.conv1.weight")?[0];
        let feature = shape(weights, found, &format!("{head}.add_block.0.weight"))?[0];
        let has = |name: &str| found.contains_key(name);
        let blocks = [1, 2, 3, 4].map(|stage| {
            let first = |block: &usize| has(&format!("model.layer{stage}.{block}.conv1.weight"));
            (0..64).take_while(first).count()
        });
        let bottleneck = has("model.layer1.0.conv3.weight");
        let known =
            [Backbone::Resnet10, Backbone::Resnet18, Backbone::Resnet34, Backbone::Resnet50];
        let backbone = known.into_iter().find(|&backbone| layout(backbone) == (blocks, bottleneck));
        let backbone = backbone.ok_or_else(|| {
            WorkerError::Refused(format!(
                "`{}` has a backbone of {blocks:?} {} blocks, which is none of resnet10, 18, 34, 50\n  \
                 hint: `--settings STUDY --arm ARM` states the network instead",
                weights.path.display(),
                if bottleneck { "bottleneck" } else { "basic" },
            ))
        })?;
        let narrow = |size: i64| u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Self { backbone, width: narrow(width), feature: narrow(feature) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_architecture_is_seen_in_the_shapes() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        for (file, part, head) in
            [("id_tiny.pt", "id", "classifier1"), ("teacher_tiny.pth", "teacher", "classifier")]
        {
            let weights = Weights::read(&fixtures.join(file)).unwrap();
            let seen = Seen::of(&weights, &weights.of(part), head).unwrap();
            assert_eq!(seen, Seen { backbone: Backbone::Resnet10, width: 4, feature: 8 });
        }
    }

    #[test]
    fn public_names_are_those_of_resnet50() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/state_dict_names.json");
        let names: BTreeMap<String, Vec<(String, Vec<i64>)>> =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let zeros = |size: &[i64]| Tensor::zeros(size, (tch::Kind::Float, Device::Cpu));
        let tensors = names["id"].iter().map(|(name, size)| (name.clone(), zeros(size))).collect();
        let weights = Weights { path: "id.pt".into(), tensors, record: None };
        assert_eq!(weights.holds(), Holds::TwoHeads);
        let seen = Seen::of(&weights, &weights.of("id"), "classifier1").unwrap();
        assert_eq!(seen, Seen { backbone: Backbone::Resnet50, width: 64, feature: 512 });
    }
}
