// What libtorch offers in C++ alone: global switches of arithmetic, autocast, and its GPU half.
// The safe face is mod.rs.

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <dlfcn.h>

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
