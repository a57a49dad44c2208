// Root and an ordinary user in the engine's group get the same.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Who {
  const char* name;
  bool ordinary;
};

class Users : public testing::TestWithParam<Who> {
 protected:
  std::optional<User> user() const { return GetParam().ordinary ? ordinary_user() : std::nullopt; }
};

TEST_P(Users, RunJobsThatLeaveRootsFiles) {
  Project project(user());
  project.file("source.txt", "source\n", 0600);
  project
      .pipeline(R"(
default: {image: busybox}
stages: [a, b, c]
make:
  stage: a
  script:
    - id -u
    - mkdir -m 700 out secret; echo made >out/made.txt; chmod 666 out/made.txt; echo x >secret/x; chmod 000 secret/x secret
    - rm source.txt; mkdir source.txt
  artifacts: {paths: [out/, secret/]}
append: {stage: b, image: runner-test/nonroot, script: [id -u, cat source.txt, echo more >>out/made.txt, cat out/made.txt]}
read: {stage: c, script: [cat out/made.txt, cat secret/x]}
)")
      .commit();
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("append"), "1234\nsource\nmade\nmore\n");
  EXPECT_EQ(result.printed("read"), "made\nx\n");
  EXPECT_EQ(project.read("source.txt"), "source\n");
  const Result taken = project.run({"artifacts", "make", "--output", (project.home() / "taken").string()});
  EXPECT_EQ(taken.code, 0) << taken;
  EXPECT_EQ(sh("cat '" + (project.home() / "taken/out/made.txt").string() + "'"), "made\n");
  EXPECT_EQ(project.leftovers(), "");
}

// As in GitLab, whose archives keep modes and owners.
TEST_P(Users, KeepTheirFilesToThemselves) {
  Project project(user());
  project.pipeline(R"(
default: {image: runner-test/nonroot}
stages: [a, b, c, d]
roots:
  stage: a
  image: busybox
  script: [umask 077, echo root >roots.txt]
  artifacts: {paths: [roots.txt]}
mine:
  stage: b
  script: [(cat roots.txt || echo no) 2>&1, umask 077, echo made >mine.txt, echo made >read-only.txt, chmod 444 read-only.txt]
  artifacts: {paths: ["*.txt"], when: always}
  cache: {paths: [mine.txt]}
mine-too:
  stage: c
  script: [echo more >>mine.txt, cat mine.txt, (echo more >>read-only.txt || echo no) 2>&1]
mine-again:
  stage: d
  needs: []
  cache: {paths: [mine.txt], policy: pull}
  when: manual
  script: [echo more >>mine.txt, cat mine.txt]
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("mine"), AllOf(HasSubstr("Permission denied"), HasSubstr("no\n")));
  EXPECT_THAT(result.printed("mine-too"), AllOf(HasSubstr("made\nmore\n"), HasSubstr("Permission denied")));
  // And from the store.
  const Result retried = project.run({"retry", "mine-too", "--output", "json"});
  EXPECT_EQ(retried.code, 0) << retried;
  sh("rm -r '" + (project.work() / "c").string() + "'");
  const Result cached = project.docker({"mine-again"});
  EXPECT_EQ(cached.code, 0) << cached;
  EXPECT_THAT(cached.printed("mine-again"), HasSubstr("made\nmore\n"));
}

TEST_P(Users, UseServicesAndCancel) {
  Project project(user());
  project.pipeline(R"(
test: {stage: build, image: "redis:7", services: [{name: "redis:7", alias: cache}], script: [redis-cli -h cache ping]}
slow: {image: busybox, script: [mkdir -m 700 mine, echo x >mine/x, echo started, sleep 100]}
)");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  run->interrupt();
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.printed("test"), "PONG\n");
  EXPECT_EQ(project.leftovers(), "");
}

TEST_P(Users, AreKilledAndResume) {
  Project project(user());
  project.pipeline(
      "test: {image: busybox, script: [mkdir -m 700 mine, echo x >mine/x, echo started, sleep 4, echo end], artifacts: "
      "{paths: [mine/]}}");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  // Not the words in front of it, if there are any: it is exec'ed.
  run->kill();
  run->wait();
  const Result result = project.run({"resume", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(project.logs({"test"}), HasSubstr("\nstarted\n$ sleep 4\n$ echo end\nend\n"));
  EXPECT_EQ(project.leftovers(), "");
}

TEST_P(Users, RunTheShellExecutor) {
  Project project(user());
  project.pipeline(R"(
make: {stage: build, script: [id -u, mkdir -m 500 out, 'echo x >made.txt; chmod 000 made.txt'], artifacts: {paths: [made.txt]}}
use: {script: ['test -e made.txt; echo fine']}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("use"), "fine\n");
}

INSTANTIATE_TEST_SUITE_P(As, Users, testing::Values(Who{"Me", false}, Who{"AnOrdinaryUser", true}),
                         [](const auto& which) { return std::string(which.param.name); });

TEST(UsersWithoutPermission, AreToldWhatToDo) {
  const std::optional<User> user = ordinary_user();
  if (!user) GTEST_SKIP() << "only root can become somebody without the engine's group";
  Project project(user);
  project.pipeline("test: {image: busybox, script: echo never}");
  Options options;
  options.before = user->before_without_the_group();
  const Result result = project.docker({}, options);
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.err, AllOf(testing::ContainsRegex("[Pp]ermission|permitted"), HasSubstr("docker")));
  EXPECT_THAT(result.err, HasSubstr("hint: "));
}

}  // namespace
}  // namespace e2e
