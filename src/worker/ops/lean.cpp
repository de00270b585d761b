// Operations of libtorch's that keep less for the way back: a leaky ReLU keeps its result, which the convolution after it keeps
// anyway, and a convolution keeps its map without the border. Their gradients are made of libtorch's operations, so they
// have gradients of their own. The same values, to the last bit; under autocast borders are padded, and added up, in 16 bits.

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/leaky_relu_backward.h>
#include <ATen/ops/reflection_pad2d.h>
#include <ATen/ops/reflection_pad2d_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cstdint>
#include <vector>

#include "reason.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct LeakyRelu : Function<LeakyRelu> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double slope) {
        const at::Tensor y = at::leaky_relu(x, slope);
        context->save_for_backward({y});
        context->saved_data["slope"] = slope;
        return y;
    }

    static variable_list backward(AutogradContext* context, const variable_list& of_output) {
        const at::Tensor y = context->get_saved_variables()[0];
        return {at::leaky_relu_backward(of_output[0], y, context->saved_data["slope"].toDouble(), /*self_is_result=*/true), at::Tensor()};
    }
};

// Of a convolution the numbers that are alike in height and width.
struct Shape {
    int64_t border, stride, dilation;

    at::Tensor with_border(const at::Tensor& x) const { return at::reflection_pad2d(x, frame()); }
    std::array<int64_t, 4> frame() const { return {border, border, border, border}; }
    std::array<int64_t, 2> strides() const { return {stride, stride}; }
    std::array<int64_t, 2> dilations() const { return {dilation, dilation}; }
};

constexpr std::array<int64_t, 2> none = {0, 0};

// What a convolution narrows its map to.
at::ScalarType convolved_kind(const at::Tensor& x) {
    const auto device = x.device().type();
    const bool is_narrowed = at::autocast::is_autocast_enabled(device) && x.scalar_type() == at::kFloat;
    return is_narrowed ? at::autocast::get_autocast_dtype(device) : x.scalar_type();
}

struct ReflectedConvolution : Function<ReflectedConvolution> {
    static at::Tensor forward(
        AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Shape& shape) {
        context->save_for_backward({x, weight, bias});
        context->saved_data["shape"] = std::vector<int64_t>{shape.border, shape.stride, shape.dilation};
        const auto kind = convolved_kind(x);
        // autocast would widen what is padded, for nothing
        const c10::impl::ExcludeDispatchKeyGuard as_given(c10::autocast_dispatch_keyset);
        return at::conv2d(shape.with_border(x.to(kind)), weight.to(kind), bias.to(kind), shape.strides(), none, shape.dilations());
    }

    static variable_list backward(AutogradContext* context, const variable_list& of_output) {
        const variable_list saved = context->get_saved_variables();
        const std::vector<int64_t> numbers = context->saved_data["shape"].toIntVector();
        const Shape shape{numbers[0], numbers[1], numbers[2]};
        const at::Tensor &of_y = of_output[0], &x = saved[0], &weight = saved[1], &bias = saved[2];
        const std::array<bool, 3> wanted = {
            context->needs_input_grad(0), context->needs_input_grad(1), context->needs_input_grad(2)};
        const auto kind = of_y.scalar_type();
        const at::Tensor convolved = x.to(kind);
        auto [of_padded, of_weight, of_bias] = at::convolution_backward(
            of_y, shape.with_border(convolved), weight.to(kind), bias.sizes(), shape.strides(), none, shape.dilations(),
            /*transposed=*/false, none, /*groups=*/1, wanted);
        return {
            wanted[0] ? at::reflection_pad2d_backward(of_padded, convolved, shape.frame()).to(x.scalar_type()) : at::Tensor(),
            wanted[1] ? of_weight.to(weight.scalar_type()) : at::Tensor(),
            wanted[2] ? of_bias.to(bias.scalar_type()) : at::Tensor(),
            at::Tensor(),
        };
    }
};

}  // namespace

extern "C" {

// Null, and why.
at::Tensor* dgnet_leaky_relu(const at::Tensor* x, double slope, const char** why) {
    at::Tensor* y = nullptr;
    *why = reason([&] { y = new at::Tensor(LeakyRelu::apply(*x, slope)); });
    return y;
}

// Null, and why.
at::Tensor* dgnet_reflected_convolution(
    const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, int64_t border, int64_t stride, int64_t dilation, const char** why) {
    at::Tensor* y = nullptr;
    *why = reason([&] { y = new at::Tensor(ReflectedConvolution::apply(*x, *weight, *bias, Shape{border, stride, dilation})); });
    return y;
}

}
