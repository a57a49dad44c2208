# `runner_warnings`: link it PRIVATE from every target of ours; never from somebody else's code.

add_library(runner_warnings INTERFACE)
target_compile_options(
  runner_warnings
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wcast-qual
            -Wformat=2
            -Wimplicit-fallthrough
            -Wextra-semi
            -Wundef
            # A designated initializer that leaves a field at its default is what it is for.
            -Wno-missing-field-initializers)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees dangling pointers and overflows in its own inlined std::string and std::variant (PR105329, PR105562),
  # more of them with sanitizers.
  target_compile_options(
    runner_warnings INTERFACE -Wlogical-op -Wduplicated-cond -Wno-restrict -Wno-maybe-uninitialized
                              -Wno-stringop-overflow -Wno-array-bounds)
endif()

if(RUNNER_WERROR)
  target_compile_options(runner_warnings INTERFACE -Werror)
endif()
