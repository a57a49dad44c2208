# `runner_settings`: what every target of ours is compiled with, whatever its room.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# -g1 is enough for a stack trace with lines, and links in half the time of -g. Assertions stay on.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")
if(RUNNER_SANITIZE)
  # Instrumented code takes long to optimize, and is not there to be fast.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1")
endif()

find_program(RUNNER_CCACHE ccache)
if(RUNNER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RUNNER_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${RUNNER_CCACHE}")
endif()

find_package(Threads REQUIRED)

add_library(runner_settings INTERFACE)
target_compile_features(runner_settings INTERFACE cxx_std_20)
# Includes read from the root of the repository: "pipelines/pipeline.h", "runner/store/store.h".
target_include_directories(runner_settings INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
target_compile_definitions(runner_settings INTERFACE _FILE_OFFSET_BITS=64)
target_link_libraries(runner_settings INTERFACE Threads::Threads)

if(RUNNER_SANITIZE)
  set(flags -fsanitize=${RUNNER_SANITIZE} -fno-omit-frame-pointer)
  if(RUNNER_SANITIZE MATCHES "undefined")
    list(APPEND flags -fno-sanitize-recover=undefined)
  endif()
  target_compile_options(runner_settings INTERFACE ${flags})
  target_link_options(runner_settings INTERFACE ${flags})
  target_compile_definitions(runner_settings INTERFACE RUNNER_SANITIZED=1)
endif()

if(RUNNER_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "RUNNER_FUZZ needs clang: configure with -DCMAKE_CXX_COMPILER=clang++")
  endif()
  # Every object counts its edges; only a fuzz target (runner_fuzz) also links libFuzzer's main.
  target_compile_options(runner_settings INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(runner_settings INTERFACE -fsanitize=fuzzer-no-link)
  add_library(runner_fuzz INTERFACE)
  target_link_options(runner_fuzz INTERFACE -fsanitize=fuzzer)
endif()

if(RUNNER_COVERAGE)
  target_compile_options(runner_settings INTERFACE --coverage)
  target_link_options(runner_settings INTERFACE --coverage)
endif()
