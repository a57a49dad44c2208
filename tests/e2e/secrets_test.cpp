// Secrets are never printed, stored or shown, however they come out.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* secret = "s3cr3t-v4lue-0123456789";

// Everything the program keeps: database, write-ahead log, chunks, job directories.
std::string all_that_is_kept(const Project& project) {
  return sh("find '" + project.database().parent_path().string() + "' -type f -print0 | xargs -0 cat");
}

std::string shown(Project& project, const Arguments& arguments, Options options = {}) {
  const Result result = project.exec(arguments, std::move(options));
  EXPECT_EQ(result.code, 0) << result;
  return result.out + result.err + project.logs({"test"});
}

TEST(Secrets, AreMaskedEverywhere) {
  Project project;
  project.pipeline(R"(
test:
  script:
    - echo "it is $TOKEN here"
    - echo "$TOKEN" >&2
    - printf %s "$TOKEN"
    - test ${#TOKEN} = 23
)");
  const std::string all = shown(project, {"--secret", std::string("TOKEN=") + secret});
  EXPECT_THAT(all, Not(HasSubstr(secret)));
  EXPECT_THAT(all, HasSubstr("it is [MASKED] here"));
  EXPECT_THAT(all_that_is_kept(project), Not(HasSubstr(secret)));
  for (const Arguments& words : {Arguments{"exec", "--executor", "shell", "--output", "plain"},
                                 Arguments{"exec", "--executor", "shell", "--output", "pretty"},
                                 Arguments{"exec", "--executor", "shell", "--dry-run"}}) {
    Arguments with = words;
    with.insert(with.end(), {"--secret", std::string("TOKEN=") + secret});
    const Result result = project.run(with);
    EXPECT_THAT(result.out + result.err, Not(HasSubstr(secret)));
  }
}

TEST(Secrets, WhatDoesTheLookingFindsWhatIsNotMasked) {
  Project project;  // so that the tests above can fail
  project.pipeline("test: {script: 'echo \"it is $TOKEN here\"'}");
  EXPECT_THAT(shown(project, {"--variable", std::string("TOKEN=") + secret}), HasSubstr(secret));
}

TEST(Secrets, ByNameFromTheEnvironmentAndFromAFile) {
  Project project;
  project.pipeline("test: {script: ['echo \"$TOKEN\"', 'echo \"${#TOKEN}\"']}");
  Options options;
  options.env["TOKEN"] = secret;
  EXPECT_THAT(shown(project, {"--secret", "TOKEN"}, options),
              AllOf(HasSubstr("[MASKED]"), HasSubstr("23"), Not(HasSubstr(secret))));
  project.file("../token.txt", std::string(secret) + "\n");
  EXPECT_THAT(shown(project, {"--secret", "TOKEN=@" + (project / "../token.txt").string()}),
              AllOf(HasSubstr("[MASKED]"), HasSubstr("23"), Not(HasSubstr(secret))));
  EXPECT_EQ(project.exec({"--secret", "NOT_THERE"}).code, 2);
  EXPECT_EQ(project.exec({"--secret", "TOKEN=@/no/such/file"}).code, 2);
}

TEST(Secrets, AreAskedForOnATerminalWithoutEcho) {
  Project project;
  project.pipeline("test: {script: ['echo \"it is $TOKEN, ${#TOKEN}\"']}");
  Options terminal;
  terminal.terminal = true;
  auto run = project.start({"exec", "--executor", "shell", "--secret", "TOKEN"}, terminal);
  ASSERT_TRUE(run->wait_for("TOKEN"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // what is typed before it asks does not count
  run->type(std::string(secret) + "\n");
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  EXPECT_THAT(ended.out + ended.err, Not(HasSubstr(secret)));
  EXPECT_THAT(project.logs({"test"}), HasSubstr("it is [MASKED], 23\n"));
}

TEST(Secrets, FromAnEnvFile) {
  Project project;
  project.pipeline("test: {script: ['echo \"$TOKEN and $SHORT\"']}");
  project.file("../secrets.env", std::string("# a comment\nTOKEN=") + secret + "\nSHORT=abc\n");
  const Result result = project.exec({"--env-file", (project / "../secrets.env").string()});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "[MASKED] and abc\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("warning"), HasSubstr("SHORT"), HasSubstr("8")));
}

TEST(Secrets, MaskedVariablesOfTheFile) {
  Project project;
  project.pipeline(R"(
variables:
  TOKEN: {value: s3cr3t-v4lue-0123456789, masked: true}
test: {script: ['echo "it is $TOKEN"']}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.printed("test"), "it is [MASKED]\n") << result;
}

TEST(Secrets, UnderEightCharactersAreRefused) {
  Project project;
  project.pipeline("test: {script: echo x}");
  for (const char* value : {"TOKEN=1234567", "TOKEN="}) {
    const Result result = project.exec({"--secret", value});
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_THAT(result.err, AllOf(HasSubstr("TOKEN"), HasSubstr("8")));
    EXPECT_THAT(result.err, Not(HasSubstr("1234567")));
  }
  EXPECT_EQ(project.exec({"--secret", "TOKEN=12345678"}).code, 0);
}

TEST(Secrets, CutAcrossTwoWrites) {
  Project project;
  project.pipeline(R"(
test:
  script:
    - printf 'begin s3cr3t-'; sleep 0.4; printf 'v4lue-01'; sleep 0.4; printf '23456789 end\n'
    - printf 'only the beginning s3cr3t-v4\n'
    - for c in s 3 c r 3 t - v 4 l u e - 0 1 2 3 4 5 6 7 8 9; do printf %s $c; sleep 0.01; done; echo
)");
  const std::string all = shown(project, {"--secret", std::string("TOKEN=") + secret});
  EXPECT_THAT(all, AllOf(HasSubstr("begin [MASKED] end"), HasSubstr("only the beginning s3cr3t-v4\n")));
  // The masks of what was printed: both whole values. (The announced commands hold neither of them whole.)
  std::string log = project.logs({"test"});
  int masks = 0;
  for (std::size_t at = 0; (at = log.find("[MASKED]", at)) != std::string::npos; ++at) ++masks;
  EXPECT_EQ(masks, 2) << log;
}

TEST(Secrets, LongerThanALogChunk) {
  Project project;
  project.pipeline("test: {script: ['cat \"$FILE\"', echo, echo end]}");
  std::string value;
  for (int i = 0; i < 4000; ++i) value += "line " + std::to_string(i) + " of the secret; ";
  project.file("../long.txt", value);
  const std::string path = (project / "../long.txt").string();
  const Result result = project.exec({"--secret", "TOKEN=@" + path, "--variable", "FILE=" + path});
  const std::string all = result.out + project.logs({"test"});
  EXPECT_GT(value.size(), 90000U);  // more would not fit into an environment variable
  EXPECT_LT(all.size(), 20000U);
  EXPECT_THAT(all, Not(HasSubstr("of the secret")));
  EXPECT_THAT(all, HasSubstr("[MASKED]"));
  EXPECT_EQ(all_that_is_kept(project).find("line 2000 of the secret"), std::string::npos);
}

TEST(Secrets, OfSeveralLinesAndLineByLine) {
  Project project;
  project.pipeline(
      "test: {script: ['printf \"%s\\n\" \"$KEY\"', 'printf \"%s\\n\" \"$KEY\" | sed -n 2p', 'printf \"%s\\n\" "
      "\"$KEY\" | sed \"s/^/    /\"']}");
  const std::string key = "-----BEGIN KEY-----\nAbCdEfGhIjKlMnOpQrStUvWx\nyZ0123456789+/abcdefghij\n-----END KEY-----";
  project.file("../key.pem", key + "\n");
  const std::string all = shown(project, {"--secret", "KEY=@" + (project / "../key.pem").string()});
  EXPECT_THAT(all, Not(HasSubstr("AbCdEfGhIjKlMnOpQrStUvWx")));
  EXPECT_THAT(all, Not(HasSubstr("yZ0123456789+/abcdefghij")));
  EXPECT_THAT(all_that_is_kept(project), Not(HasSubstr("AbCdEfGhIjKlMnOpQrStUvWx")));
}

TEST(Secrets, AsBase64AtAllThreeAlignments) {
  Project project;
  project.pipeline(R"(
test:
  script:
    - printf %s "$TOKEN" | base64 -w0; echo
    - printf %s "x$TOKEN" | base64 -w0; echo
    - printf %s "xy$TOKEN" | base64 -w0; echo
    - printf %s "user:$TOKEN" | base64 -w0; echo
)");
  const std::string all = shown(project, {"--secret", std::string("TOKEN=") + secret});
  for (const char* prefix : {"", "x", "xy", "user:"}) {
    std::string encoded = sh(std::string("printf %s '") + prefix + secret + "' | base64 -w0");
    // What is certain to come of the secret alone, whatever stands around it.
    EXPECT_THAT(all, Not(HasSubstr(encoded.substr(8, 20)))) << prefix;
  }
}

TEST(Secrets, InDocker) {
  // Of this test alone: others, at the same time, give theirs in arguments.
  const std::string mine = "docker-v4lue-987654";
  Project project;
  project.pipeline("test: {image: busybox, script: ['echo \"it is $TOKEN here\"', sleep 2]}");
  Options environment;
  environment.env["TOKEN"] = mine;
  auto run = project.start_docker({"--secret", "TOKEN"}, environment);
  ASSERT_TRUE(run->wait_for("here\""));
  // Nor in what the engine shows of the container, nor in anybody's arguments.
  const std::string inspected =
      sh("docker ps -aq --filter label=runner.owner=" + project.owner() + " | xargs -r docker inspect");
  EXPECT_THAT(inspected, AllOf(HasSubstr("runner.owner"), Not(HasSubstr(mine))));
  EXPECT_EQ(sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c 'docker-v4lue-98765[4]' || true"),
            "0\n");
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.printed("test"), "it is [MASKED] here\n") << result;
  EXPECT_THAT(all_that_is_kept(project), Not(HasSubstr(mine)));
}

TEST(Secrets, InArtifactsTheUserAskedForTheyAreTheUsersOwn) {
  Project project;  // a mask in a file would spoil it: files are not logs
  project.pipeline(
      "test: {script: ['printf %s \"$TOKEN\" >token.txt'], artifacts: {paths: [token.txt]}}\nuse: {stage: deploy, "
      "script: ['test \"$(cat token.txt)\" = \"$TOKEN\"']}");
  EXPECT_EQ(project.exec({"--secret", std::string("TOKEN=") + secret}).code, 0);
}

TEST(Secrets, InMessagesAndWarnings) {
  Project project;
  project.pipeline("test: {image: \"no-such-image-$TOKEN\", script: echo x}\n");
  const Result result = project.docker({"--secret", std::string("TOKEN=") + secret});
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.out + result.err, Not(HasSubstr(secret)));
  EXPECT_THAT(all_that_is_kept(project), Not(HasSubstr(secret)));
}

// Without the job directories and the sources, in which the author's own file and a running job's variables stand.
std::string database_bytes(const Project& project) {
  const std::string file = project.database().string();
  return sh("cat '" + file + "' && if [ -e '" + file + "-wal' ]; then cat '" + file + "-wal'; fi");
}

// Also what is stored compressed: the recorded texts of runs, through zstd.
std::string texts_that_are_kept(const Project& project) {
  return sh("python3 - '" + project.database().string() + R"(' <<'END'
import sqlite3, subprocess, sys
for row in sqlite3.connect(sys.argv[1]).execute('SELECT pipeline, options FROM run_texts'):
    for stored in row:
        codec, size, data = stored.split(b' ', 2)
        if codec == b'1':
            data = subprocess.run(['zstd', '-dc'], input=data, capture_output=True, check=True).stdout
        sys.stdout.buffer.write(data + b'\n')
END
)");
}

TEST(Secrets, InNamesThatAreStored) {
  Project project;
  project.pipeline(R"(
test:
  resource_group: g-$TOKEN
  script: [echo x >a]
  artifacts: {name: name-$TOKEN, paths: [a]}
  cache: {key: key-$TOKEN, paths: [a]}
  release: {tag_name: v-$TOKEN, description: "d $TOKEN", assets: {links: [{name: $TOKEN, url: "https://x/$TOKEN"}]}}
)");
  project.commit();
  auto run = project.start_exec({"--secret", std::string("TOKEN=") + secret});
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  EXPECT_EQ(all_that_is_kept(project).find(secret), std::string::npos);
  const Result artifacts = project.run({"artifacts", "test"});
  EXPECT_THAT(artifacts.out, AllOf(HasSubstr("name-[MASKED]"), Not(HasSubstr(secret))));
  EXPECT_THAT(project.run({"cache", "list"}).out, AllOf(HasSubstr("key-[MASKED]"), Not(HasSubstr(secret))));
  EXPECT_EQ(project.git("tag"), std::string("v-") + secret);  // the author's own repository
}

TEST(Secrets, InTheNameOfAResourceGroupThatIsHeld) {
  Project project;
  project.pipeline("test: {resource_group: g-$TOKEN, script: [echo waiting, sleep 30]}");
  auto run = project.start_exec({"--secret", std::string("TOKEN=") + secret});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  const std::string bytes = database_bytes(project);
  EXPECT_NE(bytes.find("g-[MASKED] #"), std::string::npos);
  EXPECT_EQ(bytes.find(secret), std::string::npos);
  run->interrupt();
  run->wait();
}

TEST(Secrets, MaskedVariablesOfTheFileAreNotStored) {
  Project project;
  project.pipeline(R"(
variables:
  TOKEN: {value: s3cr3t-v4lue-0123456789, masked: true}
.hidden: {variables: {H: {value: "hidden-\u0041-value", masked: true}}}
test: {script: ['echo "it is $TOKEN"'], rules: [{if: $TOKEN == "s3cr3t-v4lue-0123456789"}]}
)");
  EXPECT_EQ(project.exec().printed("test"), "it is [MASKED]\n");
  const std::string kept = texts_that_are_kept(project);
  EXPECT_THAT(kept, AllOf(HasSubstr("it is $TOKEN"), HasSubstr("TOKEN")));
  EXPECT_THAT(kept, AllOf(Not(HasSubstr(secret)), Not(HasSubstr("hidden-A"))));
  EXPECT_EQ(database_bytes(project).find(secret), std::string::npos);
}

TEST(Secrets, InRulesThatAreShown) {
  Project project;
  project.pipeline(R"(
test: {script: echo, rules: [{if: $TOKEN == "s3cr3t-v4lue-0123456789"}]}
out: {script: echo, rules: [{if: $TOKEN != "s3cr3t-v4lue-0123456789"}]}
)");
  project.commit();
  const std::string given = std::string("TOKEN=") + secret;
  for (const Arguments& words : {Arguments{"plan", "--secret", given},
                                 {"plan", "--output", "json", "--secret", given},
                                 {"plan", "--diff", "HEAD", "--secret", given},
                                 {"plan", "--graph", "text", "--secret", given},
                                 {"exec", "--executor", "shell", "--secret", given},
                                 {"exec", "--executor", "shell", "--dry-run", "--secret", given}}) {
    const Result result = project.run(words);
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_THAT(result.out + result.err, Not(HasSubstr(secret))) << words[0];
  }
  EXPECT_EQ((database_bytes(project) + texts_that_are_kept(project)).find(secret), std::string::npos);
  EXPECT_THAT(project.run({"exec", "--executor", "shell", "out", "--secret", given}).out, Not(HasSubstr(secret)));
}

TEST(Secrets, PlanTakesSecretsAndEnvFiles) {
  Project project;
  project.pipeline("test: {script: echo, rules: [{if: $TOKEN}]}");
  EXPECT_THAT(project.run({"plan"}).out, HasSubstr("no rule matched"));
  const Result plan = project.run({"plan", "--secret", std::string("TOKEN=") + secret});
  EXPECT_THAT(plan.out, AllOf(HasSubstr("rule 1: $TOKEN (\"[MASKED]\")"), Not(HasSubstr(secret)))) << plan;
  project.file("../plan.env", std::string("TOKEN=") + secret + "\n");
  EXPECT_THAT(project.run({"plan", "--env-file", (project / "../plan.env").string()}).out, HasSubstr("[MASKED]"));
}

TEST(Secrets, HalvesThatComeTogetherOnAScreen) {
  Project project;
  project.pipeline(R"(
test:
  script:
    - printf '%s\0%s\n' s3cr3t-v4lue -0123456789
    - printf '%s\033[2K%s\n' s3cr3t-v4lue -0123456789
    - printf '%s\033[1m%s\033[0m\n' s3cr3t-v4lue -0123456789
    - printf 'harmless\033[1m words\n'
)");
  for (const char* kind : {"plain", "pretty"}) {
    for (const bool terminal : {false, true}) {
      Options options;
      options.terminal = terminal;
      const Result result = project.run(
          {"exec", "--executor", "shell", "--output", kind, "--secret", std::string("TOKEN=") + secret}, options);
      EXPECT_EQ(result.code, 0) << result;
      EXPECT_THAT(result.out, AllOf(HasSubstr("[MASKED]"), HasSubstr("harmless"), Not(HasSubstr(secret))));
    }
  }
}

TEST(Secrets, VariableNamesThatNoShellHas) {
  Project project;
  project.pipeline(R"(
variables: {BAD-NAME: a, "": b}
test: {variables: {1N: c}, script: env}
with: {services: [elasticsearch], variables: {discovery.type: single-node}, script: env}
)");
  const Result lint = project.run({"lint"});
  EXPECT_EQ(lint.code, 0) << lint;
  EXPECT_THAT(lint.err, AllOf(HasSubstr("\"1N\""), Not(HasSubstr("discovery.type"))));
  project.pipeline("variables: {BAD-NAME: a, \"\": b}\ntest: {script: env}\n");
  EXPECT_THAT(project.run({"lint"}).err, AllOf(HasSubstr("variable \"BAD-NAME\""), HasSubstr("variable \"\"")));
  for (const Arguments& words :
       {Arguments{"--variable", "A B=c"}, {"--variable", "1N=c"}, {"--secret", "A-B=12345678"}}) {
    const Result result = project.exec(words);
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_THAT(result.err, HasSubstr("no name of a variable"));
  }
}

}  // namespace
}  // namespace e2e
