//! The generator: structure encoder and decoder under one roof, because one optimizer trains both.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::appearance::code_length;
use super::decoder::Decoder;
use super::structure::{StructureEncoder, code_channels};
use dgnet::spec::settings::Settings;

/// E_s and G.
#[derive(Debug)]
pub struct Generator {
    /// E_s.
    pub structure: StructureEncoder,
    /// G with its style networks.
    pub decoder: Decoder,
}

impl Generator {
    /// Builds both under `vs`.
    pub fn new(vs: &Path, settings: &Settings) -> Self {
        let channels = code_channels(&settings.structure);
        Self {
            structure: StructureEncoder::new(&(vs / "enc_content"), &settings.structure),
            decoder: Decoder::new(
                vs,
                &settings.decoder,
                channels,
                code_length(&settings.appearance),
            ),
        }
    }

    /// The photo that combines an appearance code with a structure code.
    ///
    /// # Shapes
    /// appearance (N, code length), structure (N, channels, H/4, W/4) -> (N, 3, H, W)
    pub fn generate(&self, appearance: &Tensor, structure: &Tensor, pass: Pass) -> Tensor {
        self.decoder.forward(&self.decoder.style(appearance, pass), structure, pass)
    }
}
