// Batch norm on CPUs, in the place of libtorch's, which adds numbers one by one, each waiting for the last. Here they are added in
// lanes, whose number does not depend on the processor; maps in blocks (blocks.cpp) are normalised as they lie, to the same bits. A map
// with a multiple of the weights' channels is several batches that share weights and running statistics, side by side.
// Normalising plain maps by running statistics, and other layouts, stay libtorch's.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/native_batch_norm_backward_native.h>
#include <ATen/ops/native_batch_norm_native.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <tuple>
#include <type_traits>

#include "blocks.h"
#include "replace.h"
#include "rounding.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

namespace {

using Maybe = std::optional<at::Tensor>;

// bfloat16 in memory. c10's own type branches for numbers that are none, which cannot be done sixteen at a time.
struct Narrow {
    uint16_t bits;

    Narrow() = default;
    explicit Narrow(float number) {
        const uint32_t wide = std::bit_cast<uint32_t>(number);
        const uint32_t nearest = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
        bits = static_cast<uint16_t>(number != number ? 0x7fc0 : nearest);
    }
    operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

// What is computed with: a map's own numbers, or 32 bits where they are narrower.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, Narrow>, float, T>;

constexpr int64_t lanes = 16;

// Channels that are normalised together: one of a plain map, or the sixteen of a block, whose numbers lie side by side.
template <typename T, size_t channels>
struct Group {
    const T* x;
    // `step` numbers from a photo to the next
    int64_t photos, step, pixels;
};

template <size_t channels>
using Sums = std::array<double, channels>;

// Of each channel the sum of what `value` gives at its numbers.
template <typename T, size_t channels, typename Value>
[[gnu::always_inline]] inline Sums<channels> sum(const Group<T, channels>& of, const Value& value) {
    double parts[lanes][channels] = {};
    const auto add = [&](int64_t lane, int64_t at) {
        for (size_t channel = 0; channel < channels; ++channel) {
            parts[lane][channel] += value(at + channel, channel);
        }
    };
    for (int64_t photo = 0; photo < of.photos; ++photo) {
        const int64_t from = photo * of.step;
        int64_t pixel = 0;
        for (; pixel + lanes <= of.pixels; pixel += lanes) {
            for (int64_t lane = 0; lane < lanes; ++lane) {
                add(lane, from + (pixel + lane) * channels);
            }
        }
        if (pixel + lanes / 2 <= of.pixels) {
            for (int64_t lane = 0; lane < lanes / 2; ++lane) {
                add(lane, from + (pixel + lane) * channels);
            }
            pixel += lanes / 2;
        }
        for (; pixel < of.pixels; ++pixel) {
            add((from + pixel) % (lanes / 2), from + pixel * channels);
        }
    }
    for (int64_t width = lanes / 2; width > 0; width /= 2) {
        for (int64_t lane = 0; lane < width; ++lane) {
            for (size_t channel = 0; channel < channels; ++channel) {
                parts[lane][channel] += parts[lane + width][channel];
            }
        }
    }
    return std::to_array(parts[0]);
}

template <typename T, size_t channels>
FOR_EVERY_PROCESSOR Sums<channels> total(const Group<T, channels>& of) {
    const T* x = of.x;
    return sum(of, [x](int64_t at, size_t) { return static_cast<double>(x[at]); });
}

template <typename T, size_t channels>
FOR_EVERY_PROCESSOR Sums<channels> squares(const Group<T, channels>& of, const Sums<channels>& mean) {
    const T* x = of.x;
    return sum(of, [x, &mean](int64_t at, size_t channel) {
        const double off = static_cast<double>(x[at]) - mean[channel];
        return off * off;
    });
}

template <typename T, size_t channels>
FOR_EVERY_PROCESSOR Sums<channels> products(const Group<T, channels>& of, const Sums<channels>& mean, const T* dy) {
    const T* x = of.x;
    return sum(of, [x, &mean, dy](int64_t at, size_t channel) {
        return (static_cast<double>(x[at]) - mean[channel]) * static_cast<double>(dy[at]);
    });
}

// What a channel's numbers are changed by, each in the precision that it is computed with.
template <typename T, size_t channels>
using Each = std::array<Wide<T>, channels>;

template <typename T, size_t channels>
FOR_EVERY_PROCESSOR void scale(
    T* __restrict y, const Group<T, channels>& of, const Each<T, channels>& mean, const Each<T, channels>& by, const Each<T, channels>& shift) {
    for (int64_t photo = 0; photo < of.photos; ++photo) {
        const int64_t from = photo * of.step;
        for (int64_t at = from; at < from + of.pixels * channels; at += channels) {
            for (size_t channel = 0; channel < channels; ++channel) {
                const auto x = static_cast<Wide<T>>(of.x[at + channel]);
                y[at + channel] = static_cast<T>((x - mean[channel]) * by[channel] + shift[channel]);
            }
        }
    }
}

// Rounded once, as libtorch does it for plain maps wherever there are maps in blocks.
template <typename T, size_t channels>
FOR_EVERY_PROCESSOR void move(T* __restrict y, const Group<T, channels>& of, const Each<T, channels>& by, const Each<T, channels>& shift) {
    for (int64_t photo = 0; photo < of.photos; ++photo) {
        const int64_t from = photo * of.step;
        for (int64_t at = from; at < from + of.pixels * channels; at += channels) {
            for (size_t channel = 0; channel < channels; ++channel) {
                y[at + channel] = static_cast<T>(std::fma(static_cast<Wide<T>>(of.x[at + channel]), by[channel], shift[channel]));
            }
        }
    }
}

template <typename T, size_t channels>
FOR_EVERY_PROCESSOR void scale_back(
    T* __restrict dx,
    const Group<T, channels>& of,
    const Each<T, channels>& mean,
    const Each<T, channels>& along,
    const T* __restrict dy,
    const Each<T, channels>& mean_dy,
    const Each<T, channels>& by) {
    for (int64_t photo = 0; photo < of.photos; ++photo) {
        const int64_t from = photo * of.step;
        for (int64_t at = from; at < from + of.pixels * channels; at += channels) {
            for (size_t channel = 0; channel < channels; ++channel) {
                const auto x = static_cast<Wide<T>>(of.x[at + channel]), of_y = static_cast<Wide<T>>(dy[at + channel]);
                dx[at + channel] = static_cast<T>((of_y - mean_dy[channel] - (x - mean[channel]) * along[channel]) * by[channel]);
            }
        }
    }
}

bool is_given(const Maybe& tensor) {
    return tensor.has_value() && tensor->defined();
}

// x as photos of groups of channels, those of one batch after those of another: batches share weights and running statistics.
template <size_t channels>
struct Shape {
    int64_t photos, groups, pixels, batches;

