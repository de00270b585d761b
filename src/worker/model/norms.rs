//! What normalises maps: batch norm over one or several batches, instance norm with and without scales that come from
//! the appearance code, the decoder's layer norm. Nothing here convolves.

use tch::nn::Path;
use tch::{Device, Kind, Tensor};

use super::layers::{seen, wide};
use super::{Norm, Pass};

/// Epsilon of batch and instance norm.
const NORM_EPS: f64 = 1e-5;
/// Share of the new batch in batch norm's running statistics.
const NORM_MOMENTUM: f64 = 0.1;

/// Batch norm over (N, C) or (N, C, H, W), with running statistics.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    /// Scale 1, shift 0.
    pub fn new(vs: &Path, channels: i64) -> Self {
        let dims = [channels];
        Self {
            weight: vs.ones("weight", &dims),
            bias: vs.zeros("bias", &dims),
            running_mean: vs.zeros_no_train("running_mean", &dims),
            running_var: vs.ones_no_train("running_var", &dims),
        }
    }

    /// Several batches have to come [`interleaved`]; each is normalised alone, and they are remembered in
    /// their order.
    ///
    /// # Shapes
    /// (N, C, ...) -> the same; maps may be in blocks
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let scale = [&self.weight, &self.bias].map(|parameter| seen(parameter, pass));
        let running = (pass.norm != Norm::Batch).then_some([&self.running_mean, &self.running_var]);
        if pass.norm == Norm::Running {
            return batch_norm(x, &scale, running, None);
        }
        if pass.batches == 1 {
            return batch_norm(x, &scale, running, Some(NORM_MOMENTUM));
        }
        // as channels of their own, which is one kernel for all batches
        let mut size = x.size();
        size[0] /= pass.batches;
        size[1] *= pass.batches;
        let channels = x.reshape(&size);
        if x.device() == Device::Cpu {
            return batch_norm(&channels, &scale, running, Some(NORM_MOMENTUM)).view_as(x);
        }
        let scale = scale.map(|parameter| parameter.repeat([pass.batches]));
        let own = running.map(|running| running.map(|mean| mean.repeat([pass.batches])));
        let kept = own.as_ref().map(|[mean, var]| [mean, var]);
        // nothing of the past: `own` becomes the batches' statistics
        let y = batch_norm(&channels, &scale, kept, Some(1.0)).view_as(x);
        for (running, own) in running.into_iter().flatten().zip(own.iter().flatten()) {
            for batch in own.view([pass.batches, -1]).unbind(0) {
                // as libtorch's own update, it is no change that a backward pass would have to know of
                let _ = running.data().lerp_(&batch, NORM_MOMENTUM);
            }
        }
        y
    }
}

/// Stacked batches with their samples in turn: the first of every batch, then the second of every batch.
/// The samples of one batch then are a dimension of a view, as [`BatchNorm`] wants them.
///
/// # Shapes
/// (batches * N, ...) -> the same
pub fn interleaved(stacked: &Tensor, pass: Pass) -> Tensor {
    transposed(stacked, [pass.batches, -1])
}

/// Takes [`interleaved`] back.
///
/// # Shapes
/// (N * batches, ...) -> the same
pub fn stacked(interleaved: &Tensor, pass: Pass) -> Tensor {
    transposed(interleaved, [-1, pass.batches])
}

/// Samples as a table of rows and columns, told column by column.
fn transposed(samples: &Tensor, table: [i64; 2]) -> Tensor {
    if table.contains(&1) {
        return samples.shallow_clone();
    }
    samples.unflatten(0, table).transpose(0, 1).flatten(0, 1)
}

/// Batch norm with scale and shift: by the running statistics, or by those of the batch, which the running ones
/// then follow with this momentum.
fn batch_norm(
    x: &Tensor,
    scale: &[Tensor; 2],
    running: Option<[&Tensor; 2]>,
    momentum: Option<f64>,
) -> Tensor {
    let (mean, var) = (running.map(|[mean, _]| mean), running.map(|[_, var]| var));
    let [weight, bias] = scale.each_ref().map(Some);
    let (by_batch, rate) = (momentum.is_some(), momentum.unwrap_or(NORM_MOMENTUM));
    if x.device() == Device::Cpu {
        // what the other calls there once it has counted channels. Maps in blocks, and batches that lie side by side as channels
        // of their own, have other numbers of them than weights
        return x.native_batch_norm(weight, bias, mean, var, by_batch, rate, NORM_EPS).0;
    }
    x.batch_norm(weight, bias, mean, var, by_batch, rate, NORM_EPS, false)
}

/// Instance norm without affine parameters.
///
/// # Shapes
/// (N, C, H, W) -> the same
pub fn instance_norm(x: &Tensor) -> Tensor {
    let none = None::<Tensor>;
    x.instance_norm(
        none.as_ref(),
        none.as_ref(),
        none.as_ref(),
        none.as_ref(),
        true,
        NORM_MOMENTUM,
        NORM_EPS,
        false,
    )
}

/// Adaptive instance norm: instance norm, then scale and shift that come from the appearance code.
/// It is computed as batch norm over the (1, N*C, H, W) view, which is one kernel instead of three.
///
/// # Shapes
/// x (N, C, H, W); weight and bias (N, C) -> (N, C, H, W)
pub fn adaptive_instance_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let size = x.size();
    let (n, c, h, w) = (size[0], size[1], size[2], size[3]);
    let scale = [weight, bias].map(|parameter| parameter.reshape([n * c]));
    batch_norm(&x.reshape([1, n * c, h, w]), &scale, None, Some(NORM_MOMENTUM)).view([n, c, h, w])
}

/// The decoder's layer norm: over (C, H, W) of each sample, unbiased standard deviation, epsilon added
/// to the deviation, one scale and shift a channel.
#[derive(Debug)]
pub struct LayerNorm {
    gamma: Tensor,
    beta: Tensor,
}

impl LayerNorm {
    /// gamma ~ U(0, 1), beta 0.
    pub fn new(vs: &Path, channels: i64) -> Self {
        Self {
            gamma: vs.uniform("gamma", &[channels], 0.0, 1.0),
            beta: vs.zeros("beta", &[channels]),
        }
    }

    /// # Shapes
    /// (N, C, H, W) -> the same
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let size = x.size();
        let each = Some([1, 2, 3].as_slice());
        // its sums need 32 bits
        let x = &wide(x);
        let centred = x - x.mean_dim(each, true, None::<Kind>);
        let degrees = (size[1] * size[2] * size[3] - 1) as f64;
        let variance = centred.square().sum_dim_intlist(each, true, None::<Kind>) / degrees;
        let gamma = seen(&self.gamma, pass).view([1, -1, 1, 1]);
        let beta = seen(&self.beta, pass).view([1, -1, 1, 1]);
        centred * (gamma / (variance.sqrt() + NORM_EPS)) + beta
    }
}
