// The core through four functions of C: the doors of the WebAssembly module. Requests and answers are those
// of Session (interface/session.hpp), in UTF-8. All calls are from one thread.
#pragma once

#include <stddef.h>

#if defined(__wasm__)
#define INFERCOST_DOOR(name) __attribute__((export_name(#name)))
#else
#define INFERCOST_DOOR(name)
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Memory for a text that the caller writes; null if there is none left. infercost_free takes it back.
INFERCOST_DOOR(infercost_allocate) void* infercost_allocate(size_t bytes);
INFERCOST_DOOR(infercost_free) void infercost_free(void* memory);

// Answers a request; `document` is the text that `load` reads, and may be null if it has no length. The
// answer is infercost_length() bytes long and valid until the next call; null if the memory is full.
INFERCOST_DOOR(infercost_answer)
const char* infercost_answer(const char* request, size_t request_length, const char* document,
                             size_t document_length);
INFERCOST_DOOR(infercost_length) size_t infercost_length(void);

#ifdef __cplusplus
}
#endif
