#include "interface/interface.h"

#include <cstdlib>
#include <exception>
#include <string>

#include "interface/session.hpp"

namespace {

infercost::Session session;
std::string answer;

}  // namespace

void* infercost_allocate(size_t bytes) {
    return std::malloc(bytes);
}

void infercost_free(void* memory) {
    std::free(memory);
}

const char* infercost_answer(const char* request, size_t request_length, const char* document,
                             size_t document_length) {
    try {
        answer = session.answer({request, request_length}, {document, document_length});
        return answer.data();
    } catch (const std::exception&) {
        answer.clear();
        return nullptr;
    }
}

size_t infercost_length() {
    return answer.size();
}
