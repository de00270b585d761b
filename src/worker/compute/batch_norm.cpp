// Batch norm by the batch's own statistics on CPUs, in the place of libtorch's, which adds numbers one by one, each waiting for the
// last. Here they are added in lanes, whose number does not depend on the processor. Everything else stays libtorch's: normalising by
// running statistics, other layouts, narrower numbers.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/native_batch_norm_backward_native.h>
#include <ATen/ops/native_batch_norm_native.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <tuple>

#include "replace.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

namespace {

using Maybe = std::optional<at::Tensor>;

constexpr int64_t lanes = 16;

// The sum of what `value` gives at places from 0 to `pixels`, `step` further for each photo.
template <typename Value>
[[gnu::always_inline]] inline double sum(int64_t photos, int64_t step, int64_t pixels, const Value& value) {
    double parts[lanes] = {};
    for (int64_t photo = 0; photo < photos; ++photo) {
        int64_t at = photo * step;
        const int64_t end = at + pixels;
        for (; at + lanes <= end; at += lanes) {
            for (int64_t lane = 0; lane < lanes; ++lane) {
                parts[lane] += value(at + lane);
            }
        }
        if (at + lanes / 2 <= end) {
            for (int64_t lane = 0; lane < lanes / 2; ++lane) {
                parts[lane] += value(at + lane);
            }
            at += lanes / 2;
        }
        for (; at < end; ++at) {
            parts[at % (lanes / 2)] += value(at);
        }
    }
    for (int64_t width = lanes / 2; width > 0; width /= 2) {
        for (int64_t lane = 0; lane < width; ++lane) {
            parts[lane] += parts[lane + width];
        }
    }
    return parts[0];
}

// What batch norm adds up of one channel.
template <typename T>
struct Channel {
    const T* x;
    int64_t photos, step, pixels;
};

template <typename T>
FOR_EVERY_PROCESSOR double total(const Channel<T>& of) {
    const T* x = of.x;
    return sum(of.photos, of.step, of.pixels, [x](int64_t at) { return static_cast<double>(x[at]); });
}

template <typename T>
FOR_EVERY_PROCESSOR double squares(const Channel<T>& of, double mean) {
    const T* x = of.x;
    return sum(of.photos, of.step, of.pixels, [x, mean](int64_t at) {
        const double off = static_cast<double>(x[at]) - mean;
        return off * off;
    });
}

template <typename T>
FOR_EVERY_PROCESSOR double products(const Channel<T>& of, double mean, const T* dy) {
    const T* x = of.x;
    return sum(of.photos, of.step, of.pixels, [x, mean, dy](int64_t at) {
        return (static_cast<double>(x[at]) - mean) * static_cast<double>(dy[at]);
    });
}

template <typename T>
FOR_EVERY_PROCESSOR void scale(T* __restrict y, const Channel<T>& of, T mean, T by, T shift) {
    for (int64_t photo = 0; photo < of.photos; ++photo) {
        const int64_t from = photo * of.step;
        for (int64_t at = from; at < from + of.pixels; ++at) {
            y[at] = (of.x[at] - mean) * by + shift;
        }
    }
}

template <typename T>
FOR_EVERY_PROCESSOR void scale_back(T* __restrict dx, const Channel<T>& of, T mean, T along, const T* __restrict dy, T mean_dy, T by) {
    for (int64_t photo = 0; photo < of.photos; ++photo) {
        const int64_t from = photo * of.step;
        for (int64_t at = from; at < from + of.pixels; ++at) {
            dx[at] = (dy[at] - mean_dy - (of.x[at] - mean) * along) * by;
        }
    }
}

// x as photos of channels of pixels.
struct Shape {
    int64_t photos, channels, pixels;

    explicit Shape(const at::Tensor& x)
        : photos(x.size(0)), channels(x.size(1)), pixels(x.numel() / std::max<int64_t>(1, photos * channels)) {}

    double count() const { return static_cast<double>(photos * pixels); }
    // a channel of photos that begin at x; others of the same shape have it at the same places
    template <typename T>
    Channel<T> channel(const T* x, int64_t channel) const {
        return {x + channel * pixels, photos, channels * pixels, pixels};
    }
    template <typename Work>
    void each_channel(const Work& work) const {
        const int64_t enough = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, photos * pixels));
        at::parallel_for(0, channels, enough, [&](int64_t from, int64_t to) {
            for (int64_t channel = from; channel < to; ++channel) {
                work(channel);
            }
        });
    }
};

bool is_given(const Maybe& tensor) {
    return tensor.has_value() && tensor->defined();
}

// Whether a parameter is absent, or of x's kind and in one piece.
bool fits(const Maybe& parameter, const at::Tensor& x) {
    return !is_given(parameter) || (parameter->scalar_type() == x.scalar_type() && parameter->is_contiguous());
}

