// Convolutions of oneDNN's that leave their maps in oneDNN's own order, blocks of sixteen channels, in the place of libtorch's
// `mkldnn_convolution` and `convolution_backward`. libtorch brings every map into that order and back, which costs as much as a
// seventh of the convolutions. The same kernels are called for the same numbers: the same bits. A map in blocks is a usual tensor of
// five dimensions, so that what is done number by number needs nothing of its own.

#include "blocks.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward_native.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mkldnn_convolution.h>
#include <ATen/ops/mkldnn_convolution_native.h>
#include <torch/library.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <tuple>
#include <vector>

#include "replace.h"
#include "rounding.h"

namespace at::native {
// libtorch has them for compiled models; no header names them
Tensor mkldnn_tensor_from_data_ptr(void*, IntArrayRef, ScalarType, Device, const uint8_t*, int64_t);
int64_t data_ptr_from_mkldnn(const Tensor&);
int64_t nbytes_from_mkldnn(const Tensor&);
}  // namespace at::native

namespace {

using blocks::width;

// oneDNN's description of a map, as libtorch hands it out. Which of its words say what was read off maps of known sizes;
// `Order` makes sure of it before anything relies on it.
class Description {
public:
    explicit Description(const at::Tensor& opaque) {
        static const auto asked = c10::Dispatcher::singleton()
                                      .findSchemaOrThrow("mkldnn::_get_mkldnn_serialized_md", "")
                                      .typed<at::Tensor(const at::Tensor&)>();
        const at::Tensor bytes = asked.call(opaque);
        bytes_.assign(bytes.const_data_ptr<uint8_t>(), bytes.const_data_ptr<uint8_t>() + bytes.numel());
        // what lies behind the kinds of numbers and of order, of 32 bits each, is nobody's
        for (const size_t word : {13, 39}) {
            std::memset(at(word) + sizeof(int32_t), 0, sizeof(int32_t));
        }
    }

    // The same order of another map.
    Description of(at::IntArrayRef size) const {
        Description other = *this;
        const std::array<int64_t, 4> strides{size[1] * size[2] * size[3], size[2] * size[3] * width, size[3] * width, width};
        for (size_t dim = 0; dim < 4; ++dim) {
            std::memcpy(other.at(1 + dim), &size[dim], sizeof(int64_t));
            std::memcpy(other.at(14 + dim), &size[dim], sizeof(int64_t));
            std::memcpy(other.at(40 + dim), &strides[dim], sizeof(int64_t));
        }
        return other;
    }

    bool operator==(const Description&) const = default;
    const uint8_t* data() const { return bytes_.data(); }
    int64_t size() const { return static_cast<int64_t>(bytes_.size()); }

private:
    uint8_t* at(size_t word) {
        TORCH_CHECK((word + 1) * sizeof(int64_t) <= bytes_.size(), "oneDNN describes maps otherwise");
        return bytes_.data() + word * sizeof(int64_t);
    }

    std::vector<uint8_t> bytes_;
};

// How convolutions of one kind of numbers leave their maps on this processor.
class Order {
public:
    // That of these numbers, where it is blocks.
    static const Order* of(at::ScalarType kind) {
        const auto known = [](const std::optional<Order>& order) { return order ? &*order : nullptr; };
        if (kind == at::kFloat) {
            static const std::optional<Order> wide = found(kind);
            return known(wide);
        }
        if (kind == at::kBFloat16) {
            static const std::optional<Order> narrow = found(kind);
            return known(narrow);
        }
        return nullptr;
    }

    // oneDNN's face of a map in blocks, which has to outlive it.
    at::Tensor opaque(const at::Tensor& x) const {
        const std::array<int64_t, 4> size{x.size(0), x.size(1) * width, x.size(2), x.size(3)};
        const Description described = description_.of(size);
        return at::native::mkldnn_tensor_from_data_ptr(
            x.data_ptr(), size, x.scalar_type(), x.device(), described.data(), described.size());
    }

    // A map of oneDNN's as one in blocks, whose memory it keeps where its order is that.
    at::Tensor transparent(const at::Tensor& opaque) const {
        const at::IntArrayRef size = opaque.sizes();
        if (Description(opaque) != description_.of(size)) {
            const at::Tensor plain = opaque.to_dense();
            return plain.view({size[0], size[1] / width, width, size[2], size[3]}).permute({0, 1, 3, 4, 2}).contiguous();
        }
        return seen(opaque);
    }

private:
    explicit Order(Description description) : description_(std::move(description)) {}

    static at::Tensor seen(const at::Tensor& opaque) {
        const at::IntArrayRef size = opaque.sizes();
        return at::from_blob(
            reinterpret_cast<void*>(at::native::data_ptr_from_mkldnn(opaque)),
            {size[0], size[1] / width, size[2], size[3], width},
            [opaque](void*) {},
            at::TensorOptions().dtype(opaque.scalar_type()));
    }

