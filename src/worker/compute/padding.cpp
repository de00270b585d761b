// Padding by reflection on CPUs, in the place of libtorch's, which computes the index of every number it copies: a tenth
// of a step. Rows are copied whole here. Values are equal to the last bit: a gradient is summed in the same order.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>

#include "replace.h"

namespace {

// Photos as rows of pixels: a pixel is one number where channels are apart in memory, all channels where they are side
// by side.
struct Shape {
    int64_t photos, rows, columns, pixel;
    int64_t left, right, top, bottom;

    Shape(const at::Tensor& x, at::IntArrayRef padding)
        : rows(x.size(2)),
          columns(x.size(3)),
          left(padding[0]),
          right(padding[1]),
          top(padding[2]),
          bottom(padding[3]) {
        TORCH_CHECK(
            std::min({left, right, top, bottom}) >= 0 && std::max(left, right) < columns && std::max(top, bottom) < rows,
            "reflection_pad2d: a border of ", padding, " does not fit photos of ", x.sizes());
        const bool together = x.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
        pixel = together ? x.size(1) : 1;
        photos = together ? x.size(0) : x.size(0) * x.size(1);
    }

    int64_t padded_rows() const { return rows + top + bottom; }
    int64_t padded_row() const { return (columns + left + right) * pixel; }
    int64_t row() const { return columns * pixel; }
    // the row that the padded photo shows at `at`
    int64_t source(int64_t at) const {
        const int64_t row = at < top ? top - at : at - top;
        return row < rows ? row : 2 * (rows - 1) - row;
    }
    // runs `work` on every photo
    template <typename Work>
    void each(const Work& work) const {
        const int64_t enough = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, padded_rows() * padded_row()));
        at::parallel_for(0, photos, enough, [&](int64_t from, int64_t to) {
            for (int64_t photo = from; photo < to; ++photo) {
                work(photo);
            }
        });
    }
};

template <typename T>
void pad(const Shape& shape, const T* photos, T* padded) {
    const int64_t pixel = shape.pixel, row = shape.row();
    shape.each([&](int64_t photo) {
        T* out = padded + photo * shape.padded_rows() * shape.padded_row();
        for (int64_t at = 0; at < shape.padded_rows(); ++at) {
            const T* in = photos + (photo * shape.rows + shape.source(at)) * row;
            for (int64_t k = shape.left; k > 0; --k, out += pixel) {
                std::copy_n(in + k * pixel, pixel, out);
            }
            out = std::copy_n(in, row, out);
            for (int64_t k = 2; k < shape.right + 2; ++k, out += pixel) {
                std::copy_n(in + row - k * pixel, pixel, out);
            }
        }
    });
}

template <typename T>
void add(T* __restrict sum, const T* __restrict values, int64_t count) {
    for (int64_t at = 0; at < count; ++at) {
        sum[at] += values[at];
    }
}

template <typename T>
void gradient(const Shape& shape, const T* of_padded, T* of_photos) {
    const int64_t pixel = shape.pixel, row = shape.row();
    shape.each([&](int64_t photo) {
        const T* in = of_padded + photo * shape.padded_rows() * shape.padded_row();
        std::fill_n(of_photos + photo * shape.rows * row, shape.rows * row, T(0));
        for (int64_t at = 0; at < shape.padded_rows(); ++at) {
            T* out = of_photos + (photo * shape.rows + shape.source(at)) * row;
            for (int64_t k = shape.left; k > 0; --k, in += pixel) {
                add(out + k * pixel, in, pixel);
            }
            add(out, in, row);
            in += row;
            for (int64_t k = 2; k < shape.right + 2; ++k, in += pixel) {
                add(out + row - k * pixel, in, pixel);
            }
        }
    });
}

at::Tensor reflection_pad2d(const at::Tensor& x, at::IntArrayRef padding) {
    if (x.dim() == 3) {
        return reflection_pad2d(x.unsqueeze(0), padding).squeeze(0);
    }
    TORCH_CHECK(x.dim() == 4 && padding.size() == 4, "reflection_pad2d: photos have three or four dimensions, borders are four");
    const Shape shape(x, padding);
    const auto format = x.suggest_memory_format();
    const at::Tensor photos = x.contiguous(format);
    const at::Tensor padded = at::empty(
        {x.size(0), x.size(1), shape.padded_rows(), x.size(3) + shape.left + shape.right}, x.options().memory_format(format));
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "reflection_pad2d", [&] {
        pad(shape, photos.const_data_ptr<scalar_t>(), padded.mutable_data_ptr<scalar_t>());
    });
    return padded;
}

at::Tensor reflection_pad2d_backward(const at::Tensor& of_padded, const at::Tensor& x, at::IntArrayRef padding) {
    if (x.dim() == 3) {
        return reflection_pad2d_backward(of_padded.unsqueeze(0), x.unsqueeze(0), padding).squeeze(0);
    }
    TORCH_CHECK(x.dim() == 4 && padding.size() == 4, "reflection_pad2d: photos have three or four dimensions, borders are four");
    const Shape shape(x, padding);
    const auto format = x.suggest_memory_format();
    TORCH_CHECK(
        of_padded.numel() == shape.photos * shape.padded_rows() * shape.padded_row(),
        "reflection_pad2d: ", of_padded.sizes(), " is not the gradient of padded ", x.sizes());
    const at::Tensor known = of_padded.contiguous(format);
    const at::Tensor of_photos = at::empty(x.sizes(), x.options().memory_format(format));
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "reflection_pad2d_backward", [&] {
        gradient(shape, known.const_data_ptr<scalar_t>(), of_photos.mutable_data_ptr<scalar_t>());
    });
    return of_photos;
}

}  // namespace

void replace_padding(torch::Library& kernels) {
    kernels.impl("reflection_pad2d", reflection_pad2d);
    kernels.impl("reflection_pad2d_backward", reflection_pad2d_backward);
}
