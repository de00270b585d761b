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

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::Networks;
    use crate::model::Pass;
    use dgnet::spec::settings::{Appearance, Backbone, Settings};

    /// Networks whose E_a begins with so many channels and drops nothing.
    fn networks(width: u32, detach_code: bool) -> Networks {
        let appearance = Appearance {
            backbone: Backbone::Resnet10,
            width,
            feature: 8,
            dropout_primary: 0.0,
            dropout_fine: 0.0,
            detach_code,
            ..Appearance::default()
        };
        Networks::new(&Settings { appearance, ..Settings::default() }, 5, 1, Device::Cpu)
    }

    /// To the last bit: nothing else is computed. With 16 channels maps are in blocks, where the processor has such.
    #[test]
    fn one_pass_through_the_encoder_for_two_uses_is_two_passes() {
        for (width, detach_code) in [(4, true), (4, false), (16, true)] {
            let [once, mut twice] = [0; 2].map(|_| networks(width, detach_code));
            // other tests draw from the same generator meanwhile
            twice.id_vars.copy(&once.id_vars).expect("they are alike");
            let x = Tensor::randn([16, 3, 32, 16], (Kind::Float, Device::Cpu));
            let [x, y] = [x.copy(), x].map(|x| x.set_requires_grad(true));
            let got = once.encoder.forward_twice(&x, 2);
            let want = [
                twice.encoder.forward(&y.detach(), Pass::TRAIN.of(2)),
                twice.encoder.forward(&y, Pass::FROZEN.of(2)),
            ];
            let [loss, wanted] = [&got, &want].map(|[trained, frozen]| {
                let each = [&trained.primary, &trained.fine, &frozen.primary, &frozen.code];
                each.map(|of| of.square().sum(None::<Kind>)).into_iter().sum::<Tensor>()
            });
            assert_eq!(loss, wanted);
            loss.backward();
            wanted.backward();
            assert_eq!(x.grad(), y.grad());
            assert!(x.grad().abs().max().double_value(&[]) > 0.0);
            let (once, twice) = (once.id_vars.variables(), twice.id_vars.variables());
            for (name, got) in once {
                assert_eq!(got, twice[&name], "{name}");
                if got.requires_grad() {
                    assert_eq!(got.grad(), twice[&name].grad(), "the gradient of {name}");
                }
            }
        }
    }
}
