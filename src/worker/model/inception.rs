//! Inception-v3 (Szegedy et al. 2016) up to its global pool, pool_3, in the variant that the FID is
//! defined on: average pools leave padding out, and the last block pools by maximum. Parameter names are
//! torchvision's, so weights of either origin load by name; auxiliary and final classifiers are not built.

use tch::nn::Path;
use tch::{Kind, Tensor};

/// Length of the pool_3 feature.
pub const FEATURE: i64 = 2048;
/// Rows and columns that the network sees.
const SIDE: i64 = 299;
/// Epsilon of its batch norms, which is not that of residual networks.
const EPS: f64 = 1e-3;

/// A layer of a table below: name, channels, rows and columns of the kernel, stride, whether padding
/// keeps height and width.
type Shape = (&'static str, i64, [i64; 2], i64, bool);

/// Convolution without bias, batch norm with running statistics, ReLU.
#[derive(Debug)]
struct Conv {
    weight: Tensor,
    norm: [Tensor; 4],
    stride: i64,
    padding: [i64; 2],
}

impl Conv {
    fn new(vs: &Path, from: i64, (name, to, [rows, columns], stride, keeps): Shape) -> Self {
        let vs = vs / name;
        let (conv, bn) = (&vs / "conv", &vs / "bn");
        let std = (2.0 / (from * rows * columns) as f64).sqrt();
        Self {
            weight: conv.randn("weight", &[to, from, rows, columns], 0.0, std),
            norm: [
                bn.ones("weight", &[to]),
                bn.zeros("bias", &[to]),
                bn.zeros_no_train("running_mean", &[to]),
                bn.ones_no_train("running_var", &[to]),
            ],
            stride,
            padding: if keeps { [rows / 2, columns / 2] } else { [0, 0] },
        }
    }

    fn channels(&self) -> i64 {
        self.weight.size()[0]
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let stride = [self.stride; 2];
        let [weight, bias, mean, variance] = &self.norm;
        x.conv2d(&self.weight, None::<Tensor>, stride, self.padding, [1, 1], 1)
            .batch_norm(
                Some(weight),
                Some(bias),
                Some(mean),
                Some(variance),
                false,
                0.0,
                EPS,
                false,
            )
            .relu()
    }
}

fn chain(vs: &Path, mut from: i64, shapes: &[Shape]) -> Vec<Conv> {
    let layers = shapes.iter().map(|&shape| {
        let conv = Conv::new(vs, from, shape);
        from = conv.channels();
        conv
    });
    layers.collect()
}

fn through(layers: &[Conv], x: &Tensor) -> Tensor {
    layers.iter().fold(x.shallow_clone(), |x, layer| layer.forward(&x))
}

/// What a block pools beside its convolutions.
#[derive(Debug, Clone, Copy)]
enum Pool {
    /// Mean over 3x3, padding left out, same size.
    Mean,
    /// Maximum over 3x3, same size.
    Max,
    /// Maximum over 3x3, half the size.
    Halve,
}

impl Pool {
    fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Mean => x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>),
            Self::Max => x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false),
            Self::Halve => x.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false),
        }
    }
}

/// Layers in a row; where there are ends, each sees the row's output and their outputs stand side by side.
#[derive(Debug)]
struct Branch {
    row: Vec<Conv>,
    ends: Vec<Conv>,
}

/// Branches side by side, the pool's last.
#[derive(Debug)]
struct Block {
    branches: Vec<Branch>,
    pool: Pool,
    /// Behind the pool; a block that halves has none.
    pooled: Vec<Conv>,
    channels: i64,
}

/// A branch of a table: its row and its ends.
type Branches<'a> = &'a [(&'a [Shape], &'a [Shape])];

impl Block {
    fn new(vs: &Path, from: i64, branches: Branches, pool: Pool, pooled: &[Shape]) -> Self {
        let branches: Vec<Branch> = branches
            .iter()
            .map(|(row, ends)| {
                let row = chain(vs, from, row);
                let last = row.last().map_or(from, Conv::channels);
                Branch { ends: ends.iter().map(|&end| Conv::new(vs, last, end)).collect(), row }
            })
            .collect();
        let pooled = chain(vs, from, pooled);
        let of_branch = |branch: &Branch| match branch.ends.as_slice() {
            [] => branch.row.last().map_or(from, Conv::channels),
            ends => ends.iter().map(Conv::channels).sum(),
        };
        let channels = branches.iter().map(of_branch).sum::<i64>()
            + pooled.last().map_or(from, Conv::channels);
        Self { branches, pool, pooled, channels }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut parts = Vec::new();
        for branch in &self.branches {
            let row = through(&branch.row, x);
            if branch.ends.is_empty() {
                parts.push(row);
            } else {
                parts.extend(branch.ends.iter().map(|end| end.forward(&row)));
            }
        }
        parts.push(through(&self.pooled, &self.pool.forward(x)));
        Tensor::cat(&parts, 1)
    }
}

