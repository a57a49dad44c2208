// Against a server that answers as GitLab's API documentation shows (api/project_level_variables,
// api/group_level_variables, api/rest "Offset-based pagination").
#include "runner/hosts/gitlab_variables.h"

#include <gmock/gmock.h>
#include <httplib.h>
#include <stdlib.h>

#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "runner/cli/project_variables.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

json variable(const std::string& key, const json& value, const json& more = json::object()) {
  json all = {{"variable_type", "env_var"},
              {"key", key},
              {"value", value},
              {"protected", false},
              {"masked", false},
              {"hidden", false},
              {"raw", false},
              {"environment_scope", "*"},
              {"description", nullptr}};
  all.update(more);
  return all;
}

class GitLab : public testing::Test {
 protected:
  GitLab() {
    for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
    server_.Get(R"(/api/v4/.*)", [this](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      asked_.push_back(request.target);
      tokens_.push_back(request.get_header_value("PRIVATE-TOKEN"));
      if (status_ != 0) {
        response.status = status_;
        response.set_header("Location", "http://127.0.0.1:1/");
        return;
      }
      // httplib has decoded the path: what came is in the target.
      const std::string path = request.target.substr(0, request.target.find('?'));
      if (!lists_.contains(path)) {
        response.status = 404;
        response.set_content(R"({"message":"404 Not Found"})", "application/json");
        return;
      }
      const auto number = [&](const char* name) { return std::stoul(request.get_param_value(name)); };
      const std::size_t per_page = std::min<std::size_t>(number("per_page"), page_size_);
      const std::size_t begin = (number("page") - 1) * per_page;
      const json& all = lists_.at(path);
      json items = json::array();
      for (std::size_t i = begin; i < std::min(all.size(), begin + per_page); ++i) items.push_back(all.at(i));
      response.set_header("X-Next-Page", begin + per_page < all.size() ? std::to_string(number("page") + 1) : "");
      response.set_content(items.dump(), "application/json");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~GitLab() override {
    server_.stop();
    thread_.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  GitLabVariables read(const std::string& project = "group/sub/p") {
    return read_gitlab_variables({url(), "a token", std::chrono::seconds(5)}, project);
  }
  std::string failure() {
    try {
      read();
    } catch (const GitLabError& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("a token")));
      return error.what();
    }
    return "nothing was thrown";
  }

  std::map<std::string, json> lists_;  // path, as it was asked for -> all pages' items
  std::size_t page_size_ = 100;
  int status_ = 0;
  std::mutex mutex_;
  std::vector<std::string> asked_, tokens_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

constexpr const char* project_path = "/api/v4/projects/group%2Fsub%2Fp/variables";

TEST_F(GitLab, VariablesOfTheProjectWithEverythingGitLabSaysOfThem) {
  lists_[project_path] = {variable("A", "1"),
                          variable("B", "2", {{"masked", true}, {"protected", true}, {"raw", true}}),
                          variable("C", "3", {{"variable_type", "file"}, {"environment_scope", "review/*"}})};
  const GitLabVariables all = read();
  EXPECT_THAT(all.variables, ElementsAre(ProjectVariable{"A", "1", "*", false, false, false, false},
                                         ProjectVariable{"B", "2", "*", true, true, false, true},
                                         ProjectVariable{"C", "3", "review/*", false, false, true, false}));
  EXPECT_THAT(all.hidden, IsEmpty());
  EXPECT_THAT(tokens_, testing::Each("a token"));
  EXPECT_THAT(asked_, ElementsAre("/api/v4/groups/group/variables?per_page=100&page=1",
                                  "/api/v4/groups/group%2Fsub/variables?per_page=100&page=1",
                                  "/api/v4/projects/group%2Fsub%2Fp/variables?per_page=100&page=1"));
}

TEST_F(GitLab, InnerLevelsAreStronger) {
  lists_["/api/v4/groups/group/variables"] = {variable("A", "outer"), variable("B", "outer"), variable("C", "outer")};
  lists_["/api/v4/groups/group%2Fsub/variables"] = {variable("A", "inner"), variable("B", "inner")};
  lists_[project_path] = {variable("A", "project")};
  const auto all = read().variables;
  ASSERT_EQ(all.size(), 3U);
  for (const ProjectVariable& each : all) {
    EXPECT_EQ(each.value, each.name == "A" ? "project" : each.name == "B" ? "inner" : "outer");
  }
}

TEST_F(GitLab, AllPages) {
  page_size_ = 2;
  for (int i = 0; i < 5; ++i) lists_[project_path].push_back(variable("V" + std::to_string(i), "x"));
  EXPECT_EQ(read().variables.size(), 5U);
  EXPECT_EQ(asked_.size(), 5U) << "two groups, three pages";
}

TEST_F(GitLab, HiddenValuesAreNamed) {
  lists_[project_path] = {variable("A", nullptr, {{"masked", true}, {"hidden", true}})};
  EXPECT_THAT(read().hidden, ElementsAre("A"));
}

TEST_F(GitLab, Failures) {
  EXPECT_EQ(failure(), url() + " has no project group/sub/p, or the token may not read its variables");
  status_ = 401;
  EXPECT_EQ(failure(), url() + " refuses the token (401)");
  status_ = 500;
  EXPECT_EQ(failure(), url() + " answered 500");
  status_ = 302;
  EXPECT_THAT(failure(), HasSubstr("sends us elsewhere (302)"));
  EXPECT_EQ(asked_.size(), 3U + 3U) << "no redirect is followed";
}

TEST_F(GitLab, AServerThatDoesNotAnswerIsGivenUp) {
  try {
    read_gitlab_variables({"http://127.0.0.1:1", "t", std::chrono::seconds(2)}, "g/p");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const GitLabError& error) {
    EXPECT_THAT(error.what(), HasSubstr("http://127.0.0.1:1: "));
  }
}

// --- the file and GitLab together ------------------------------------------------------------------------------------

class ProjectVariables : public GitLab {
 protected:
  std::vector<ProjectVariable> all(const std::string& server = "https://gitlab.com") {
    testing::internal::CaptureStderr();
    auto found =
        project_variables(server, "group/sub/p", [this](const std::string& name) -> std::optional<std::string> {
          return environment_.contains(name) ? std::optional(environment_.at(name)) : std::nullopt;
        });
    said_ = testing::internal::GetCapturedStderr();
    return found;
  }
  void file(const std::string& text) {
    const fs::path path = dir_ / "runner/projects/gitlab.com/group/sub/p.toml";
    fs::create_directories(path.parent_path());
    write(path, text);
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  }

  TemporaryDirectory dir_;
  std::map<std::string, std::string> environment_ = {{"XDG_CONFIG_HOME", dir_.path().string()}};
  std::string said_;
};

TEST_F(ProjectVariables, WithoutATokenNobodyIsAsked) {
  file("[variables]\nA = \"1\"\n[gitlab]\nurl = \"" + url() + "\"\n");
  EXPECT_EQ(all().size(), 1U);
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(said_, "");
}

TEST_F(ProjectVariables, TheFileIsStrongerThanGitLab) {
  lists_[project_path] = {variable("A", "gitlab"), variable("B", "gitlab")};
  file("[variables]\nA = \"file\"\n[gitlab]\nurl = \"" + url() + "\"\ntoken = \"a token\"\n");
  const auto found = all();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].value, "gitlab");
  EXPECT_EQ(found[1].value, "file");
}

TEST_F(ProjectVariables, ATokenOfTheEnvironmentIsForOneServerOnly) {
  lists_[project_path] = {variable("A", "gitlab")};
  environment_["RUNNER_GITLAB_TOKEN"] = "a token";
  EXPECT_THAT(all("https://code.example.com"), IsEmpty());
  environment_["RUNNER_GITLAB_URL"] = url();
  EXPECT_THAT(all("https://gitlab.com"), IsEmpty());
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(all("https://127.0.0.1").size(), 1U);
}

TEST_F(ProjectVariables, AFailureIsOneWarning) {
  status_ = 401;
  file("[variables]\nA = \"1\"\n[gitlab]\nurl = \"" + url() + "\"\ntoken = \"a token\"\n");
  EXPECT_EQ(all().size(), 1U);
  EXPECT_EQ(said_, "warning: the project's variables could not be read: " + url() +
                       " refuses the token (401)\nhint: the run goes on without them\n");
}

TEST_F(ProjectVariables, InATrigger) {
  pipelines::Trigger trigger;
  const auto one = [](const std::string& name, const std::string& scope, bool is_protected) {
    return ProjectVariable{name, "v", scope, true, is_protected, false, true};
  };
  const std::vector<ProjectVariable> variables = {one("A", "*", false), one("B", "*", true), one("C", "prod", false),
                                                  one("C", "p*", false)};
  add_project_variables(trigger, variables, false);
  ASSERT_NE(trigger.variables.find("A"), nullptr);
  EXPECT_TRUE(trigger.variables.find("A")->masked);
  EXPECT_FALSE(trigger.variables.find("A")->expand);
  EXPECT_EQ(trigger.variables.find("B"), nullptr) << "protected";
  ASSERT_EQ(trigger.scoped.size(), 2U);
  EXPECT_EQ(trigger.scoped[0].scope, "p*") << "the more special one last";
  pipelines::Trigger of_main;
  add_project_variables(of_main, variables, true);
  EXPECT_NE(of_main.variables.find("B"), nullptr);
}

}  // namespace
}  // namespace runner