    // What a convolution leaves is looked at: its numbers are where blocks have them, and a description of one
    // map becomes that of another.
    static std::optional<Order> found(at::ScalarType kind) try {
        // batch norm by running statistics rounds so
        if (!rounds_once()) {
            return std::nullopt;
        }
        std::vector<Description> descriptions;
        const std::array<std::array<int64_t, 4>, 2> sizes{{{2, 64, 16, 8}, {3, 128, 9, 11}}};
        for (const auto& [photos, channels, height, columns] : sizes) {
            const auto some = [kind](at::IntArrayRef size) {
                return at::arange(c10::multiply_integers(size)).remainder(7).to(kind).view(size);
            };
            const at::Tensor x = some({photos, 64, height, columns}), weight = some({channels, 64, 3, 3});
            const std::array<int64_t, 2> one{1, 1};
            const at::Tensor opaque = at::native::mkldnn_convolution(x.to_mkldnn(), weight, {}, one, one, one, 1);
            const at::Tensor plain = at::native::mkldnn_convolution(x, weight, {}, one, one, one, 1);
            if (at::native::nbytes_from_mkldnn(opaque) != static_cast<int64_t>(plain.nbytes())) {
                return std::nullopt;
            }
            if (!at::equal(seen(opaque).permute({0, 1, 4, 2, 3}).reshape(plain.sizes()), plain)) {
                return std::nullopt;
            }
            descriptions.emplace_back(opaque);
        }
        if (descriptions[0].of(sizes[1]) != descriptions[1]) {
            return std::nullopt;
        }
        return Order(descriptions[0]);
    } catch (const std::exception&) {
        // libtorch or oneDNN: a processor without these numbers
        return std::nullopt;
    }

    Description description_;
};

// The order of a map that is in blocks.
const Order& order_of_blocks(const at::Tensor& x) {
    const Order* const order = Order::of(x.scalar_type());
    TORCH_CHECK(order != nullptr, "this processor convolves no maps in blocks of such numbers");
    return *order;
}

// The map as oneDNN takes it.
at::Tensor opaque(const at::Tensor& x) {
    return blocks::may_be(x) ? order_of_blocks(x).opaque(x) : x.squeeze(4).to_mkldnn();
}

// A map of four dimensions is convolved as libtorch does it, which calls this as well. One of five, in blocks of sixteen channels or
// of one, gives one in blocks of sixteen where this processor has that order and the channels fill them; else in blocks of one.
at::Tensor convolution(
    const at::Tensor& x,
    const at::Tensor& weight,
    const std::optional<at::Tensor>& bias,
    at::IntArrayRef padding,
    at::IntArrayRef stride,
    at::IntArrayRef dilation,
    int64_t groups) {
    if (!blocks::is_asked(x, weight)) {
        return at::native::mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups);
    }
    const Order* const known = x.scalar_type() == weight.scalar_type() ? Order::of(x.scalar_type()) : nullptr;
    const at::Tensor whole = x.contiguous();
    if (known != nullptr && weight.size(0) % width == 0) {
        return known->transparent(at::native::mkldnn_convolution(opaque(whole), weight, bias, padding, stride, dilation, groups));
    }
    const at::Tensor plain = blocks::may_be(x) ? opaque(whole).to_dense() : whole.squeeze(4);
    const std::vector<int64_t> none(padding.size(), 0);
    return at::convolution(plain, weight, bias, stride, padding, dilation, /*transposed=*/false, none, groups).unsqueeze(4);
}

// The same in 16 bits, where autocast is on.
at::Tensor cast_first(
    const at::Tensor& x,
    const at::Tensor& weight,
    const std::optional<at::Tensor>& bias,
    at::IntArrayRef padding,
    at::IntArrayRef stride,
    at::IntArrayRef dilation,
    int64_t groups) {
    const c10::impl::ExcludeDispatchKeyGuard once(c10::DispatchKey::AutocastCPU);
    if (!blocks::is_asked(x, weight)) {
        // whoever asks for usual convolutions has narrowed them, or does not want them narrow
        return at::mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups);
    }
    const auto narrow = [](const at::Tensor& of) {
        return at::autocast::cached_cast(at::autocast::get_autocast_dtype(at::kCPU), of, at::kCPU);
    };
    const std::optional<at::Tensor> of_bias = bias ? std::optional(narrow(*bias)) : std::nullopt;
    return at::mkldnn_convolution(narrow(x), narrow(weight), of_bias, padding, stride, dilation, groups);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& of_y,
    const at::Tensor& x,
    const at::Tensor& weight,
    at::OptionalIntArrayRef bias,
    at::IntArrayRef stride,
    at::IntArrayRef padding,
    at::IntArrayRef dilation,
    bool transposed,
    at::IntArrayRef output_padding,
    int64_t groups,
    std::array<bool, 3> wanted) {
    const auto backward = [&](const at::Tensor& of_y, const at::Tensor& x) {
        return at::native::convolution_backward(
            of_y, x, weight, bias, stride, padding, dilation, transposed, output_padding, groups, wanted);
    };
    if (!blocks::is_asked(x, weight)) {
        return backward(of_y, x);
    }
    const at::Tensor whole_of_y = of_y.contiguous(), whole = x.contiguous();
    if (!blocks::may_be(x) && !blocks::may_be(of_y)) {
        auto [of_x, of_weight, of_bias] = backward(whole_of_y.squeeze(4), whole.squeeze(4));
        return {of_x.defined() ? of_x.unsqueeze(4) : of_x, of_weight, of_bias};
    }
    auto [of_x, of_weight, of_bias] = backward(opaque(whole_of_y), opaque(whole));
    if (of_x.defined()) {
        of_x = blocks::may_be(x) ? order_of_blocks(x).transparent(of_x) : of_x.to_dense().unsqueeze(4);
    }
    return {of_x, of_weight, of_bias};
}

}  // namespace

void replace_convolution(torch::Library& kernels) {
    kernels.impl("mkldnn_convolution", convolution);
    kernels.impl("convolution_backward", convolution_backward);
}

void narrow_convolution(torch::Library& kernels) {
    kernels.impl("mkldnn_convolution", cast_first);
}
