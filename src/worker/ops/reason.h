// What of C++ must not pass into Rust: exceptions.
#pragma once

#include <stdexcept>
#include <string>

// Null, or what went wrong; the text lives until this thread's next call.
template <typename Work>
const char* reason(Work work) {
    thread_local std::string text;
    try {
        work();
        return nullptr;
    } catch (const std::exception& error) {
        text = error.what();
    } catch (...) {
        text = "an error without a text";
    }
    return text.c_str();
}
