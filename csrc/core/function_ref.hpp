// A callable that is passed down and not kept. It costs a call through a pointer, and no header of the
// library.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace infercost {

template <class Signature>
class FunctionRef;

template <class Result, class... Args>
class FunctionRef<Result(Args...)> {
  public:
    template <class Callable>
        requires(!std::is_same_v<std::remove_cvref_t<Callable>, FunctionRef>)
    FunctionRef(Callable&& callable)  // NOLINT: stands for what it refers to
        : callable_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
          call_([](void* of, Args... args) -> Result {
              return (*static_cast<std::add_pointer_t<Callable>>(of))(std::forward<Args>(args)...);
          }) {}

    Result operator()(Args... args) const { return call_(callable_, std::forward<Args>(args)...); }

  private:
    void* callable_;
    Result (*call_)(void*, Args...);
};

}  // namespace infercost
