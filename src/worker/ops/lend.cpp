// One forward pass for two uses: a network in training lends what it computed to its frozen copy.

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "reason.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Lend : torch::autograd::Function<Lend> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& borrower, const at::Tensor& from, const at::Tensor& to) {
        context->save_for_backward({from, to});
        // only as a value: gradients of this one are the borrower's
        return to.detach();
    }

    // The lender's own gradients start after this: `to` is an input here, so its graph is still whole.
    static variable_list backward(AutogradContext* context, const variable_list& of_output) {
        if (!context->needs_input_grad(0) || !of_output[0].defined()) {
            return {at::Tensor(), at::Tensor(), at::Tensor()};
        }
        const variable_list saved = context->get_saved_variables();
        variable_list to_borrower = torch::autograd::grad({saved[1]}, {saved[0]}, {of_output[0]}, /*retain_graph=*/true);
        return {to_borrower[0], at::Tensor(), at::Tensor()};
    }
};

}  // namespace

extern "C" {

// `to`, which the lender computed from `from`, as the value that its frozen copy computes from `borrower`. Null, and why.
at::Tensor* dgnet_lend(const at::Tensor* borrower, const at::Tensor* from, const at::Tensor* to, const char** why) {
    at::Tensor* lent = nullptr;
    *why = reason([&] { lent = new at::Tensor(Lend::apply(*borrower, *from, *to)); });
    return lent;
}

}
