// How libtorch's own kernels round on this processor, where ours have to round alike.
#pragma once

#include <ATen/Version.h>

// Whether a product and a sum are rounded once: its kernels with AVX do so.
inline bool rounds_once() {
#if defined(__x86_64__)
    static const bool once = at::get_cpu_capability().starts_with("AVX");
    return once;
#else
    return true;
#endif
}