/// 35x35 maps: 1x1, 5x5 and two 3x3.
fn wide(vs: &Path, from: i64, pool: i64) -> Block {
    let branches: Branches = &[
        (&[("branch1x1", 64, [1, 1], 1, true)], &[]),
        (&[("branch5x5_1", 48, [1, 1], 1, true), ("branch5x5_2", 64, [5, 5], 1, true)], &[]),
        (
            &[
                ("branch3x3dbl_1", 64, [1, 1], 1, true),
                ("branch3x3dbl_2", 96, [3, 3], 1, true),
                ("branch3x3dbl_3", 96, [3, 3], 1, true),
            ],
            &[],
        ),
    ];
    Block::new(vs, from, branches, Pool::Mean, &[("branch_pool", pool, [1, 1], 1, true)])
}

/// From 35x35 to 17x17 maps.
fn first_reduction(vs: &Path, from: i64) -> Block {
    let branches: Branches = &[
        (&[("branch3x3", 384, [3, 3], 2, false)], &[]),
        (
            &[
                ("branch3x3dbl_1", 64, [1, 1], 1, true),
                ("branch3x3dbl_2", 96, [3, 3], 1, true),
                ("branch3x3dbl_3", 96, [3, 3], 2, false),
            ],
            &[],
        ),
    ];
    Block::new(vs, from, branches, Pool::Halve, &[])
}

/// 17x17 maps: 7x7 kernels as 1x7 and 7x1, `inner` channels between them.
fn factorised(vs: &Path, from: i64, inner: i64) -> Block {
    let branches: Branches = &[
        (&[("branch1x1", 192, [1, 1], 1, true)], &[]),
        (
            &[
                ("branch7x7_1", inner, [1, 1], 1, true),
                ("branch7x7_2", inner, [1, 7], 1, true),
                ("branch7x7_3", 192, [7, 1], 1, true),
            ],
            &[],
        ),
        (
            &[
                ("branch7x7dbl_1", inner, [1, 1], 1, true),
                ("branch7x7dbl_2", inner, [7, 1], 1, true),
                ("branch7x7dbl_3", inner, [1, 7], 1, true),
                ("branch7x7dbl_4", inner, [7, 1], 1, true),
                ("branch7x7dbl_5", 192, [1, 7], 1, true),
            ],
            &[],
        ),
    ];
    Block::new(vs, from, branches, Pool::Mean, &[("branch_pool", 192, [1, 1], 1, true)])
}

/// From 17x17 to 8x8 maps.
fn second_reduction(vs: &Path, from: i64) -> Block {
    let branches: Branches = &[
        (&[("branch3x3_1", 192, [1, 1], 1, true), ("branch3x3_2", 320, [3, 3], 2, false)], &[]),
        (
            &[
                ("branch7x7x3_1", 192, [1, 1], 1, true),
                ("branch7x7x3_2", 192, [1, 7], 1, true),
                ("branch7x7x3_3", 192, [7, 1], 1, true),
                ("branch7x7x3_4", 192, [3, 3], 2, false),
            ],
            &[],
        ),
    ];
    Block::new(vs, from, branches, Pool::Halve, &[])
}

/// 8x8 maps: 1x3 and 3x1 kernels side by side.
fn expanded(vs: &Path, from: i64, pool: Pool) -> Block {
    let branches: Branches = &[
        (&[("branch1x1", 320, [1, 1], 1, true)], &[]),
        (
            &[("branch3x3_1", 384, [1, 1], 1, true)],
            &[("branch3x3_2a", 384, [1, 3], 1, true), ("branch3x3_2b", 384, [3, 1], 1, true)],
        ),
        (
            &[("branch3x3dbl_1", 448, [1, 1], 1, true), ("branch3x3dbl_2", 384, [3, 3], 1, true)],
            &[("branch3x3dbl_3a", 384, [1, 3], 1, true), ("branch3x3dbl_3b", 384, [3, 1], 1, true)],
        ),
    ];
    Block::new(vs, from, branches, pool, &[("branch_pool", 192, [1, 1], 1, true)])
}

/// Inception-v3 without classifiers.
#[derive(Debug)]
pub struct Inception {
    stem: [Vec<Conv>; 2],
    blocks: Vec<Block>,
}

