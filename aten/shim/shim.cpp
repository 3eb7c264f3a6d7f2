// What tch does not bind. No CUDA header is needed: CUDA is reached through libtorch's own device-independent interfaces,
// and only after libtorch_cuda.so has been opened.

#include "guarded.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/headeronly/version.h>

#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <mutex>

namespace {

// index < 0 is the CPU, otherwise the CUDA device of that number.
at::Generator generator(int64_t index) {
  const auto device = index < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  return at::globalContext().defaultGenerator(device);
}

}  // namespace

extern "C" {

const char* etude_torch_version() { return TORCH_VERSION; }

// The path of the shared library that holds ATen's CPU code.
int etude_torch_path(char* out, size_t out_len, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    Dl_info info;
    auto symbol = reinterpret_cast<void*>(&at::globalContext);
    TORCH_CHECK(dladdr(symbol, &info) != 0 && info.dli_fname != nullptr, "the loader does not know where ATen lives");
    copy_text(info.dli_fname, out, out_len);
  });
}

// With out == nullptr only the length is reported.
int etude_rng_state(int64_t device, uint8_t* out, size_t* len, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    auto gen = generator(device);
    std::lock_guard<std::mutex> lock(gen.mutex());
    const auto state = gen.get_state().contiguous();
    const auto bytes = static_cast<size_t>(state.nbytes());
    if (out != nullptr) {
      TORCH_CHECK(*len == bytes, "expected room for ", bytes, " bytes, got ", *len);
      std::memcpy(out, state.data_ptr(), bytes);
    }
    *len = bytes;
  });
}

int etude_set_rng_state(int64_t device, const uint8_t* data, size_t len, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    auto gen = generator(device);
    auto state = at::empty({static_cast<int64_t>(len)}, at::kByte);
    std::memcpy(state.data_ptr(), data, len);
    std::lock_guard<std::mutex> lock(gen.mutex());
    gen.set_state(state);
  });
}

int etude_deterministic(int on, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    auto& ctx = at::globalContext();
    ctx.setDeterministicAlgorithms(on != 0, /*warn_only=*/false);
    ctx.setDeterministicCuDNN(on != 0);
    if (on) ctx.setBenchmarkCuDNN(false);
  });
}

int etude_is_deterministic() { return at::globalContext().deterministicAlgorithms() ? 1 : 0; }

int etude_tf32(int on, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    at::globalContext().setAllowTF32CuBLAS(on != 0);
    at::globalContext().setAllowTF32CuDNN(on != 0);
  });
}

int etude_is_tf32() {
  auto& ctx = at::globalContext();
  return ctx.allowTF32CuBLAS() && ctx.allowTF32CuDNN() ? 1 : 0;
}

// out: allocated now, allocated at most, reserved now, reserved at most; bytes.
int etude_cuda_memory(int64_t device, int64_t* out, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    auto* allocator = c10::getDeviceAllocator(at::kCUDA);
    const auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    out[0] = stats.allocated_bytes[all].current;
    out[1] = stats.allocated_bytes[all].peak;
    out[2] = stats.reserved_bytes[all].current;
    out[3] = stats.reserved_bytes[all].peak;
  });
}

int etude_cuda_reset_peak(int64_t device, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    c10::getDeviceAllocator(at::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(device));
  });
}

// Afterwards the tensor has no gradient.
int etude_clear_grad(void* tensor, char* err, size_t err_len) {
  return guarded(err, err_len, [&] { static_cast<at::Tensor*>(tensor)->mutable_grad().reset(); });
}

// Turns autocast to bfloat16 on or off for this thread; `before` receives what was there: on or off, type.
int etude_autocast_enter(int cuda, int on, int* before, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    before[0] = at::autocast::is_autocast_enabled(device) ? 1 : 0;
    before[1] = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_enabled(device, on != 0);
    if (on) at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::increment_nesting();
  });
}

int etude_autocast_is_on(int cuda) {
  return at::autocast::is_autocast_enabled(cuda ? at::kCUDA : at::kCPU) ? 1 : 0;
}

// Undoes etude_autocast_enter; the outermost one drops the converted weights.
int etude_autocast_leave(int cuda, const int* before, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, before[0] != 0);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(before[1]));
  });
}

}  // extern "C"
