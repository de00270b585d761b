//! The kernels that stand in the place of libtorch's (`replace.h`), each against the plain way to the same numbers.

use tch::{Device, Kind, Tensor};

use super::Arithmetic;
use dgnet::spec::settings::Precision;

/// libtorch's own padding is replaced on CPUs (`padding.cpp`). Rows and columns picked one by one are the same; small
/// whole numbers are added exactly in any order.
#[test]
fn padding_by_reflection_and_its_gradients_are_those_of_picked_pixels() {
    let picked = |x: &Tensor, p: i64| {
        let along = |x: &Tensor, dim: i64| {
            let size = x.size()[dim as usize];
            let of = |at: i64| if at.abs() < size { at.abs() } else { 2 * (size - 1) - at };
            let places: Vec<i64> = (-p..size + p).map(of).collect();
            x.index_select(dim, &Tensor::from_slice(&places))
        };
        along(&along(x, 2), 3)
    };
    let whole = |size: &[i64]| Tensor::randint_low(-9, 9, size, (Kind::Float, Device::Cpu));
    for (channels, p, together) in
        [(1, 1, false), (5, 1, true), (5, 3, false), (16, 3, true), (3, 0, true)]
    {
        let photos = whole(&[4, channels, 6, 5]);
        // the same photos, the channels of a pixel side by side in memory
        let aside = || photos.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let photos = if together { aside() } else { photos };
        let photos = photos.set_requires_grad(true);
        let ours = photos.reflection_pad2d([p; 4]);
        let theirs = picked(&photos, p);
        assert_eq!(ours, theirs);
        assert!(channels == 1 || (ours.stride()[1] == 1) == together);
        let weights = whole(&ours.size()).set_requires_grad(true);
        // products of two paddings, so that the gradient has a gradient
        let twice = |padded: &Tensor, again: &Tensor| {
            let sum = (padded * again * &weights).sum(Kind::Float);
            let first = Tensor::run_backward(&[sum], &[&photos], true, true).remove(0);
            let rest = (&first * &first).sum(Kind::Float);
            let mut all = Tensor::run_backward(&[rest], &[&photos, &weights], false, false);
            all.push(first);
            all
        };
        let ours = twice(&ours, &photos.reflection_pad2d([p; 4]));
        let theirs = twice(&theirs, &picked(&photos, p));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{channels} channels, {p} pixels, together: {together}");
        }
    }
    let refused = whole(&[1, 2, 3, 3]).f_reflection_pad2d([3; 4]).map_err(|e| e.to_string());
    assert!(refused.as_ref().is_err_and(|text| text.contains("does not fit")), "{refused:?}");
}

