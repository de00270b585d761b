// The optimizers' steps on CPUs in one or two passes over memory, where libtorch makes one for every operation. Operations and
// their roundings are libtorch's, so bits are equal: see `Adam::step_by_tensors` and `Sgd::step_by_tensors`.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/sqrt.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>

#include "reason.h"
#include "rounding.h"

extern "C" {

// What is the same for all parameters.
struct AdamNumbers {
    double decay, mean_share, square_kept, square_share, rate, correction, epsilon;
};

struct SgdNumbers {
    double decay, momentum, rate;
};

}

namespace {

template <typename T>
struct Moments {
    T *mean, *square;
    const T *gradients, *values;
    T decay, mean_share, square_kept, square_share;
};

template <typename T>
struct Move {
    T* values;
    const T *mean, *root;
    T rate, correction, epsilon;
};

template <typename T>
struct Sgd {
    T *values, *velocity;
    const T* gradients;
    T decay, momentum, rate;
};

// a * b + c as libtorch computes it where an operation of it is both: rounded once, if the processor can
template <bool once, typename T>
[[gnu::always_inline]] inline T multiply_add(T a, T b, T c) {
    if constexpr (once && sizeof(T) == sizeof(float)) {
        return __builtin_fmaf(a, b, c);
    } else if constexpr (once) {
        return __builtin_fma(a, b, c);
    } else {
        return a * b + c;
    }
}

template <bool once, typename T>
[[gnu::always_inline]] inline void step(const Moments<T>& of, int64_t from, int64_t to) {
    T* __restrict const means = of.mean;
    T* __restrict const squares = of.square;
    const T* __restrict const gradients = of.gradients;
    const T* __restrict const values = of.values;
    const Moments<T> numbers = of;
    for (int64_t at = from; at < to; ++at) {
        const T gradient = gradients[at] + values[at] * numbers.decay;
        // from the nearer end
        const T apart = gradient - means[at];
        means[at] = std::abs(numbers.mean_share) < T(0.5)
            ? multiply_add<once>(numbers.mean_share, apart, means[at])
            : multiply_add<once>(numbers.mean_share - T(1), apart, gradient);
        squares[at] = squares[at] * numbers.square_kept + gradient * gradient * numbers.square_share;
    }
}

template <bool once, typename T>
[[gnu::always_inline]] inline void step(const Move<T>& of, int64_t from, int64_t to) {
    T* __restrict const values = of.values;
    const T* __restrict const means = of.mean;
    const T* __restrict const roots = of.root;
    const Move<T> numbers = of;
    for (int64_t at = from; at < to; ++at) {
        const T denominator = roots[at] / numbers.correction + numbers.epsilon;
        values[at] -= means[at] / denominator * numbers.rate;
    }
}

template <bool once, typename T>
[[gnu::always_inline]] inline void step(const Sgd<T>& of, int64_t from, int64_t to) {
    T* __restrict const values = of.values;
    T* __restrict const velocities = of.velocity;
    const T* __restrict const gradients = of.gradients;
    const Sgd<T> numbers = of;
    for (int64_t at = from; at < to; ++at) {
        const T gradient = gradients[at] + values[at] * numbers.decay;
        const T velocity = velocities[at] * numbers.momentum + gradient;
        velocities[at] = velocity;
        values[at] -= (gradient + velocity * numbers.momentum) * numbers.rate;
    }
}

#if defined(__x86_64__)
// libtorch's kernels with AVX, as which these round, have both
#define ROUNDED_ONCE [[gnu::target("avx2,fma")]]
#else
#define ROUNDED_ONCE
#endif

template <typename Kind>
ROUNDED_ONCE void step_once(const Kind& of, int64_t from, int64_t to) {
    step<true>(of, from, to);
}

template <typename Kind>
void step_twice(const Kind& of, int64_t from, int64_t to) {
    step<false>(of, from, to);
}

template <typename Kind>
void step_all(const Kind& of, int64_t count) {
    const auto work = rounds_once() ? step_once<Kind> : step_twice<Kind>;
    at::parallel_for(0, count, 32768, [&](int64_t from, int64_t to) { work(of, from, to); });
}

template <typename T>
T* numbers_of(const at::Tensor& tensor, const at::Tensor& values) {
    TORCH_CHECK(
        tensor.is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == values.scalar_type() && tensor.numel() == values.numel(),
        "an optimizer's state does not fit its parameters");
    return tensor.mutable_data_ptr<T>();
}

}  // namespace

extern "C" {

const char* dgnet_adam(
    const at::Tensor* values, const at::Tensor* gradients, const at::Tensor* mean, const at::Tensor* square, const AdamNumbers* n) {
    return reason([&] {
        AT_DISPATCH_FLOATING_TYPES(values->scalar_type(), "adam", [&] {
            using T = scalar_t;
            const int64_t count = values->numel();
            TORCH_CHECK(!values->is_alias_of(*mean) && !values->is_alias_of(*square) && !mean->is_alias_of(*square), "one tensor twice");
            T* const moved = numbers_of<T>(*values, *values);
            T* const means = numbers_of<T>(*mean, *values);
            step_all(
                Moments<T>{
                    means, numbers_of<T>(*square, *values), numbers_of<T>(*gradients, *values), moved, T(n->decay),
                    T(n->mean_share), T(n->square_kept), T(n->square_share)},
                count);
            // its roots are not always the nearest numbers
            const at::Tensor roots = square->sqrt();
            step_all(
                Move<T>{moved, means, roots.const_data_ptr<T>(), T(n->rate), T(n->correction), T(n->epsilon)}, count);
        });
    });
}

const char* dgnet_sgd(const at::Tensor* values, const at::Tensor* gradients, const at::Tensor* velocity, const SgdNumbers* n) {
    return reason([&] {
        AT_DISPATCH_FLOATING_TYPES(values->scalar_type(), "sgd", [&] {
            using T = scalar_t;
            TORCH_CHECK(!values->is_alias_of(*velocity), "one tensor twice");
            const Sgd<T> sgd{
                numbers_of<T>(*values, *values), numbers_of<T>(*velocity, *values), numbers_of<T>(*gradients, *values),
                T(n->decay), T(n->momentum), T(n->rate)};
            step_all(sgd, values->numel());
        });
    });
}

}
