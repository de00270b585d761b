//! Weights of any origin, told apart by content: our checkpoints (safetensors with a record), bare
//! safetensors, and PyTorch's files. Names are those of public checkpoints; what a file calls the whole
//! (`a`, `state_dict`, `module`) is dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::checkpoint::{self, CheckpointError, Record};
use dgnet::data::torch_file::{self, Dtype, TorchTensor};

/// Keys under which files hold a state dict: the release's, Lightning's, `DataParallel`'s.
const WRAPPERS: [&str; 4] = ["a", "state_dict", "model_state_dict", "module"];
/// Mismatches that a message names.
const SHOWN: usize = 4;

/// A weights file, read.
#[derive(Debug)]
pub struct Weights {
    /// The file.
    pub path: PathBuf,
    /// Tensors by name, wrappers dropped.
    pub tensors: BTreeMap<String, Tensor>,
    /// The record beside it, for our checkpoints.
    pub record: Option<Record>,
}

/// What a file's names say it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// E_a: a backbone with two heads.
    TwoHeads,
    /// The teacher: a backbone with one head.
    OneHead,
    /// Neither.
    Other,
}

impl Weights {
    /// Reads a file; its first bytes decide how.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Io { path: path.to_owned(), source };
        let mut beginning = Vec::new();
        File::open(path).map_err(failed)?.take(16).read_to_end(&mut beginning).map_err(failed)?;
        let path = path.to_owned();
        if torch_file::is_torch(&beginning) {
            let tensors = torch_file::read(&path)?
                .iter()
                .map(|(name, tensor)| Ok((name.clone(), made(tensor)?)))
                .collect::<Result<_, CheckpointError>>()?;
            return Ok(Self { path, tensors: unwrapped(tensors), record: None });
        }
        if checkpoint::record_path(&path).is_file() {
            let (record, tensors) = checkpoint::read(&path)?;
            return Ok(Self { path, tensors: unwrapped(tensors), record: Some(record) });
        }
        let tensors =
            Tensor::read_safetensors(&path).map_err(|error| CheckpointError::Damaged {
                path: path.clone(),
                reason: format!("it is neither a PyTorch file nor safetensors ({error})"),
            })?;
        Ok(Self { path, tensors: unwrapped(tensors.into_iter().collect()), record: None })
    }

    /// What the names say.
    #[must_use]
    pub fn holds(&self) -> Holds {
        let any = |part: &str| {
            self.tensors
                .keys()
                .any(|name| name.starts_with(part) || name.starts_with(&format!("id.{part}")))
        };
        if any("classifier1.") && any("classifier2.") {
            Holds::TwoHeads
        } else if any("classifier.") || any("teacher.classifier.") {
            Holds::OneHead
        } else {
            Holds::Other
        }
    }

    /// The tensors of one network under the names of its variables: those below `network.` where the
    /// file holds several networks, all of them otherwise.
    #[must_use]
    pub fn of(&self, network: &str) -> BTreeMap<String, Tensor> {
        let below = format!("{network}.");
        let inner: BTreeMap<_, _> = self
            .tensors
            .iter()
            .filter_map(|(name, x)| {
                Some((name.strip_prefix(&below)?.to_owned(), x.shallow_clone()))
            })
            .collect();
        if !inner.is_empty() {
            return inner;
        }
        let whole = self.tensors.iter();
        whole.map(|(name, x)| (name.clone(), x.shallow_clone())).collect()
    }

    /// Copies the tensors of `network` (gen, id, dis, teacher) into its variables. Every variable must
    /// be there with its shape, and nothing else but what public files carry along unused.
    pub fn fill(&self, network: &str, store: &VarStore) -> Result<(), CheckpointError> {
        let wanted = store.variables().into_iter().collect();
        copy(&self.path, network, &wanted, &self.of(network))
    }

    /// Copies what the variables name and passes over everything else in the file.
    pub fn fill_within(&self, store: &VarStore) -> Result<(), CheckpointError> {
        let wanted: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
        let named = self.tensors.iter().filter(|(name, _)| wanted.contains_key(*name));
        let found = named.map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
        copy(&self.path, "", &wanted, &found)
    }

    /// Copies a backbone's weights, under torchvision's names or below `model.`, into the variables
    /// below `model.`; heads and the classifier `fc` are passed over.
    pub fn fill_backbone(&self, network: &str, store: &VarStore) -> Result<(), CheckpointError> {
        let own = |name: &str| name.starts_with("model.");
        let found = self.of(network);
        let found: BTreeMap<String, Tensor> = if found.keys().any(|name| own(name)) {
            found.into_iter().filter(|(name, _)| own(name)).collect()
        } else {
            found.into_iter().map(|(name, x)| (format!("model.{name}"), x)).collect()
        };
        let wanted = store.variables().into_iter().filter(|(name, _)| own(name)).collect();
        copy(&self.path, network, &wanted, &found)
    }
}

/// A tensor of libtorch.
fn made(tensor: &TorchTensor) -> Result<Tensor, CheckpointError> {
    let kind = match tensor.dtype {
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::Bool => Kind::Bool,
    };
    let shape: Vec<i64> = tensor.shape.iter().map(|&size| size as i64).collect();
    Ok(Tensor::f_from_data_size(&tensor.bytes, &shape, kind)?)
}

