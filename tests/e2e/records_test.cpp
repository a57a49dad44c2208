// What is remembered and how one asks for it: runs, artifacts, gc, doctor, completion, help.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(Runs, AreListedNewestFirst) {
  Project project;
  project.pipeline("test: {script: $COMMAND}").commit();
  EXPECT_EQ(project.exec({"--variable", "COMMAND=true"}).code, 0);
  EXPECT_EQ(project.exec({"--variable", "COMMAND=false", "--event", "web"}).code, 1);
  const Json runs = project.runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0]["id"], 2);
  EXPECT_EQ(runs[1]["id"], 1);
  EXPECT_EQ(runs[0]["outcome"], "failed");
  EXPECT_EQ(runs[1]["outcome"], "passed");
  EXPECT_EQ(runs[0]["ref"], "main");
  EXPECT_EQ(runs[0]["sha"], project.git("rev-parse HEAD"));
  EXPECT_EQ(runs[0]["event"], "web");
  EXPECT_EQ(runs[1]["event"], "push");
  EXPECT_TRUE(runs[0]["seconds"].is_number());
  EXPECT_GT(runs[0]["seconds"].get<double>(), 0);
  EXPECT_THAT(runs[0]["started"].get<std::string>(), testing::MatchesRegex(".*T.*Z"));
  const Result text = project.run({"runs"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("passed"), HasSubstr("failed"), HasSubstr("main")));
}

TEST(Runs, SayWhichOnesWereInterrupted) {
  Project project;
  project.pipeline("test: {script: [echo waiting, sleep 600]}");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  const Result alive = project.run({"runs"});
  EXPECT_THAT(alive.out, AllOf(HasSubstr("running"), Not(HasSubstr("interrupted"))));
  EXPECT_EQ(alive.err, "");
  EXPECT_EQ(project.runs().at(0)["interrupted"], false);
  run->kill();
  run->wait();
  const Result dead = project.run({"runs"});
  EXPECT_EQ(dead.code, 0) << dead;
  EXPECT_THAT(dead.out, AllOf(HasSubstr("interrupted"), Not(HasSubstr("running"))));
  EXPECT_THAT(dead.err, HasSubstr("hint: `runner resume 1`"));
  EXPECT_EQ(project.runs().at(0)["outcome"], nullptr);
  EXPECT_EQ(project.runs().at(0)["interrupted"], true);
  EXPECT_EQ(project.run({"doctor", "--clean"}).code, 0);
  const Result over = project.run({"runs"});
  EXPECT_THAT(over.out, AllOf(HasSubstr("cancelled"), Not(HasSubstr("interrupted"))));
  EXPECT_EQ(over.err, "");
  EXPECT_EQ(project.runs().at(0)["interrupted"], false);
}

TEST(Records, LookingForThemMakesNothing) {
  Project project;
  project.pipeline("test: {script: echo x}").commit();
  const auto base = project.home() / "no" / "such";
  project.use_database(base / "runner.db");
  const auto run = [&](const Arguments& words, int code, std::string_view said) {
    const Result result = project.run(words);
    EXPECT_EQ(result.code, code) << result;
    EXPECT_THAT(result.out + result.err, HasSubstr(std::string(said))) << words[0];
    EXPECT_FALSE(std::filesystem::exists(project.home() / "no")) << words[0];
  };
  run({"runs"}, 0, "nothing has run yet\n");
  run({"runs", "--output", "json"}, 0, "[]\n");
  run({"logs"}, 2, "nothing has run yet: there is no " + (base / "runner.db").string());
  run({"logs", "1", "test", "--follow"}, 2, "hint: `runner exec` runs a pipeline");
  run({"artifacts", "test"}, 2, "nothing has run yet");
  run({"retry"}, 2, "nothing has run yet");
  run({"resume"}, 2, "nothing has run yet");
  run({"cache", "list"}, 0, "no caches\n");
  run({"cache", "clear"}, 0, "removed 0 caches");
  run({"cache", "clear", "key"}, 2, "there is no cache key");
  run({"gc"}, 0, "removed 0 expired artifacts");
  run({"doctor", "--remove", "1"}, 2, "nothing is kept");
  run({"exec", "--executor", "shell", "--dry-run"}, 0, "test");
  run({"plan"}, 0, "test");
}