impl Inception {
    /// Builds the network under `vs`.
    pub fn new(vs: &Path) -> Self {
        let stem = [
            chain(
                vs,
                3,
                &[
                    ("Conv2d_1a_3x3", 32, [3, 3], 2, false),
                    ("Conv2d_2a_3x3", 32, [3, 3], 1, false),
                    ("Conv2d_2b_3x3", 64, [3, 3], 1, true),
                ],
            ),
            chain(
                vs,
                64,
                &[("Conv2d_3b_1x1", 80, [1, 1], 1, true), ("Conv2d_4a_3x3", 192, [3, 3], 1, false)],
            ),
        ];
        let mut from = 192;
        let mut blocks = Vec::new();
        let mut add = |name: &str, build: &dyn Fn(&Path, i64) -> Block| {
            let block = build(&(vs / name), from);
            from = block.channels;
            blocks.push(block);
        };
        for (name, pool) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
            add(name, &|vs, from| wide(vs, from, pool));
        }
        add("Mixed_6a", &first_reduction);
        for (name, inner) in
            [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)]
        {
            add(name, &|vs, from| factorised(vs, from, inner));
        }
        add("Mixed_7a", &second_reduction);
        add("Mixed_7b", &|vs, from| expanded(vs, from, Pool::Mean));
        add("Mixed_7c", &|vs, from| expanded(vs, from, Pool::Max));
        Self { stem, blocks }
    }

    /// The pool_3 feature of pictures with values from 0 to 1, which are resized bilinearly to 299x299
    /// and scaled to -1 to 1; no gradient.
    ///
    /// # Shapes
    /// (N, 3, H, W) -> (N, 2048)
    pub fn features(&self, pixels: &Tensor) -> Tensor {
        tch::no_grad(|| {
            let x = pixels.upsample_bilinear2d([SIDE, SIDE], false, None::<f64>, None::<f64>) * 2.0
                - 1.0;
            let x = Pool::Halve.forward(&through(&self.stem[0], &x));
            let x = Pool::Halve.forward(&through(&self.stem[1], &x));
            let x = self.blocks.iter().fold(x, |x, block| block.forward(&x));
            x.mean_dim(Some([2, 3].as_slice()), false, None::<Kind>)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;
    use tch::Device;
    use tch::nn::VarStore;

    use super::*;
    use dgnet::data::rng::name_key;

    /// The fill that `tests/golden/inception.py` shares.
    fn uniform(name: &str, shape: &[i64]) -> Tensor {
        let key = name_key(name);
        let values: Vec<f64> = (1..=shape.iter().product::<i64>() as u64)
            .map(|index| {
                let mut z = key.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
            })
            .collect();
        Tensor::from_slice(&values).view(shape)
    }

    #[test]
    fn the_feature_is_that_of_torchvisions_own_classes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/inception.json");
        let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let store = VarStore::new(Device::Cpu);
        let network = Inception::new(&store.root());
        for (name, mut variable) in store.variables() {
            let shape = variable.size();
            let values = uniform(&name, &shape);
            let values = if name.ends_with("conv.weight") {
                let fan_in: i64 = shape[1..].iter().product();
                (values * 2.0 - 1.0) * (6.0 / fan_in as f64).sqrt()
            } else if name.ends_with("bn.weight") || name.ends_with("running_var") {
                values * 0.5 + 0.75
            } else {
                values * 0.2 - 0.1
            };
            tch::no_grad(|| variable.copy_(&values));
        }
        let number = |key: &str| golden[key].as_i64().unwrap();
        let pixels = uniform("picture", &[1, 3, number("height"), number("width")]);
        let features = network.features(&pixels.to_kind(Kind::Float));
        let expected = golden["feature"].as_array().unwrap();
        assert_eq!(expected.len(), (FEATURE / number("step")) as usize);
        for (at, expected) in (0..).zip(expected) {
            let expected = expected.as_f64().unwrap();
            let got = features.double_value(&[0, at * number("step")]);
            // 32 bits here, 64 there; features go up to 4
            assert!((got - expected).abs() < 1e-3, "{at}: {got}, not {expected}");
        }
    }

    #[test]
    fn the_whole_network_has_torchvisions_parameters_and_the_pool_3_feature() {
        let store = VarStore::new(Device::Cpu);
        let network = Inception::new(&store.root());
        let parameters: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        // torchvision: 27,161,264, of which 3,326,696 auxiliary and 2,049,000 final classifier
        assert_eq!(parameters, 21_785_568);
        let names = store.variables();
        assert_eq!(names.len(), 94 * 5, "94 convolutions with a batch norm each");
        for (name, shape) in [
            ("Conv2d_1a_3x3.conv.weight", vec![32, 3, 3, 3]),
            ("Mixed_5b.branch_pool.conv.weight", vec![32, 192, 1, 1]),
            ("Mixed_6a.branch3x3dbl_3.bn.running_var", vec![96]),
            ("Mixed_6c.branch7x7dbl_4.conv.weight", vec![160, 160, 7, 1]),
            ("Mixed_7a.branch7x7x3_4.conv.weight", vec![192, 192, 3, 3]),
            ("Mixed_7c.branch3x3dbl_3a.conv.weight", vec![384, 384, 1, 3]),
            ("Mixed_7c.branch1x1.conv.weight", vec![320, 2048, 1, 1]),
        ] {
            assert_eq!(names.get(name).map(Tensor::size), Some(shape), "{name}");
        }
        tch::manual_seed(1);
        let pixels = Tensor::rand([2, 3, 64, 32], (Kind::Float, Device::Cpu));
        let features = network.features(&pixels);
        assert_eq!(features.size(), [2, FEATURE]);
        assert!(features.isfinite().all().double_value(&[]) > 0.0);
        assert_eq!(features, network.features(&pixels), "the same pictures, the same features");
        assert_ne!(features.get(0), features.get(1));
        // a picture's feature does not depend on its neighbours
        let alone = network.features(&pixels.narrow(0, 1, 1));
        let difference = (alone.get(0) - features.get(1)).abs().max().double_value(&[]);
        assert!(difference < 1e-4 * features.abs().max().double_value(&[]), "{difference}");
    }
}