/// The tensors without a first part that all their names have in common and that only wraps.
fn unwrapped(mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    loop {
        let wrapper = WRAPPERS.iter().find(|wrapper| {
            let below = format!("{wrapper}.");
            // beside a state dict there may be tensors of an optimizer
            tensors.keys().any(|name| name.starts_with(&below))
        });
        let Some(wrapper) = wrapper else { return tensors };
        let below = format!("{wrapper}.");
        tensors = tensors
            .into_iter()
            .filter_map(|(name, x)| Some((name.strip_prefix(&below)?.to_owned(), x)))
            .collect();
    }
}

/// Names that public files hold and that no network of ours has: counters, the running statistics of
/// AdaIN layers, the backbone's own classifier.
fn is_unused(name: &str) -> bool {
    let statistics = name.ends_with(".norm.running_mean") || name.ends_with(".norm.running_var");
    name.ends_with("num_batches_tracked") || name.starts_with("model.fc.") || statistics
}

/// Copies `found` into `wanted`, or says what does not fit. Nothing is copied unless everything fits.
pub(super) fn copy(
    path: &Path,
    network: &str,
    wanted: &BTreeMap<String, Tensor>,
    found: &BTreeMap<String, Tensor>,
) -> Result<(), CheckpointError> {
    let mut wrong = Vec::new();
    for (name, variable) in wanted {
        match found.get(name) {
            None => wrong.push((name, format!("`{name}` is missing"))),
            Some(found) if found.size() != variable.size() => wrong.push((
                name,
                format!(
                    "`{name}` has shape {:?}, the network wants {:?}",
                    found.size(),
                    variable.size()
                ),
            )),
            Some(_) => {}
        }
    }
    // in the order of a forward pass, so that the first is the cause rather than a consequence
    wrong.sort_by_key(|(name, _)| {
        (!name.starts_with("model."), name.contains("layer"), !name.contains("conv1."))
    });
    let strange = found.keys().filter(|name| !wanted.contains_key(*name) && !is_unused(name));
    let strange: Vec<_> = strange.map(|name| (name, format!("`{name}` is unexpected"))).collect();
    if wrong.is_empty() && strange.is_empty() {
        tch::no_grad(|| {
            for (name, variable) in wanted {
                variable.shallow_clone().copy_(&found[name]);
            }
        });
        return Ok(());
    }
    let hint = if wrong.len() == wanted.len() && wanted.keys().all(|name| !found.contains_key(name))
    {
        "none of its names is the network's: it holds another kind of network".to_owned()
    } else {
        let first = wrong.first().or(strange.first()).map_or("", |(name, _)| name.as_str());
        format!(
            "{}: the file must come from a network with the same settings",
            suspect(network, first)
        )
    };
    let count = wrong.len() + strange.len();
    // a few of each: what is unexpected says as much as what is missing
    let shown = wrong.iter().take(SHOWN).chain(strange.iter().take(SHOWN / 2));
    let shown: Vec<&str> = shown.map(|(_, what)| what.as_str()).collect();
    let more = count - shown.len();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let mismatches = format!("{}{more}", shown.join("; "));
    Err(CheckpointError::Mismatch { path: path.to_owned(), mismatches, hint })
}