/// libtorch's own batch norm is replaced on CPUs (`batch_norm.cpp`): means and deviations one operation at a time give
/// the same, and so do their gradients.
#[test]
fn batch_norm_is_what_its_equation_says() {
    let random = |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu));
    for size in [[3, 2, 1, 1], [2, 3, 5, 5], [4, 1, 7, 9], [1, 5, 12, 6], [2, 2, 1, 31]] {
        let channels = size[1];
        let x = (random(&size) * 3.0 + 40.0).set_requires_grad(true);
        let [weight, bias] = [1, 2].map(|_| random(&[channels]).set_requires_grad(true));
        let [mean, var] = [1, 2].map(|_| random(&[channels]));
        let [old_mean, old_var] = [&mean, &var].map(Tensor::copy);
        // a gradient that lies in memory otherwise, and one that is the same number everywhere
        let of = random(&[size[0], size[1], size[3], size[2]]).transpose(2, 3);
        let gradients = |y: &Tensor| {
            [(y * &of).sum(Kind::Double), y.sum(Kind::Double)]
                .into_iter()
                .flat_map(|loss| Tensor::run_backward(&[loss], &[&x, &weight, &bias], true, false))
                .collect::<Vec<_>>()
        };
        let running = (Some(&mean), Some(&var));
        let y =
            x.batch_norm(Some(&weight), Some(&bias), running.0, running.1, true, 0.1, 1e-5, false);
        let each = Some([0, 2, 3].as_slice());
        let off = &x - x.mean_dim(each, true, Kind::Double);
        let square = off.square().mean_dim(each, true, Kind::Double);
        let [wide_weight, wide_bias] = [&weight, &bias].map(|of| of.view([1, -1, 1, 1]));
        let plain = off / (&square + 1e-5).sqrt() * wide_weight + wide_bias;
        let count = (x.numel() as i64 / channels) as f64;
        let means = x.mean_dim(each, false, Kind::Double);
        let unbiased = square.view([-1]) * (count / (count - 1.0));
        for (got, want) in [
            (&y, &plain),
            (&mean, &(old_mean * 0.9 + means * 0.1)),
            (&var, &(old_var * 0.9 + unbiased * 0.1)),
        ] {
            let apart = (got - want).abs().max().double_value(&[]);
            assert!(apart < 1e-10, "{size:?}: {apart}");
        }
        for (got, want) in gradients(&y).iter().zip(gradients(&plain)) {
            let apart = (got - want).abs().max().double_value(&[]);
            assert!(apart < 1e-9, "{size:?}: {apart}");
        }
        let narrow = |of: &Tensor| of.detach().to_kind(Kind::Float);
        let [x, weight, bias] = [&x, &weight, &bias].map(narrow);
        let none = None::<&Tensor>;
        let small = x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, 1e-5, false);
        let apart = (small - narrow(&plain)).abs().max().double_value(&[]);
        assert!(apart < 1e-4, "{size:?} in 32 bits: {apart}");
        // of 16 bits, with weights of 32
        let rounded = x.to_kind(Kind::BFloat16);
        let of = |x: &Tensor| {
            x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, 1e-5, false)
        };
        let wide = of(&rounded.to_kind(Kind::Float));
        assert_eq!(of(&rounded), wide.to_kind(Kind::BFloat16), "{size:?} in 16 bits");
    }
}

/// A convolution that is asked for its map in blocks (`blocks.cpp`), batch norm of that, and convolutions from them, are
/// the usual ones, to the last bit and with their gradients: in 32 bits and in what autocast makes of them.
#[test]
fn a_map_in_blocks_is_the_map() {
    let random =
        |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let none = None::<&Tensor>;
    let blocks_of = |map: &Tensor| if map.dim() == 5 { map.size()[4] } else { 1 };
    // with these numbers of channels at last, of which the second fills no blocks
    for (precision, to) in
        [Precision::Float32, Precision::Bf16].into_iter().flat_map(|of| [(of, 48), (of, 24)])
    {
        let (x, first) = (random(&[16, 3, 13, 9]), random(&[32, 3, 3, 3]));
        let (last, scale, shift) = (random(&[to, 32, 3, 3]), random(&[32]), random(&[32]));
        let all_of = |map: Tensor| {
            let (weight, bias) = (Some(&scale), Some(&shift));
            let y = map.native_batch_norm(weight, bias, none, none, true, 0.1, 1e-5).0.relu();
            let y = if y.dim() == 5 {
                let y = y.mkldnn_convolution(&last, none, [1, 1], [2, 2], [1, 1], 1);
                assert_eq!(blocks_of(&y), if to % 16 == 0 { 16 } else { 1 });
                y.permute([0, 1, 4, 2, 3]).flatten(1, 2)
            } else {
                y.conv2d(&last, none, [2, 2], [1, 1], [1, 1], 1)
            };
            assert_eq!(y.kind() == Kind::BFloat16, precision == Precision::Bf16);
            let loss = (&y * y.detach().cos()).sum(Kind::Float);
            let to = [&x, &first, &last, &scale, &shift];
            let mut all = Tensor::run_backward(&[loss], &to, false, false);
            all.push(y.detach());
            all
        };
        let (blocks, usual) = Arithmetic::new(precision, Device::Cpu).fast(|| {
            let asked = x.unsqueeze(-1);
            let asked = asked.mkldnn_convolution(&first, none, [1, 1], [1, 1], [1, 1], 1);
            assert_eq!(asked.size()[1] * blocks_of(&asked), 32, "{precision:?}");
            // a processor without blocks gives blocks of one
            let asked = if blocks_of(&asked) == 1 { asked.squeeze_dim(4) } else { asked };
            #[cfg(target_arch = "x86_64")]
            if precision == Precision::Float32
                && is_x86_feature_detected!("avx512vl")
                && ["ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"]
                    .iter()
                    .all(|limit| std::env::var_os(limit).is_none())
            {
                assert_eq!(blocks_of(&asked), 16, "there are blocks, and they are not used");
            }
            (all_of(asked), all_of(x.conv2d(&first, none, [1, 1], [1, 1], [1, 1], 1)))
        });
        for (part, (blocks, usual)) in blocks.iter().zip(&usual).enumerate() {
            assert_eq!(blocks, usual, "{precision:?} to {to}, part {part}");
        }
    }
}

