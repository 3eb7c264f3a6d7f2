// Host memory that a GPU copies from on a stream of its own, while the processor and the stream that computes go on.

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace {

// One stream for copies per device, kept as long as the process.
c10::Stream copy_stream(const c10::impl::VirtualGuardImpl& backend, c10::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = streams.find(device.index());
  if (found == streams.end()) {
    found = streams.emplace(device.index(), backend.getStreamFromGlobalPool(device)).first;
  }
  return found->second;
}

// Unless told that all went well, waits for a stream when it goes out of scope: a copy that nobody has an event for must
// not outlive the call that began it.
struct WaitUnlessDone {
  const c10::impl::VirtualGuardImpl& backend;
  c10::Stream stream;
  bool done = false;

  ~WaitUnlessDone() {
    if (done) return;
    try {
      backend.synchronizeStream(stream);
    } catch (...) {
      // The device is lost, and its copies with it; the reason is on its way up already.
    }
  }
};

}  // namespace

extern "C" {

// `numbers` zeros in host memory, in pages that stay where they are if `pinned`.
int etude_host_memory(int64_t numbers, int pinned, void** tensor, float** begin, char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    auto made = at::zeros({numbers}, at::TensorOptions().dtype(at::kFloat).device(at::kCPU).pinned_memory(pinned != 0));
    *begin = made.mutable_data_ptr<float>();
    *tensor = new at::Tensor(std::move(made));
  });
}

// The first numbers of `host` as a new tensor of this shape on a CUDA device. Returns at once: the copy runs on a stream of
// its own, the device's current stream waits for it, and `event` tells when `host` may be written to again.
int etude_copy_beside(const void* host, const int64_t* shape, size_t dims, int64_t device, void** tensor, void** event,
                      char* err, size_t err_len) {
  return guarded(err, err_len, [&] {
    const auto& from = *static_cast<const at::Tensor*>(host);
    const c10::Device to(at::kCUDA, static_cast<c10::DeviceIndex>(device));
    const c10::impl::VirtualGuardImpl backend(at::kCUDA);
    const c10::IntArrayRef sizes(shape, dims);
    const auto current = backend.getStream(to);
    const auto side = copy_stream(backend, to);
    auto copied = std::make_unique<c10::Event>(at::kCUDA);
    auto result = std::make_unique<at::Tensor>();
    WaitUnlessDone wait{backend, side};
    {
      // The memory of the result is allocated on the side stream too: no kernel before the copy can still be using it.
      const c10::StreamGuard on_side(side);
      *result = at::empty(sizes, at::TensorOptions().dtype(at::kFloat).device(to));
      result->copy_(from.narrow(0, 0, result->numel()).view(sizes), /*non_blocking=*/true);
      copied->record(side);
    }
    copied->block(current);
    // When the result is freed, its memory is not given to another copy before the kernels that read it have ended.
    result->record_stream(current);
    wait.done = true;
    *tensor = result.release();
    *event = copied.release();
  });
}

int etude_event_wait(const void* event, char* err, size_t err_len) {
  return guarded(err, err_len, [&] { static_cast<const c10::Event*>(event)->synchronize(); });
}

// Writes 1 if the event has come, otherwise 0.
int etude_event_done(const void* event, int* done, char* err, size_t err_len) {
  return guarded(err, err_len, [&] { *done = static_cast<const c10::Event*>(event)->query() ? 1 : 0; });
}

void etude_event_free(void* event) { delete static_cast<c10::Event*>(event); }

}  // extern "C"
