//! The networks that a training step trains, with their variables and the weights that a seed begins with.
//! No losses, no optimizer.

use tch::Device;
use tch::nn::VarStore;

use crate::model::appearance::AppearanceEncoder;
use crate::model::discriminator::Discriminator;
use crate::model::generator::Generator;
use dgnet::data::rng::Rng;
use dgnet::spec::settings::{Feeding, Settings};

/// The three networks that a step trains, and their variables.
#[derive(Debug)]
pub struct Networks {
    /// Variables of E_s and G.
    pub gen_vars: VarStore,
    /// Variables of E_a.
    pub id_vars: VarStore,
    /// Variables of D.
    pub dis_vars: VarStore,
    /// E_s and G.
    pub generator: Generator,
    /// E_a.
    pub encoder: AppearanceEncoder,
    /// D.
    pub discriminator: Discriminator,
    /// With offline feeding: the E_a that G was trained with, and its variables. G is finished then too.
    pub painter: Option<(VarStore, AppearanceEncoder)>,
}

/// Seeds libtorch's generator for one purpose; initialisation and dropout are the only users.
pub fn seed_torch(seed: u64, stream: &str, index: u64) {
    tch::manual_seed((Rng::new(seed, stream, index).next_u64() >> 1) as i64);
}

impl Networks {
    /// Freshly initialised networks. Each has a stream of its own, so arms that change one network
    /// begin with the same weights in the others.
    #[must_use]
    pub fn new(settings: &Settings, classes: i64, seed: u64, device: Device) -> Self {
        let stores = [0; 3].map(|_| VarStore::new(device));
        let [gen_vars, id_vars, dis_vars] = stores;
        seed_torch(seed, "init.generator", 0);
        let generator = Generator::new(&gen_vars.root(), settings);
        seed_torch(seed, "init.appearance", 0);
        let encoder = AppearanceEncoder::new(&id_vars.root(), &settings.appearance, classes);
        seed_torch(seed, "init.discriminator", 0);
        let side = settings.image.height.min(settings.image.width);
        let discriminator =
            Discriminator::new(&dis_vars.root(), &settings.discriminator, i64::from(side));
        let painter = (settings.train.feeding == Feeding::Offline).then(|| {
            let vars = VarStore::new(device);
            let encoder = AppearanceEncoder::new(&vars.root(), &settings.appearance, classes);
            (vars, encoder)
        });
        Self { gen_vars, id_vars, dis_vars, generator, encoder, discriminator, painter }
    }

    /// The variable stores with the names under which checkpoints hold them.
    #[must_use]
    pub fn stores(&self) -> Vec<(&'static str, &VarStore)> {
        let mut stores =
            vec![("gen", &self.gen_vars), ("id", &self.id_vars), ("dis", &self.dis_vars)];
        stores.extend(self.painter.iter().map(|(vars, _)| ("painter", vars)));
        stores
    }

    /// The encoder whose appearance codes G understands.
    #[must_use]
    pub fn code_encoder(&self) -> &AppearanceEncoder {
        self.painter.as_ref().map_or(&self.encoder, |(_, encoder)| encoder)
    }
}
