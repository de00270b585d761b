// What libtorch offers in C++ alone: global switches of arithmetic, autocast, its GPU half, and recorded kernels.
// The safe faces are mod.rs and recording.rs. Kernels of ours are put in the place of libtorch's from here.

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <torch/library.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "reason.h"
#include "replace.h"

namespace {

// libtorch warns of kernels that are replaced; here that is what is wanted.
struct Quiet : c10::WarningHandler {
    void process(const c10::Warning&) override {}
};

// before main, so that every program of this crate computes alike
[[maybe_unused]] const torch::Library replaced = [] {
    Quiet quiet;
    const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
    torch::Library kernels{torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__};
    replace_batch_norm(kernels);
    replace_convolution(kernels);
    replace_padding(kernels);
    replace_second_derivative(kernels);
    return kernels;
}();

[[maybe_unused]] const torch::Library narrowed = [] {
    torch::Library kernels{torch::Library::IMPL, "aten", c10::DispatchKey::AutocastCPU, __FILE__, __LINE__};
    narrow_convolution(kernels);
    return kernels;
}();

using Pool = std::pair<unsigned long long, unsigned long long>;

template <typename Function>
Function* method(const char* name) {
    static void* const library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
    void* found = library == nullptr ? nullptr : dlsym(library, name);
    if (found == nullptr) {
        throw std::runtime_error(std::string("this libtorch has no ") + name);
    }
    return reinterpret_cast<Function*>(found);
}

// at::cuda::CUDAGraph, whose header needs CUDA's to be compiled. In libtorch 2.11 it is a few hundred bytes; its methods are
// called by their names in the library, and one that is missing is an error, not a crash.
class Graph {
public:
    explicit Graph(const Graph* beside)
        : replay_(method<void(void*)>("_ZN2at4cuda9CUDAGraph6replayEv")),
          end_(method<void(void*)>("_ZN2at4cuda9CUDAGraph11capture_endEv")),
          destroy_(method<void(void*)>("_ZN2at4cuda9CUDAGraphD1Ev")),
          pool_(method<Pool(void*)>("_ZN2at4cuda9CUDAGraph4poolEv")) {
        const auto construct = method<void(void*, bool)>("_ZN2at4cuda9CUDAGraphC1Eb");
        const auto begin = method<void(void*, Pool, int)>(
            "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
        const Pool pool = beside == nullptr ? Pool{0, 0} : beside->pool_(const_cast<std::byte*>(beside->graph_));
        construct(graph_, false);
        constexpr int this_thread = 1;  // others may copy photos meanwhile
        try {
            begin(graph_, pool, this_thread);
        } catch (...) {
            destroy_(graph_);
            throw;
        }
    }
    ~Graph() { destroy_(graph_); }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    void end() { end_(graph_); }
    void replay() { replay_(graph_); }

private:
    void (*replay_)(void*);
    void (*end_)(void*);
    void (*destroy_)(void*);
    Pool (*pool_)(void*);
    alignas(std::max_align_t) std::byte graph_[4096];
};

}  // namespace

extern "C" {

// Loads libtorch's GPU half; its static initialisers register it. Null, or why not.
const char* dgnet_load_cuda() {
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        return dlerror();
    }
    // solvers are looked up by name; nothing here fails without them
    dlopen("libtorch_cuda_linalg.so", RTLD_NOW | RTLD_GLOBAL);
    return nullptr;
}

void dgnet_allow_tf32(bool allow) {
    at::globalContext().setAllowTF32CuBLAS(allow);
    at::globalContext().setAllowTF32CuDNN(allow);
}

void dgnet_deterministic(bool on) {
    // only warned about: nearest upsampling's gradient has no deterministic kernel on every device
    at::globalContext().setDeterministicAlgorithms(on, true);
    at::globalContext().setDeterministicCuDNN(on);
    at::globalContext().setBenchmarkCuDNN(!on);
}

// From now on this thread works on this card and on a stream of its own: the usual one cannot be recorded.
const char* dgnet_own_stream(int card) {
    return reason([card] {
        const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
        const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(card));
        guard.setDevice(device);
        guard.exchangeStream(guard.getStreamFromGlobalPool(device));
    });
}

void dgnet_release_memory() {
    reason([] { c10::getDeviceAllocator(c10::DeviceType::CUDA)->emptyCache(); });
}

void* dgnet_record_begin(const void* beside, const char** why) {
    Graph* graph = nullptr;
    *why = reason([&] { graph = new Graph(static_cast<const Graph*>(beside)); });
    return graph;
}

const char* dgnet_record_end(void* graph) {
    return reason([&] { static_cast<Graph*>(graph)->end(); });
}

const char* dgnet_replay(void* graph) {
    return reason([&] { static_cast<Graph*>(graph)->replay(); });
}

void dgnet_forget(void* graph) {
    delete static_cast<Graph*>(graph);
}

static c10::DeviceType kind(bool cuda) {
    return cuda ? c10::DeviceType::CUDA : c10::DeviceType::CPU;
}

// Switches autocast to bfloat16 on or off for this thread; tells what it was.
bool dgnet_autocast(bool cuda, bool on) {
    const bool before = at::autocast::is_autocast_enabled(kind(cuda));
    at::autocast::set_autocast_enabled(kind(cuda), on);
    at::autocast::set_autocast_dtype(kind(cuda), at::kBFloat16);
    // a weight that was cast without a graph must not be used where one is wanted
    at::autocast::set_autocast_cache_enabled(!on);
    return before;
}

}