TEST(Runs, CountInTheDatabaseOfOnesChoice) {
  Project project;
  project.pipeline("test: {script: echo x}");
  EXPECT_EQ(project.exec().events.at(0)["run"], 1);
  EXPECT_EQ(project.exec().events.at(0)["run"], 2);
  const std::string other = (project.home() / "other.db").string();
  EXPECT_EQ(project.exec({"--database", other}).events.at(0)["run"], 1);
  // Without any of these, in the user's state directory.
  Options state;
  state.env["RUNNER_DATABASE"] = std::nullopt;
  state.env["XDG_STATE_HOME"] = (project.home() / "state").string();
  EXPECT_EQ(project.exec({}, state).code, 0);
  EXPECT_TRUE(std::filesystem::exists(project.home() / "state" / "runner" / "runner.db"));
  EXPECT_EQ(sh("stat -c %a '" + (project.home() / "state" / "runner").string() + "'"), "700\n");
  // Nothing is made where there is nothing to remember.
  Options nothing;
  nothing.env["RUNNER_DATABASE"] = (project.home() / "none.db").string();
  EXPECT_EQ(project.run({"plan"}, nothing).code, 0);
  EXPECT_EQ(project.run({"lint"}, nothing).code, 0);
  EXPECT_FALSE(std::filesystem::exists(project.home() / "none.db"));
}

TEST(Runs, OfManyProcessesShareOneDatabase) {
  Project project;
  project.pipeline("test: {script: [seq 200, sleep 0.3, echo end], artifacts: {paths: [pipeline.yml]}}");
  std::vector<std::unique_ptr<Process>> running;
  for (int i = 0; i < 6; ++i) running.push_back(project.start_exec());
  std::vector<int> ids;
  for (const auto& run : running) {
    const Result result = read_result(run->wait());
    EXPECT_EQ(result.code, 0) << result;
    ids.push_back(result.events.at(0).value("run", 0));
  }
  EXPECT_THAT(ids, testing::UnorderedElementsAre(1, 2, 3, 4, 5, 6));
  for (int i = 1; i <= 6; ++i) EXPECT_THAT(project.logs({std::to_string(i), "test"}), HasSubstr("\nend\nsection_end"));
}

TEST(Runs, WaitForADatabaseThatSomebodyElseHolds) {
  Project project;
  project.pipeline("test: {script: [echo started, seq 2000, echo end]}");
  EXPECT_EQ(project.exec().code, 0);
  Options options;
  options.input = "BEGIN EXCLUSIVE;\n.print held\n.shell sleep 4\nCOMMIT;\n";
  std::map<std::string, std::string> environment{{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
  Process holder({"sqlite3", project.database().string()}, environment, options);
  ASSERT_TRUE(holder.wait_for("held"));
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(project.logs({"2", "test"}), HasSubstr("\n2000\n$ echo end\nend\n"));
}

TEST(Runs, NothingHasRunYet) {
  Project project;
  EXPECT_EQ(project.runs(), Json::array());
  EXPECT_EQ(project.run({"runs"}).code, 0);
  EXPECT_EQ(project.run({"logs"}).code, 2);
  EXPECT_EQ(project.run({"gc"}).code, 0);
}

TEST(ArtifactsCommand, ListsAndTakesOut) {
  Project project;
  project.pipeline(R"(
build:
  script: [mkdir -p out/deep, echo one >out/a.txt, 'printf "#!/bin/sh\n" >out/run.sh; chmod +x out/run.sh', 'ln -s a.txt out/link', echo deep >out/deep/b.txt]
  artifacts: {paths: [out/]}
none: {script: echo x}
)");
  EXPECT_EQ(project.exec().code, 0);
  const Result list = project.run({"artifacts", "build"});
  EXPECT_EQ(list.code, 0) << list;
  EXPECT_THAT(list.out, AllOf(HasSubstr("out/a.txt"), HasSubstr("out/deep/b.txt")));
  const auto directory = project.home() / "taken";
  EXPECT_EQ(project.run({"artifacts", "1", "build", "--output", directory.string()}).code, 0);
  EXPECT_EQ(sh("cd '" + directory.string() +
               "'; cat out/a.txt out/link out/deep/b.txt; test -x out/run.sh; test -L out/link"),
            "one\none\ndeep\n");
  EXPECT_NE(project.run({"artifacts", "none"}).code, 0);
  EXPECT_EQ(project.run({"artifacts", "nobody"}).code, 2);
}

TEST(Gc, RemovesWhatHasExpired) {
  Project project;
  project.pipeline(R"(
brief: {script: [head -c 3000000 /dev/urandom >big.bin], artifacts: {paths: [big.bin], expire_in: 1 second}}
long: {script: [echo kept >kept.txt], artifacts: {paths: [kept.txt], expire_in: 1 week}}
ever: {script: [echo ever >ever.txt], artifacts: {paths: [ever.txt], expire_in: never}}
)");
  EXPECT_EQ(project.exec().code, 0);
  const auto kept = [&] {
    return std::stoul(sh("find '" + project.database().parent_path().string() +
                         "' -type f -printf '%s\\n' | paste -sd+ | bc 2>/dev/null || du -sb '" +
                         project.database().parent_path().string() + "' | cut -f1"));
  };
  EXPECT_GT(kept(), 3'000'000U);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const Result gc = project.run({"gc"});
  EXPECT_EQ(gc.code, 0) << gc;
  EXPECT_NE(project.run({"artifacts", "brief"}).code, 0);
  EXPECT_EQ(project.run({"artifacts", "long"}).code, 0);
  EXPECT_EQ(project.run({"artifacts", "ever"}).code, 0);
  EXPECT_LT(kept(), 3'000'000U);
  EXPECT_THAT(project.logs({"brief"}), HasSubstr("big.bin"));
}

TEST(Gc, KeepsOnlyAsManyRunsAsAskedFor) {
  Project project;
  project.pipeline("test: {script: echo x}");
  for (int i = 0; i < 3; ++i) project.exec();
  EXPECT_EQ(project.run({"gc", "--keep-runs", "1"}).code, 0);
  const Json runs = project.runs();
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0]["id"], 3);
  EXPECT_EQ(project.exec().events.at(0)["run"], 4);  // numbers are never used again
}

