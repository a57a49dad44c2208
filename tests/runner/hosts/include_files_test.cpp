#include "runner/hosts/include_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runner/hosts/git.h"
#include "tests/runner/hosts/git_fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using pipelines::IncludedFile;
using pipelines::IncludeFault;
using pipelines::IncludeKind;
using pipelines::IncludeRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class IncludeFiles : public ::testing::Test {
 protected:
  TemporaryDirectory dir;
  IncludeSettings settings;
  std::unique_ptr<pipelines::Includes> includes;

  void SetUp() override { settings.project = dir / "project"; }

  // The text, or the fault's message and hint.
  std::string read(IncludeRequest request, pipelines::Origin from = 0) {
    if (!includes) includes = make_includes(settings);
    auto answer = includes->read(request, from);
    if (const auto* fault = std::get_if<IncludeFault>(&answer)) return fault->message + " / " + fault->hint;
    last = std::get<IncludedFile>(answer);
    return last.text;
  }
  std::string local(const std::string& path, pipelines::Origin from = 0) {
    return read({IncludeKind::local, path, {}, {}, {}, {}}, from);
  }
  std::string project(const std::string& name, const std::string& path, const std::string& ref = {}) {
    return read({IncludeKind::project, path, name, ref, {}, {}});
  }
  std::string component(const std::string& address) { return read({IncludeKind::component, address, {}, {}, {}, {}}); }

  IncludedFile last;
};

TEST_F(IncludeFiles, LocalFromTheWorkingTree) {
  const GitRepository repo(dir / "project");
  repo.commit("ci/a.yml", "old");
  write(repo / "ci/a.yml", "new");
  EXPECT_EQ(local("ci/a.yml"), "new");
  EXPECT_EQ(last.name, "ci/a.yml");
  EXPECT_EQ(last.origin, 0U);
  EXPECT_THAT(local("gone.yml"), HasSubstr("there is no gone.yml in the project"));
  EXPECT_THAT(local("ci"), HasSubstr("there is no ci in the project"));
  EXPECT_THAT(includes->paths(0), ElementsAre("ci/a.yml"));
}

TEST_F(IncludeFiles, LocalFromTheCommit) {
  const GitRepository repo(dir / "project");
  const std::string first = repo.commit("sub/ci/a.yml", "old");
  repo.commit("sub/ci/a.yml", "committed");
  write(repo / "sub/ci/b.yml", "not committed");
  settings.project = dir / "project/sub";
  settings.revision = first;
  EXPECT_EQ(local("ci/a.yml"), "old");
  EXPECT_THAT(local("ci/b.yml"), HasSubstr("there is no ci/b.yml in the commit " + first));
  EXPECT_THAT(includes->paths(0), ElementsAre("ci/a.yml"));
}

TEST_F(IncludeFiles, LinksThatLeadOutAreRefused) {
  write(dir / "project/a.yml", "a");
  write(dir / "secret.yml", "secret");
  fs::create_symlink(dir / "secret.yml", dir / "project/out.yml");
  fs::create_symlink("a.yml", dir / "project/in.yml");
  EXPECT_EQ(local("in.yml"), "a");
  EXPECT_THAT(local("out.yml"), HasSubstr("out.yml is a link that leads out of the project"));
  ASSERT_EQ(::mkfifo((dir / "project/fifo.yml").c_str(), 0600), 0);
  EXPECT_THAT(local("fifo.yml"), HasSubstr("there is no fifo.yml"));
}

TEST_F(IncludeFiles, ProjectFromAClone) {
  const GitRepository other(dir / "other");
  other.commit("t/a.yml", "one");
  other.git("tag v1");
  other.commit("t/a.yml", "two");
  other.git("branch dev");
  other.commit("t/a.yml", "three");
  other.git("clone -q --bare . ../bare.git");
  write(dir / "project/pipeline.yml", "x");
  settings.projects = {{"group/other", (dir / "other").string()},
                       {"group/bare", (dir / "bare.git").string()},
                       {"group/url", "https://example.com/x.git"},
                       {"group/gone", (dir / "gone").string()}};
  EXPECT_EQ(project("group/other", "t/a.yml"), "three");
  EXPECT_EQ(last.name, "group/other:t/a.yml");
  EXPECT_EQ(project("group/other", "t/a.yml", "v1"), "one");
  EXPECT_EQ(last.name, "group/other@v1:t/a.yml");
  const pipelines::Origin v1 = last.origin;
  EXPECT_EQ(local("t/a.yml", v1), "one") << "its own local files are of the same commit";
  EXPECT_THAT(includes->paths(v1), ElementsAre("t/a.yml"));
  EXPECT_EQ(project("group/bare", "t/a.yml", "dev"), "two");
  EXPECT_THAT(project("group/other", "none.yml"), HasSubstr("there is no none.yml in group/other"));
  EXPECT_THAT(project("group/other", "t/a.yml", "nope"), HasSubstr("there is no commit nope"));
  EXPECT_THAT(project("group/unknown", "a.yml"),
              HasSubstr("the project group/unknown is not known here / say where its clone is: `\"group/unknown\" = "
                        "\"/path/to/clone\"` below [include.projects] in the configuration"));
  EXPECT_THAT(project("group/url", "a.yml"), HasSubstr("is no absolute path"));
  EXPECT_THAT(project("group/gone", "a.yml"), HasSubstr("is no git repository"));
}