/// The settings to look at when this name does not fit.
fn suspect(network: &str, name: &str) -> String {
    let section = if network == "teacher" { "teacher" } else { "appearance" };
    let is = |part: &str| name.contains(part);
    if is("classifier.0.") {
        "the number of persons differs; use the training set that the network was trained on".into()
    } else if is("add_block.") {
        format!("look at `{section}.feature`, `{section}.backbone` and `{section}.width`")
    } else if is("layer") {
        format!("look at `{section}.backbone`")
    } else if name.starts_with("model.") {
        format!("look at `{section}.width`")
    } else if name.starts_with("enc_content.") {
        "look at `structure.input`, `structure.width` and `structure.residual_blocks`".into()
    } else if is("mlp") {
        "look at `decoder.mlp_width` and `decoder.residual_blocks`".into()
    } else if name.starts_with("dec.") {
        "look at `decoder.residual_blocks`, `decoder.up_kernel` and `structure.width`".into()
    } else if name.starts_with("cnns.") {
        "look at `discriminator.scales`, `discriminator.width` and `discriminator.residual_blocks`"
            .into()
    } else {
        "look at the network's sizes".into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;
    use crate::train::networks::Networks;
    use crate::train::teacher::build;
    use dgnet::spec::Settings;
    use tch::{Device, nn};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
    }

    fn named(names: &[(&str, &[i64])]) -> BTreeMap<String, Tensor> {
        let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        names.iter().map(|(name, size)| ((*name).to_owned(), zeros(size))).collect()
    }

    #[test]
    fn wrappers_are_dropped_and_names_tell_what_a_file_holds() {
        let id = Weights::read(&fixture("id_tiny.pt")).unwrap();
        assert_eq!(id.holds(), Holds::TwoHeads);
        assert!(id.tensors.contains_key("model.conv1.weight"), "`a.` is dropped");
        let teacher = Weights::read(&fixture("teacher_tiny.pth")).unwrap();
        assert_eq!(teacher.holds(), Holds::OneHead);
        let parallel = unwrapped(named(&[("state_dict.module.conv1.weight", &[1])]));
        assert_eq!(parallel.keys().collect::<Vec<_>>(), ["conv1.weight"]);
    }

    #[test]
    fn every_number_keeps_its_value_on_the_way_to_libtorch() {
        let kinds = Weights::read(&fixture("kinds.pt")).unwrap().tensors;
        let values = |name: &str| {
            Vec::<f64>::try_from(kinds[name].to_kind(Kind::Double).reshape([-1])).unwrap()
        };
        assert_eq!(values("f16"), [0.5, -1.0, 65504.0]);
        assert_eq!(values("bf16"), [0.5, -1.0, 3.0]);
        assert_eq!(values("i64"), [-1.0, (1_u64 << 40) as f64]);
        assert_eq!(values("bool"), [1.0, 0.0, 1.0]);
        assert_eq!(values("transposed")[..3], [0.0, 0.75, 1.5]);
        assert_eq!(kinds["f32"].size(), [2, 3, 4]);
        assert_eq!(kinds["empty"].size(), [0, 5]);
    }

    #[test]
    fn mismatches_are_named_with_both_shapes_and_the_setting() {
        let wanted = named(&[("model.conv1.weight", &[8, 3]), ("model.layer1.0.bn1.bias", &[8])]);
        let said = |found: &[(&str, &[i64])]| {
            copy(Path::new("f.pt"), "id", &wanted, &named(found)).unwrap_err().to_string()
        };
        let narrow = said(&[("model.conv1.weight", &[4, 3]), ("model.layer1.0.bn1.bias", &[8])]);
        assert!(
            narrow.contains("`model.conv1.weight` has shape [4, 3], the network wants [8, 3]"),
            "{narrow}"
        );
        assert!(narrow.contains("`appearance.width`"), "{narrow}");
        let deeper = said(&[
            ("model.conv1.weight", &[8, 3]),
            ("model.layer1.0.bn1.bias", &[8]),
            ("model.layer1.1.bn1.bias", &[8]),
        ]);
        assert!(deeper.contains("`model.layer1.1.bn1.bias` is unexpected"), "{deeper}");
        assert!(deeper.contains("`appearance.backbone`"), "{deeper}");
        let other = said(&[("cnns.0.weight", &[1])]);
        assert!(
            other.contains("another kind of network") && other.contains("is missing"),
            "{other}"
        );
    }

    #[test]
    fn public_names_and_shapes_fit_all_four_networks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/state_dict_names.json");
        let names: BTreeMap<String, Vec<(String, Vec<i64>)>> =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let settings = Settings::default();
        let networks = Networks::new(&settings, 751, 1, Device::Cpu);
        let (_teacher, teacher) = build(&settings, 751, 1, Device::Cpu);
        for (network, store) in networks.stores().into_iter().chain([("teacher", &teacher)]) {
            let all: Vec<(&str, &[i64])> = names[network]
                .iter()
                .map(|(name, size)| (name.as_str(), size.as_slice()))
                .collect();
            let file = PathBuf::from(format!("{network}.pt"));
            let weights = Weights { path: file, tensors: named(&all), record: None };
            weights.fill(network, store).unwrap();
            let zero = |(_, x): (String, Tensor)| x.abs().max().double_value(&[]) == 0.0;
            assert!(
                store.variables().into_iter().all(zero),
                "every variable of {network} is filled"
            );
        }
    }

    #[test]
    fn what_public_files_carry_along_unused_is_passed_over() {
        let store = VarStore::new(Device::Cpu);
        let weight = (store.root() / "model").ones("conv1", &[2]);
        let found = [
            ("model.conv1", [2_i64].as_slice()),
            ("model.bn1.num_batches_tracked", &[]),
            ("model.fc.weight", &[3, 2]),
            ("dec.model.0.norm.running_mean", &[4]),
        ];
        let weights = Weights { path: PathBuf::from("f.pt"), tensors: named(&found), record: None };
        weights.fill("id", &store).unwrap();
        assert_eq!(Vec::<f32>::try_from(weight).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn a_backbone_is_taken_from_a_file_with_heads_and_from_torchvision_names_alike() {
        for names in [["model.conv1", "classifier.add_block.0"], ["conv1", "fc.weight"]] {
            let store = VarStore::new(Device::Cpu);
            let root: nn::Path = store.root();
            let (conv, head) = ((&root / "model").ones("conv1", &[2]), root.ones("head", &[1]));
            let tensors = named(&[(names[0], &[2]), (names[1], &[5])]);
            let weights = Weights { path: PathBuf::from("f.pth"), tensors, record: None };
            weights.fill_backbone("teacher", &store).unwrap();
            assert_eq!(Vec::<f32>::try_from(conv).unwrap(), [0.0, 0.0]);
            assert_eq!(Vec::<f32>::try_from(head).unwrap(), [1.0], "heads keep their beginning");
        }
    }
}
