// The second derivative of convolutions on CPUs, which D's gradient penalty asks for, in the place of libtorch's. libtorch
// computes what reaches the weights as a convolution whose kernels are as large as the photo. It is the same sum as the weights'
// gradient of an ordinary convolution, for which there are fast kernels; its order is another.

#include <ATen/core/Tensor.h>
#include <ATen/ops/_convolution_double_backward_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>

#include "replace.h"

namespace {

// What reaches dL/dy, x and w of dL/dx = `of_y` convolved backwards with w, from what reaches dL/dx: `through_x`. Nothing reaches
// x. There is no third derivative.
std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_double_backward(
    const std::optional<at::Tensor>& through_x,
    const std::optional<at::Tensor>& through_weight,
    const std::optional<at::Tensor>& through_bias,
    const at::Tensor& of_y,
    const at::Tensor& weight,
    const at::Tensor& x,
    at::IntArrayRef stride,
    at::IntArrayRef padding,
    at::IntArrayRef dilation,
    bool transposed,
    at::IntArrayRef output_padding,
    int64_t groups,
    std::array<bool, 3> wanted) {
    const auto given = [](const std::optional<at::Tensor>& gradient) { return gradient && gradient->defined(); };
    if (!given(through_x) || given(through_weight) || given(through_bias)) {
        return at::native::_convolution_double_backward(
            through_x, through_weight, through_bias, of_y, weight, x, stride, padding, dilation, transposed, output_padding, groups, wanted);
    }
    at::Tensor to_y, to_x, to_weight;
    if (wanted[0]) {
        to_y = at::convolution(*through_x, weight, {}, stride, padding, dilation, transposed, output_padding, groups);
    }
    if (wanted[1]) {
        to_x = at::zeros_like(x);
    }
    if (wanted[2]) {
        to_weight = std::get<1>(at::convolution_backward(
            of_y, *through_x, weight, at::OptionalIntArrayRef(), stride, padding, dilation, transposed, output_padding, groups,
            {false, true, false}));
    }
    return {to_y, to_x, to_weight};
}

}  // namespace

void replace_second_derivative(torch::Library& kernels) {
    kernels.impl("_convolution_double_backward", convolution_double_backward);
}