TEST(Doctor, LooksAtTheWorld) {
  Project project;
  const Result result = project.run({"doctor"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.out, AllOf(testing::ContainsRegex("[Dd]ocker|engine"), testing::ContainsRegex("database|store")));
}

TEST(Doctor, SaysWhatIsWrongWithTheEngine) {
  Project project;
  project.on_engine("unix:///no/such/docker.sock");
  const Result result = project.run({"doctor"});
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.out + result.err, HasSubstr("/no/such/docker.sock"));
}

TEST(Completion, IsAScriptThatItsShellUnderstands) {
  Project project;
  project.pipeline("build-it: {script: echo x}\ntest-it: {script: echo x}");
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Result result = project.run({"completion", shell});
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_THAT(result.out, AllOf(HasSubstr("exec"), HasSubstr("lint"), HasSubstr("runner")));
  }
  EXPECT_EQ(project.run({"completion", "tcsh"}).code, 2);
  project.file("completion.bash", project.run({"completion", "bash"}).out);
  sh("bash -n '" + (project / "completion.bash").string() + "'");
  // Job names are those of the file.
  const Result jobs = project.run({"__jobs"});
  EXPECT_EQ(jobs.out, "build-it\ntest-it\n") << jobs;
}

TEST(Help, OfEveryCommandHasExamples) {
  Project project;
  for (const char* command :
       {"exec", "resume", "lint", "plan", "runs", "logs", "artifacts", "gc", "doctor", "completion"}) {
    const Result result = project.run({command, "--help"});
    EXPECT_EQ(result.code, 0) << command << result;
    EXPECT_THAT(result.out, AllOf(HasSubstr("Examples:"), HasSubstr(std::string("runner ") + command))) << command;
    EXPECT_EQ(result.err, "");
  }
  const Result all = project.run({"--help"});
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(all.out, AllOf(HasSubstr("Examples:"), HasSubstr("exec"), HasSubstr("lint"), HasSubstr("doctor")));
  EXPECT_THAT(all.out, Not(HasSubstr("__")));
  EXPECT_THAT(project.run({"--version"}).out, testing::ContainsRegex("[0-9]+\\.[0-9]+"));
}

TEST(Logs, OfAParallelJobNamesItsInstances) {
  Project project;
  project.pipeline("bad: {parallel: 2, script: echo}\nm: {parallel: {matrix: [{A: [x, y]}]}, script: echo}\n");
  ASSERT_EQ(project.exec().code, 0);
  const Result logs = project.run({"logs", "bad"});
  EXPECT_EQ(logs.code, 2) << logs;
  EXPECT_THAT(logs.err,
              HasSubstr("job bad of run 1 is parallel\nhint: name one of its instances: 'bad 1/2', 'bad 2/2'\n"));
  const Result artifacts = project.run({"artifacts", "m"});
  EXPECT_EQ(artifacts.code, 2) << artifacts;
  EXPECT_THAT(artifacts.err, HasSubstr("name one of its instances: 'm: [x]', 'm: [y]'"));
}

}  // namespace
}  // namespace e2e
