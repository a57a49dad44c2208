# Every library the program stands on, found once, as imported targets. All are Debian 12 packages (tools/setup/deps.sh).
#
#   yaml-cpp  nlohmann_json::nlohmann_json  PkgConfig::httplib  PkgConfig::git2  SQLiteCpp (with SQLite3)  fmt::fmt
#   CLI11::CLI11  PkgConfig::re2  PkgConfig::archive  PkgConfig::zstd  OpenSSL::SSL  OpenSSL::Crypto  PkgConfig::sodium
#   PkgConfig::curl  PkgConfig::pugixml  PkgConfig::tomlpp  GTest::gtest_main  GTest::gmock_main  benchmark::benchmark

find_package(PkgConfig REQUIRED)

# The flags of cpp-httplib.pc are part of its ABI: without them the program aborts.
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET GLOBAL cpp-httplib)
pkg_check_modules(git2 REQUIRED IMPORTED_TARGET GLOBAL libgit2)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET GLOBAL re2)
pkg_check_modules(archive REQUIRED IMPORTED_TARGET GLOBAL libarchive)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET GLOBAL libzstd)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET GLOBAL libsodium)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET GLOBAL libcurl)
pkg_check_modules(pugixml REQUIRED IMPORTED_TARGET GLOBAL pugixml)
pkg_check_modules(tomlpp REQUIRED IMPORTED_TARGET GLOBAL tomlplusplus)

find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS SSL Crypto)
find_package(SQLite3 REQUIRED)
find_package(SQLiteCpp REQUIRED)

if(RUNNER_TESTS OR RUNNER_BENCH OR RUNNER_FUZZ)
  find_package(GTest REQUIRED)
endif()
if(RUNNER_BENCH)
  find_package(benchmark REQUIRED)
endif()
