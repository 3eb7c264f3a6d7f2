// One call for a whole list of tensors. On CUDA a call is a few kernels for all of them together, where their types
// agree; on the CPU libtorch takes them one after the other with the kernels of the single operation.

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_sub.h>

#include <vector>

namespace {

// The same numbers in the same order as in foreach.rs.
enum Op : int { Mul, MulEach, Sqrt, Norm, MulBy, MulEachBy, MulTensorBy, DivEachBy, AddNumber, Add, Sub, Lerp, AddCMul, AddCDiv };

std::vector<at::Tensor> tensors(void* const* list, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; i++) out.push_back(*static_cast<at::Tensor*>(list[i]));
  return out;
}

}  // namespace

extern "C" {

// `x` is changed in place, except by the first four, whose results are written to `out`, one new tensor for each of `x`.
int etude_foreach(int op, void* const* x, size_t nx, void* const* a, size_t na, void* const* b, size_t nb,
                  const double* number, size_t numbers, void** out, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    const auto xs = tensors(x, nx), as = tensors(a, na), bs = tensors(b, nb);
    const std::vector<at::Scalar> each(number, number + numbers);
    std::vector<at::Tensor> made;
    switch (static_cast<Op>(op)) {
      case Mul: made = at::_foreach_mul(xs, each.at(0)); break;
      case MulEach: made = at::_foreach_mul(xs, each); break;
      case Sqrt: made = at::_foreach_sqrt(xs); break;
      case Norm: made = at::_foreach_norm(xs); break;
      case MulBy: at::_foreach_mul_(xs, each.at(0)); break;
      case MulEachBy: at::_foreach_mul_(xs, each); break;
      case MulTensorBy: at::_foreach_mul_(xs, as.at(0)); break;
      case DivEachBy: at::_foreach_div_(xs, each); break;
      case AddNumber: at::_foreach_add_(xs, each.at(0)); break;
      case Add: at::_foreach_add_(xs, as); break;
      case Sub: at::_foreach_sub_(xs, as); break;
      case Lerp: at::_foreach_lerp_(xs, as, each.at(0)); break;
      case AddCMul: at::_foreach_addcmul_(xs, as, bs); break;
      case AddCDiv: at::_foreach_addcdiv_(xs, as, bs); break;
    }
    for (size_t i = 0; i < made.size(); i++) out[i] = new at::Tensor(std::move(made[i]));
  });
}

}  // extern "C"