TEST_F(IncludeFiles, TheProjectItselfNeedsNoSetting) {
  const GitRepository repo(dir / "project");
  repo.commit("a.yml", "committed");
  write(repo / "a.yml", "changed");
  settings.project_path = [] { return "group/self"; };
  EXPECT_EQ(project("group/self", "a.yml", "main"), "committed");
}

TEST_F(IncludeFiles, Templates) {
  write(dir / "project/pipeline.yml", "x");
  EXPECT_THAT(read({IncludeKind::preset, "Bash.gitlab-ci.yml", {}, {}, {}, {}}),
              HasSubstr("there are no templates here / say where they are: `templates = "));
  includes.reset();
  write(dir / "templates/Bash.gitlab-ci.yml", "bash");
  write(dir / "templates/Jobs/SAST.gitlab-ci.yml", "sast");
  write(dir / "secret.yml", "secret");
  settings.templates = dir / "templates";
  EXPECT_EQ(read({IncludeKind::preset, "Bash.gitlab-ci.yml", {}, {}, {}, {}}), "bash");
  EXPECT_THAT(local("x.yml", last.origin), HasSubstr("has no project to look in"));
  EXPECT_EQ(read({IncludeKind::preset, "Jobs/SAST.gitlab-ci.yml", {}, {}, {}, {}}), "sast");
  EXPECT_THAT(read({IncludeKind::preset, "../secret.yml", {}, {}, {}, {}}), HasSubstr("there is no template"));
}

TEST_F(IncludeFiles, Components) {
  const GitRepository repo(dir / "components");
  repo.commit("templates/deploy.yml", "one");
  repo.git("tag 1.0.0");
  const std::string sha = repo.commit("templates/scan/template.yml", "scan");
  repo.git("tag 1.2.0");
  repo.commit("templates/deploy.yml", "next");
  repo.git("tag 2.0.0-rc1");
  write(dir / "project/pipeline.yml", "x");
  settings.projects = {{"group/components", (dir / "components").string()}};
  EXPECT_EQ(component("gitlab.com/group/components/deploy@1.0.0"), "one");
  EXPECT_EQ(component("/group/components/scan@~latest"), "scan");
  EXPECT_THAT(last.component, ElementsAre(std::pair("name", "scan"), std::pair("sha", sha),
                                          std::pair("version", "1.2.0"), std::pair("reference", "~latest")));
  EXPECT_EQ(component("gitlab.com/group/components/deploy@1"), "one");
  EXPECT_EQ(component("gitlab.com/group/components/deploy@main"), "next");
  EXPECT_EQ(component("gitlab.com/group/components/scan@" + sha), "scan");
  EXPECT_THAT(
      component("gitlab.com/group/components/none@1.0.0"),
      HasSubstr("has no component none at 1.0.0 / it would be templates/none.yml or templates/none/template.yml"));
  EXPECT_THAT(component("gitlab.com/group/components/deploy@3"),
              HasSubstr("has no version 3 / a version is a tag like 1.2.3; its tags are 1.0.0, 1.2.0, 2.0.0-rc1"));
  EXPECT_THAT(component("gitlab.com/group/components/deploy"), HasSubstr("is no component"));
  EXPECT_THAT(component("gitlab.com/group/nowhere/deploy@1"), HasSubstr("group/nowhere is not known here"));
}

// lib/gitlab/ci/components/instance_path.rb: shorthand, then tag, then branch.
TEST_F(IncludeFiles, AComponentsVersionMayLookLikeAShorthand) {
  const GitRepository repo(dir / "components");
  repo.commit("templates/deploy.yml", "one");
  repo.git("tag 25.5");
  repo.git("branch 7");
  repo.commit("templates/deploy.yml", "two");
  repo.git("tag 1");
  repo.commit("templates/deploy.yml", "three");
  repo.git("tag 1.4.0");
  repo.commit("templates/deploy.yml", "next");
  write(dir / "project/pipeline.yml", "x");
  settings.projects = {{"group/components", (dir / "components").string()}};
  EXPECT_EQ(component("gitlab.com/group/components/deploy@25.5"), "one");
  EXPECT_EQ(component("gitlab.com/group/components/deploy@7"), "one");
  EXPECT_EQ(component("gitlab.com/group/components/deploy@1"), "three");
  EXPECT_THAT(component("gitlab.com/group/components/deploy@2"), HasSubstr("has no version 2"));
}

TEST(HighestVersion, IsNoPrerelease) {
  const std::vector<std::string> tags = {"1.9.0", "1.10.0", "v2.0.0", "2.1.0-rc1", "nightly", "0.1.0"};
  EXPECT_EQ(highest_version(tags, "~latest"), "v2.0.0");
  EXPECT_EQ(highest_version(tags, "1"), "1.10.0");
  EXPECT_EQ(highest_version(tags, "1.9"), "1.9.0");
  EXPECT_EQ(highest_version(tags, "3"), "");
}

}  // namespace
}  // namespace runner
