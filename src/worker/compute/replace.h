// Kernels that are put in the place of libtorch's on CPUs, one file each.
#pragma once

#include <torch/library.h>

void replace_batch_norm(torch::Library& kernels);
void replace_convolution(torch::Library& kernels);
void replace_padding(torch::Library& kernels);
void replace_second_derivative(torch::Library& kernels);

// In the place of libtorch's where autocast narrows what it is given.
void narrow_convolution(torch::Library& kernels);
