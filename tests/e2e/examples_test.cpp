// The examples, as they are shipped.
#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The example in a repository of its own.
void copy_example(Project& project, const std::string& name) {
  sh("tar -C '" RUNNER_SOURCE_DIR "/examples/" + name + "' --exclude=node_modules -c . | tar -C '" +
     project.path().string() + "' -x");
  project.commit("the example " + name);
}

Options set_up() {
  Options options;
  options.timeout = std::chrono::seconds(400);
  // What the set-up wrote: certificates, proxies, npm's registry, the engine's socket.
  if (const char* configuration = std::getenv("RUNNER_CONFIG")) options.env["RUNNER_CONFIG"] = configuration;
  return options;
}

TEST(Examples, Hello) {
  Project project;
  copy_example(project, "hello");
  const Result result = project.docker({}, set_up());
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("publish"), "passed");
}

TEST(Examples, Services) {
  Project project;
  copy_example(project, "services");
  const Result result = project.docker({}, set_up());
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("postgres"), HasSubstr("the sum is 4.15"));
  EXPECT_EQ(result.outcome("redis"), "passed");
}

// What `docker build` leaves on the engine.
class BuiltImages {
 public:
  ~BuiltImages() {
    run_program({"bash", "-c",
                 "docker images -q --filter reference='" + registry() +
                     "/node-todo' | sort -u | xargs -r docker rmi -f; comm -13 <(echo '" + before_ + "') <(" + unnamed +
                     ") | xargs -r docker rmi"});
  }

 private:
  static constexpr const char* unnamed = "docker images -q --filter dangling=true | sort -u";
  std::string before_ = sh(unnamed);
};

TEST(Examples, NodeTodo) {
  const BuiltImages built;
  Project project;
  copy_example(project, "node-todo");
  project.git("checkout -q -b feature/e2e-test");
  const Result result = project.docker({"--variable", "REGISTRY=" + registry()}, set_up());
  EXPECT_EQ(result.code, 0) << result;
  for (const char* job : {"build", "test", "scan", "package"}) EXPECT_EQ(result.outcome(job), "passed") << job;
  EXPECT_THAT(project.run({"artifacts", "test"}).out, AllOf(HasSubstr("junit"), HasSubstr("reports/junit.xml")));
  EXPECT_THAT(project.run({"artifacts", "build"}).out, HasSubstr("node_modules/express/"));
  // Tagged with the commit and the branch.
  const std::string tags = sh("curl -fsS --noproxy '*' 'http://" + registry() + "/v2/node-todo/tags/list'");
  EXPECT_THAT(tags, AllOf(HasSubstr(project.git("rev-parse HEAD")), HasSubstr("feature-e2e-test")));
}

TEST(Examples, NodeTodoIsStoppedByAVulnerableFile) {
  Project project;
  copy_example(project, "node-todo");
  project.file("public/handlebars.js", "/**! @license handlebars v4.0.11 */\n");
  project.file("pipeline.yml", project.read("pipeline.yml") +
                                   "\nlook:\n  stage: .post\n  when: always\n  needs: [scan]\n  script: ['echo high "
                                   "$RETIRE_HIGH of $RETIRE_FINDINGS']\n");
  const Result result = project.docker({"scan", "look", "--needs"}, set_up());
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("scan"), "failed");
  EXPECT_THAT(result.message("scan"), HasSubstr("severity high or above"));
  EXPECT_THAT(result.log("scan"), AllOf(HasSubstr("handlebars 4.0.11"), HasSubstr("public/handlebars.js")));
  const std::string kept = project.run({"artifacts", "scan"}).out;
  EXPECT_THAT(kept, AllOf(HasSubstr("cyclonedx.json"), HasSubstr("retire.sarif"), HasSubstr("retire.xml"),
                          HasSubstr("retire.json")));
  EXPECT_THAT(result.printed("look"), testing::MatchesRegex("high [1-9][0-9]* of [1-9][0-9]*\n"));
}

TEST(Examples, NodeTodoIsStoppedByAFailingTest) {
  Project project;
  copy_example(project, "node-todo");
  sh("cd '" + project.path().string() +
     "'; f=$(ls test/todos.test.js); echo \"test('fails', () => { throw new Error('on purpose'); });\" >>$f; grep -q "
     "\"test\\b\" $f");
  const Result result = project.docker({"--variable", "REGISTRY=" + registry()}, set_up());
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("test"), "failed");
  EXPECT_EQ(result.outcome("package"), "skipped");
  EXPECT_THAT(project.run({"artifacts", "test"}).out, HasSubstr("reports/junit.xml"));
}

}  // namespace
}  // namespace e2e
