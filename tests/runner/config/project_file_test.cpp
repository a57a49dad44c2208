#include "runner/config/project_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <map>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ProjectFiles : public testing::Test {
 protected:
  ProjectFile load(const std::string& text, unsigned mode = 0600) {
    write(dir / "p.toml", text);
    ::chmod((dir / "p.toml").c_str(), mode);
    return load_project_file(dir / "p.toml");
  }
  std::string complaint(const std::string& text) {
    try {
      load(text);
    } catch (const ConfigError& error) {
      std::string words = error.what();
      const std::string path = (dir / "p.toml").string();
      for (std::size_t at = words.find(path); at != std::string::npos; at = words.find(path)) {
        words.replace(at, path.size(), "FILE");
      }
      return words;
    }
    return "nothing was thrown";
  }
  TemporaryDirectory dir;
};

TEST_F(ProjectFiles, VariablesAndSecrets) {
  const ProjectFile file = load(R"(
[variables]
REGION = "eu"
URL = { value = "https://live.test", environment_scope = "production", protected = true, raw = true }
KEY = [ { value = "a", environment_scope = "review/*" }, { value = "b" } ]
[secrets]
TOKEN = "hush hush"
CERTIFICATE = { value = "-----", file = true, masked = false }
[gitlab]
url = "https://gitlab.example.com/"
token = "glpat-x"
)");
  EXPECT_THAT(file.variables, testing::UnorderedElementsAre(
                                  ProjectVariable{"REGION", "eu", "*", false, false, false, false},
                                  ProjectVariable{"URL", "https://live.test", "production", false, true, false, true},
                                  ProjectVariable{"KEY", "a", "review/*", false, false, false, false},
                                  ProjectVariable{"KEY", "b", "*", false, false, false, false},
                                  ProjectVariable{"TOKEN", "hush hush", "*", true, false, false, false},
                                  ProjectVariable{"CERTIFICATE", "-----", "*", false, false, true, false}));
  EXPECT_EQ(file.gitlab_url, "https://gitlab.example.com");
  EXPECT_EQ(file.gitlab_token, "glpat-x");
  EXPECT_THAT(file.warnings, IsEmpty());
}

TEST_F(ProjectFiles, EveryMistakeAtOnceWithAHint) {
  EXPECT_EQ(complaint("[varibles]\nA = \"1\"\n"),
            "FILE:1:2: varibles: unknown table or key\nhint: did you mean variables?");
  EXPECT_THAT(complaint("REGION = \"eu\"\n"), HasSubstr("hint: a variable stands below [variables] or [secrets]"));
  EXPECT_EQ(complaint("[variables]\nA = { vlaue = \"1\" }\n1B = \"1\"\nC = 3\n[gitlab]\ntokn = \"x\"\n"),
            "FILE:3:1: 1B: a variable's name has letters, digits and _ only, no digit first\n"
            "FILE:2:7: vlaue: unknown key of the variable A\nhint: did you mean value?\n"
            "FILE:4:1: C: expected a string or a table\nhint: write it between quotes\n"
            "FILE:6:1: tokn: unknown key in [gitlab]\nhint: did you mean token?");
  EXPECT_THAT(complaint("[secrets]\nA = { masked = true }\n"), HasSubstr("A: has no `value`"));
  EXPECT_THAT(complaint("[secrets]\nA = { value = \"1\", masked = \"yes\" }\n"),
              HasSubstr("masked: expected true or false"));
  EXPECT_THAT(complaint("secrets = 1\n"), HasSubstr("secrets: expected a table"));
  EXPECT_THAT(complaint("[secrets\n"), HasSubstr("FILE:1:"));
}

TEST_F(ProjectFiles, OneThatOthersMayReadIsAWarning) {
  EXPECT_THAT(load("[secrets]\nA = \"1\"\n", 0644).warnings, ElementsAre(HasSubstr("chmod 600")));
  EXPECT_THAT(load("[gitlab]\ntoken = \"1\"\n", 0640).warnings, ElementsAre(HasSubstr("others may read it")));
  EXPECT_THAT(load("[variables]\nA = \"1\"\n", 0644).warnings, IsEmpty()) << "no secret";
}

TEST_F(ProjectFiles, NoFileIsNoMistake) {
  EXPECT_THAT(load_project_file(dir / "none.toml").variables, IsEmpty());
  EXPECT_THAT(load_project_file({}).variables, IsEmpty());
}

TEST_F(ProjectFiles, ThePlaceOfTheFile) {
  std::map<std::string, std::string> variables = {{"HOME", "/home/ann"}};
  const EnvironmentLookup environment = [&](const std::string& name) -> std::optional<std::string> {
    return variables.contains(name) ? std::optional(variables.at(name)) : std::nullopt;
  };
  EXPECT_EQ(project_file_path("gitlab.com", "group/sub/p", environment),
            "/home/ann/.config/runner/projects/gitlab.com/group/sub/p.toml");
  EXPECT_EQ(project_file_path("", "p", environment), "/home/ann/.config/runner/projects/local/p.toml");
  variables["XDG_CONFIG_HOME"] = "/etc/ann";
  EXPECT_EQ(project_file_path("h", "g/p", environment), "/etc/ann/runner/projects/h/g/p.toml");
  variables.clear();
  EXPECT_EQ(project_file_path("h", "g/p", environment), "");
}

TEST_F(ProjectFiles, AStrongerLevelHidesAWeaker) {
  const auto one = [](const std::string& name, const std::string& value, const std::string& scope = "*") {
    return ProjectVariable{name, value, scope, false, false, false, false};
  };
  std::vector<ProjectVariable> all = {one("A", "1"), one("A", "2", "production"), one("B", "1", "x"), one("C", "1")};
  lay_over(all, {one("A", "3"), one("B", "2", "x"), one("B", "3", "y")});
  EXPECT_THAT(all, ElementsAre(one("C", "1"), one("A", "3"), one("B", "2", "x"), one("B", "3", "y")));
}

}  // namespace
}  // namespace runner