/// Batches side by side share weights and statistics: what one after the other would leave, and as `lerp` rounds it.
#[test]
fn batches_that_share_weights_are_batches() {
    let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
    for channels in [1, 7, 32] {
        let x = random(&[5, 3 * channels, 4, 3]);
        let [weight, bias, mean, var] = [0; 4].map(|_| random(&[channels]));
        let [wanted_mean, wanted_var] = [&mean, &var].map(Tensor::copy);
        let norm = |x: &Tensor, mean: &Tensor, var: &Tensor, momentum| {
            let scale = (Some(&weight), Some(&bias));
            x.native_batch_norm(scale.0, scale.1, Some(mean), Some(var), true, momentum, 1e-5).0
        };
        let y = norm(&x, &mean, &var, 0.1);
        let each = x.chunk(3, 1).into_iter().map(|x| {
            let [own_mean, own_var] = [&mean, &var].map(Tensor::zeros_like);
            let y = norm(&x.contiguous(), &own_mean, &own_var, 1.0);
            let _ = wanted_mean.shallow_clone().lerp_(&own_mean, 0.1);
            let _ = wanted_var.shallow_clone().lerp_(&own_var, 0.1);
            y
        });
        assert_eq!(y, Tensor::cat(&each.collect::<Vec<_>>(), 1), "{channels} channels");
        assert_eq!((mean, var), (wanted_mean, wanted_var), "{channels} channels");
    }
}

/// They are counted here: whoever calls the kernel alone has not.
#[test]
fn batch_norm_with_weights_for_other_channels_is_refused() {
    let ones = |size: &[i64]| Tensor::ones(size, (Kind::Float, Device::Cpu));
    let none = None::<&Tensor>;
    for (size, weights, means) in
        [([2, 6, 3, 3], 4, 4), ([2, 6, 3, 3], 12, 12), ([2, 6, 3, 3], 6, 3)]
    {
        let (weight, mean) = (ones(&[weights]), ones(&[means]));
        let of = (Some(&weight), Some(&mean));
        let refused = ones(&size).f_native_batch_norm(of.0, none, of.1, none, true, 0.1, 1e-5);
        assert!(refused.is_err(), "{weights} weights and {means} means");
    }
    let blocks = ones(&[2, 3, 4, 4, 16]);
    let three = Some(ones(&[3]));
    assert!(blocks.f_native_batch_norm(three, None, None, None, true, 0.1, 1e-5).is_err());
}

/// The second derivative of a convolution is replaced on CPUs (`second_derivative.cpp`): as a product of matrices, the same
/// convolution has the same. The kernel is even and leaves a remainder, as a Wasserstein critic's may.
#[test]
fn a_convolution_is_differentiated_twice() {
    let random =
        |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let (x, weight) = (random(&[2, 3, 7, 10]), random(&[5, 3, 4, 4]));
    let penalty = |y: &Tensor| {
        let slope = Tensor::run_backward(&[y.square().sum(Kind::Double)], &[&x], true, true);
        Tensor::run_backward(&[slope[0].square().sum(Kind::Double)], &[&x, &weight], false, false)
    };
    let ours = penalty(&x.conv2d(&weight, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1));
    let columns = x.im2col([4, 4], [1, 1], [1, 1], [2, 2]);
    let theirs = penalty(&weight.view([5, -1]).matmul(&columns));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let scale = theirs.abs().max().double_value(&[]);
        assert!((ours - theirs).abs().max().double_value(&[]) < 1e-12 * scale);
    }
}
