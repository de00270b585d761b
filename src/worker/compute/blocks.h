// Maps as oneDNN's convolutions have them in memory: (N, C, H, W) as (N, C / 16, H, W, 16). A plain map is one in blocks of one
// channel, (N, C, H, W, 1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace blocks {

constexpr int64_t width = 16;

// Whether a tensor has the dimensions of a map in blocks.
inline bool may_be(const at::Tensor& x) {
    return x.dim() == 5 && x.size(4) == width;
}

// Whether a convolution with these weights is asked for a map in blocks; usual weights have as many dimensions as their map.
inline bool is_asked(const at::Tensor& x, const at::Tensor& weight) {
    return x.dim() == 5 && weight.dim() == 4;
}

}  // namespace blocks
