// tests/golden/diagnostics: each NAME.yml is parsed, and what is said about it must be NAME.txt, byte for byte.
// RUNNER_ACCEPT=1 writes the texts anew; look at the difference before committing it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "pipelines/parse.h"

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(fs::path(RUNNER_SOURCE_DIR) / "tests/golden/diagnostics")) {
    if (entry.path().extension() == ".yml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

TEST(Golden, DiagnosticsAreExactlyThese) {
  ASSERT_FALSE(cases().empty());
  for (const std::string& name : cases()) {
    SCOPED_TRACE(name);
    const fs::path yml = fs::path(RUNNER_SOURCE_DIR) / "tests/golden/diagnostics" / (name + ".yml");
    const fs::path txt = fs::path(yml).replace_extension(".txt");
    const pipelines::Parsed parsed = pipelines::parse(read_file(yml), yml.filename().string());
    const std::string said = pipelines::render(parsed.diagnostics, parsed.sources, false);
    if (std::getenv("RUNNER_ACCEPT") != nullptr) {
      std::ofstream(txt, std::ios::binary) << said;
    }
    EXPECT_TRUE(fs::exists(txt));
    EXPECT_EQ(read_file(txt), said);
  }
}

}  // namespace