bool is_ours(const at::Tensor& x, bool by_batch) {
    const bool is_wide = x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble;
    return by_batch && is_wide && x.dim() >= 2 && x.numel() > 0 && x.is_contiguous();
}

template <typename T>
const T* numbers(const Maybe& tensor) {
    return is_given(tensor) ? tensor->const_data_ptr<T>() : nullptr;
}

template <typename T>
T* changed(const Maybe& tensor) {
    return is_given(tensor) ? tensor->mutable_data_ptr<T>() : nullptr;
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
    if (!is_ours(x, by_batch) || !all_fit) {
        return at::native::batch_norm_cpu(x, weight, bias, running_mean, running_var, by_batch, momentum, eps);
    }
    const Shape shape(x);
    const at::Tensor y = at::empty_like(x);
    const at::Tensor means = at::empty({shape.channels}, x.options());
    const at::Tensor inverses = at::empty({shape.channels}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "native_batch_norm", [&] {
        const auto *in = x.const_data_ptr<scalar_t>(), *weights = numbers<scalar_t>(weight), *biases = numbers<scalar_t>(bias);
        auto *out = y.mutable_data_ptr<scalar_t>(), *mean_out = means.mutable_data_ptr<scalar_t>();
        auto *inverse_out = inverses.mutable_data_ptr<scalar_t>();
        auto *old_mean = changed<scalar_t>(running_mean), *old_var = changed<scalar_t>(running_var);
        const auto follow = [momentum](scalar_t& old, double now) {
            old = static_cast<scalar_t>(momentum * now + (1 - momentum) * static_cast<double>(old));
        };
        shape.each_channel([&](int64_t channel) {
            const auto of = shape.channel(in, channel);
            const double mean = total(of) / shape.count();
            const double off = squares(of, mean), inverse = 1 / std::sqrt(off / shape.count() + eps);
            mean_out[channel] = static_cast<scalar_t>(mean);
            inverse_out[channel] = static_cast<scalar_t>(inverse);
            if (old_mean != nullptr) {
                follow(old_mean[channel], mean);
            }
            if (old_var != nullptr) {
                follow(old_var[channel], off / (shape.count() - 1));
            }
            const auto by = static_cast<scalar_t>(weights == nullptr ? inverse : inverse * static_cast<double>(weights[channel]));
            const auto shift = biases == nullptr ? scalar_t(0) : biases[channel];
            scale(out + channel * shape.pixels, of, mean_out[channel], by, shift);
        });
    });
    return {y, means, inverses};
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
    if (!is_ours(x, by_batch) || !all_fit || of_y.scalar_type() != x.scalar_type()) {
        return at::native::batch_norm_backward_cpu(
            of_y, x, weight, running_mean, running_var, means, inverses, by_batch, eps, wanted);
    }
    const Shape shape(x);
    const at::Tensor known = of_y.contiguous();
    at::Tensor of_x, of_weight, of_bias;
    if (wanted[0]) {
        of_x = at::empty_like(x);
    }
    if (wanted[1]) {
        of_weight = at::empty({shape.channels}, x.options());
    }
    if (wanted[2]) {
        of_bias = at::empty({shape.channels}, x.options());
    }
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "native_batch_norm_backward", [&] {
        const auto *in = x.const_data_ptr<scalar_t>(), *dy = known.const_data_ptr<scalar_t>();
        const auto *mean = numbers<scalar_t>(means), *inverse = numbers<scalar_t>(inverses), *weights = numbers<scalar_t>(weight);
        auto *dx = changed<scalar_t>(of_x), *to_weight = changed<scalar_t>(of_weight), *to_bias = changed<scalar_t>(of_bias);
        shape.each_channel([&](int64_t channel) {
            const auto of = shape.channel(in, channel), of_dy = shape.channel(dy, channel);
            const double by = static_cast<double>(inverse[channel]), all = total(of_dy);
            const double along = products(of, static_cast<double>(mean[channel]), of_dy.x);
            if (to_weight != nullptr) {
                to_weight[channel] = static_cast<scalar_t>(along * by);
            }
            if (to_bias != nullptr) {
                to_bias[channel] = static_cast<scalar_t>(all);
            }
            if (dx == nullptr) {
                return;
            }
            const auto slope = static_cast<scalar_t>(along * by * by / shape.count());
            const auto mean_dy = static_cast<scalar_t>(all / shape.count());
            const auto scaled = static_cast<scalar_t>(weights == nullptr ? by : by * static_cast<double>(weights[channel]));
            scale_back(dx + channel * shape.pixels, of, mean[channel], slope, of_dy.x, mean_dy, scaled);
        });
    });
    return {of_x, of_weight, of_bias};
}

}  // namespace

void replace_batch_norm(torch::Library& kernels) {
    kernels.impl("native_batch_norm", native_batch_norm);
    kernels.impl("native_batch_norm_backward", native_batch_norm_backward);
}