    Shape(const at::Tensor& x, const Maybe& weight)
        : photos(x.size(0)), groups(x.size(1)), pixels(x.numel() / (photos * groups * static_cast<int64_t>(channels))), batches(of(x, weight)) {}

    double count() const { return static_cast<double>(photos * pixels); }
    int64_t begin(int64_t group) const { return group * pixels * channels; }
    // a group of photos that begin at x; others of the same shape have it at the same places
    template <typename T>
    Group<T, channels> group(const T* x, int64_t group) const {
        return {x + begin(group), photos, groups * pixels * channels, pixels};
    }
    // `work(shared, group)`: a group of every batch, in their order, and which one of a batch it is
    template <typename Work>
    void each_group(const Work& work) const {
        const int64_t of_one = groups / batches;
        const int64_t enough = std::max<int64_t>(1, 16384 / (photos * pixels * static_cast<int64_t>(channels) * batches));
        at::parallel_for(0, of_one, enough, [&](int64_t from, int64_t to) {
            for (int64_t shared = from; shared < to; ++shared) {
                for (int64_t group = shared; group < groups; group += of_one) {
                    work(shared, group);
                }
            }
        });
    }

private:
    static int64_t of(const at::Tensor& x, const Maybe& weight) {
        return is_given(weight) ? x.size(1) * static_cast<int64_t>(channels) / weight->numel() : 1;
    }
};

// The kind of statistics and of weights.
at::ScalarType wide_kind(const at::Tensor& x) {
    return x.scalar_type() == at::kBFloat16 ? at::kFloat : x.scalar_type();
}

// Whether a parameter is absent, or of the kind that x is computed with and in one piece.
bool fits(const Maybe& parameter, const at::Tensor& x) {
    return !is_given(parameter) || (parameter->scalar_type() == wide_kind(x) && parameter->is_contiguous());
}

bool is_ours(const at::Tensor& x) {
    const bool is_known = wide_kind(x) == at::kFloat || wide_kind(x) == at::kDouble;
    return is_known && x.dim() >= 2 && x.numel() > 0 && x.is_contiguous();
}

template <typename T>
T* changed(const Maybe& tensor) {
    return is_given(tensor) ? static_cast<T*>(tensor->mutable_data_ptr()) : nullptr;
}

template <typename T>
const T* numbers(const Maybe& tensor) {
    return is_given(tensor) ? static_cast<const T*>(tensor->const_data_ptr()) : nullptr;
}

// What belongs to a channel of every group.
template <typename T, size_t channels>
std::array<T, channels> of_group(const T* each, int64_t group, T absent) {
    std::array<T, channels> some;
    for (size_t channel = 0; channel < channels; ++channel) {
        some[channel] = each == nullptr ? absent : each[group * channels + channel];
    }
    return some;
}

template <typename Work>
void with_kind(const at::Tensor& x, const Work& work) {
    const auto with = [&](auto number) {
        if (blocks::may_be(x)) {
            work(number, std::integral_constant<size_t, blocks::width>());
        } else {
            work(number, std::integral_constant<size_t, 1>());
        }
    };
    switch (x.scalar_type()) {
        case at::kBFloat16:
            return with(Narrow());
        case at::kFloat:
            return with(float());
        default:
            return with(double());
    }
}

// libtorch knows neither maps in blocks nor batches that share weights.
void check_libtorchs(const at::Tensor& x, const Maybe& weight) {
    const bool shares = is_given(weight) && weight->numel() != x.size(1);
    TORCH_CHECK(
        !blocks::may_be(x) && !shares,
        "batch norm of maps in blocks, or of batches that share weights, wants numbers of one kind in one piece, and is differentiated by "
        "the batch's statistics alone");
}

int64_t all_channels(const at::Tensor& x) {
    return x.size(1) * (blocks::may_be(x) ? blocks::width : 1);
}

// Whoever calls this has not counted channels.
void check_sizes(const at::Tensor& x, const Maybe& weight, std::initializer_list<const Maybe*> shared, std::initializer_list<const Maybe*> own) {
    const int64_t all = all_channels(x), one = is_given(weight) ? weight->numel() : all;
    const int64_t least = blocks::may_be(x) ? blocks::width : 1;
    TORCH_CHECK(one > 0 && all % one == 0 && one % least == 0, "batch norm of ", all, " channels cannot have ", one, " weights");
    const auto check = [](const Maybe& given, int64_t count) {
        TORCH_CHECK(!is_given(given) || given->numel() == count, "batch norm wants ", count, " numbers and not ", given->numel());
    };
    for (const Maybe* each : shared) {
        check(*each, one);
    }
    for (const Maybe* each : own) {
        check(*each, all);
    }
}

struct Parameters {
    const Maybe &weight, &bias, &running_mean, &running_var;
    bool by_batch;
    double momentum, eps;
};

template <typename T, size_t channels>
void normalise(const at::Tensor& x, const Parameters& given, const at::Tensor& y, const at::Tensor& means, const at::Tensor& inverses) {
    using W = Wide<T>;
    const Shape<channels> shape(x, given.weight);
    const auto* in = static_cast<const T*>(x.const_data_ptr());
    auto* out = static_cast<T*>(y.mutable_data_ptr());
    auto *mean_out = changed<W>(means), *inverse_out = changed<W>(inverses);
    auto *old_mean = changed<W>(given.running_mean), *old_var = changed<W>(given.running_var);
    const auto follow = [&](W& old, double now) {
        if (shape.batches == 1) {
            old = static_cast<W>(given.momentum * now + (1 - given.momentum) * static_cast<double>(old));
        } else {
            // as `lerp_` rounds
            const W by = static_cast<W>(given.momentum), off = static_cast<W>(now) - old;
            old = rounds_once() ? std::fma(by, off, old) : old + by * off;
        }
    };
    shape.each_group([&](int64_t shared, int64_t group) {
        const auto of = shape.group(in, group);
        const auto weight = of_group<W, channels>(numbers<W>(given.weight), shared, 1);
        auto shift = of_group<W, channels>(numbers<W>(given.bias), shared, 0);
        Each<T, channels> by;
        if (given.by_batch) {
            Sums<channels> mean = total(of);
            Each<T, channels> centre;
            for (double& each : mean) {
                each /= shape.count();
            }
            const Sums<channels> off = squares(of, mean);
            for (size_t channel = 0; channel < channels; ++channel) {
                const size_t at = group * channels + channel, known = shared * channels + channel;
                const double inverse = 1 / std::sqrt(off[channel] / shape.count() + given.eps);
                mean_out[at] = centre[channel] = static_cast<W>(mean[channel]);
                inverse_out[at] = static_cast<W>(inverse);
                by[channel] = static_cast<W>(inverse * static_cast<double>(weight[channel]));
                if (old_mean != nullptr) {
                    follow(old_mean[known], mean[channel]);
                }
                if (old_var != nullptr) {
                    follow(old_var[known], off[channel] / (shape.count() - 1));
                }
            }
            scale(out + shape.begin(group), of, centre, by, shift);
        } else {
            const auto var = of_group<W, channels>(old_var, shared, 1);
            const auto mean = of_group<W, channels>(old_mean, shared, 0);
            // as libtorch normalises plain maps
            for (size_t channel = 0; channel < channels; ++channel) {
                by[channel] = 1 / std::sqrt(var[channel] + static_cast<W>(given.eps)) * weight[channel];
                shift[channel] = std::fma(-mean[channel], by[channel], shift[channel]);
            }
            move(out + shape.begin(group), of, by, shift);
        }
    });
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> native_batch_norm(
    const at::Tensor& x,
    const Maybe& weight,
    const Maybe& bias,
    const Maybe& running_mean,
    const Maybe& running_var,
    bool by_batch,
    double momentum,
    double eps) {
    const bool all_fit = fits(weight, x) && fits(bias, x) && fits(running_mean, x) && fits(running_var, x);
    if (!is_ours(x) || !all_fit || !(by_batch || blocks::may_be(x))) {
        check_libtorchs(x, weight);
        return at::native::batch_norm_cpu(x, weight, bias, running_mean, running_var, by_batch, momentum, eps);
    }
    check_sizes(x, weight, {&bias, &running_mean, &running_var}, {});
    const int64_t channels = by_batch ? all_channels(x) : 0;
    const at::Tensor y = at::empty_like(x);
    const at::Tensor means = at::empty({channels}, x.options().dtype(wide_kind(x)));
    const at::Tensor inverses = at::empty({channels}, means.options());
    const Parameters given{weight, bias, running_mean, running_var, by_batch, momentum, eps};
    with_kind(x, [&](auto number, auto width) {
        normalise<decltype(number), decltype(width)::value>(x, given, y, means, inverses);
    });
    return {y, means, inverses};
}

struct Gradients {
    at::Tensor of_x, of_weight, of_bias;
};

template <typename T, size_t channels>
void differentiate(
    const at::Tensor& of_y, const at::Tensor& x, const Maybe& weight, const Maybe& means, const Maybe& inverses, const Gradients& to) {
    using W = Wide<T>;
    const Shape<channels> shape(x, weight);
    const auto *in = static_cast<const T*>(x.const_data_ptr()), *dy = static_cast<const T*>(of_y.const_data_ptr());
    auto* dx = changed<T>(to.of_x);
    auto *to_weight = changed<W>(to.of_weight), *to_bias = changed<W>(to.of_bias);
    shape.each_group([&](int64_t shared, int64_t group) {
        const auto of = shape.group(in, group), of_dy = shape.group(dy, group);
        const auto mean = of_group<W, channels>(numbers<W>(means), group, 0);
        const auto inverse = of_group<W, channels>(numbers<W>(inverses), group, 1);
        const auto weights = of_group<W, channels>(numbers<W>(weight), shared, 1);
        Sums<channels> wide_mean;
        std::copy(mean.begin(), mean.end(), wide_mean.begin());
        const Sums<channels> all = total(of_dy), along = products(of, wide_mean, of_dy.x);
        Each<T, channels> slope, mean_dy, scaled;
        for (size_t channel = 0; channel < channels; ++channel) {
            const double by = static_cast<double>(inverse[channel]);
            slope[channel] = static_cast<W>(along[channel] * by * by / shape.count());
            mean_dy[channel] = static_cast<W>(all[channel] / shape.count());
            scaled[channel] = static_cast<W>(by * static_cast<double>(weights[channel]));
            const size_t at = shared * channels + channel;
            if (to_weight != nullptr) {
                to_weight[at] += static_cast<W>(along[channel] * by);
            }
            if (to_bias != nullptr) {
                to_bias[at] += static_cast<W>(all[channel]);
            }
        }
        if (dx != nullptr) {
            scale_back(dx + shape.begin(group), of, mean, slope, of_dy.x, mean_dy, scaled);
        }
    });
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> native_batch_norm_backward(
    const at::Tensor& of_y,
    const at::Tensor& x,
    const Maybe& weight,
    const Maybe& running_mean,
    const Maybe& running_var,
    const Maybe& means,
    const Maybe& inverses,
    bool by_batch,
    double eps,
    std::array<bool, 3> wanted) {
    const bool all_fit = fits(weight, x) && is_given(means) && fits(means, x) && is_given(inverses) && fits(inverses, x);
    if (!is_ours(x) || !by_batch || !all_fit || of_y.scalar_type() != x.scalar_type()) {
        check_libtorchs(x, weight);
        return at::native::batch_norm_backward_cpu(
            of_y, x, weight, running_mean, running_var, means, inverses, by_batch, eps, wanted);
    }
    check_sizes(x, weight, {}, {&means, &inverses});
    const auto of_channels = [&](const Maybe& weight) { return at::zeros({is_given(weight) ? weight->numel() : means->numel()}, means->options()); };
    const Gradients to{
        wanted[0] ? at::empty_like(x) : at::Tensor(),
        wanted[1] ? of_channels(weight) : at::Tensor(),
        wanted[2] ? of_channels(weight) : at::Tensor(),
    };
    const at::Tensor known = of_y.contiguous();
    with_kind(x, [&](auto number, auto width) {
        differentiate<decltype(number), decltype(width)::value>(known, x, weight, means, inverses, to);
    });
    return {to.of_x, to.of_weight, to.of_bias};
}

}  // namespace

void replace_batch_norm(torch::Library& kernels) {
    kernels.impl("native_batch_norm", native_batch_norm);
    kernels.impl("native_batch_norm_backward", native_batch_norm_backward);
}
