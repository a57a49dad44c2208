// Artifacts: what is taken, what is refused, and that what is stored stays as it is.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The files of a job's artifacts, as `runner artifacts --output` brings them.
std::vector<std::string> files_of(Project& project, const std::string& job) {
  const fs::path directory = project.home() / ("of-" + job);
  fs::remove_all(directory);
  project.run({"artifacts", job, "--output", directory.string()});
  std::vector<std::string> files;
  if (!fs::exists(directory)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_directory() || entry.is_symlink())
      files.push_back(entry.path().lexically_relative(directory).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

constexpr const char* tree =
    "mkdir -p out/deep .hidden; for f in out/a.txt out/b.log out/deep/c.txt out/deep/d.log top.txt .hidden/e.txt; do "
    "echo $f >$f; done";

TEST(Artifacts, PathsAndExclude) {
  Project project;
  const std::string script = std::string("script: ['") + tree + "']";
  project.pipeline("directory: {" + script + ", artifacts: {paths: [out/]}}\n" + "globs: {" + script +
                   ", artifacts: {paths: ['out/*.txt', '**/d.log']}}\n" + "excluded: {" + script +
                   ", artifacts: {paths: [out], exclude: ['**/*.log']}}\n" + "variable: {" + script +
                   ", variables: {WHERE: out/deep}, artifacts: {paths: ['$WHERE/*']}}\n");
  EXPECT_EQ(project.exec().code, 0);
  EXPECT_THAT(files_of(project, "directory"),
              testing::ElementsAre("out/a.txt", "out/b.log", "out/deep/c.txt", "out/deep/d.log"));
  EXPECT_THAT(files_of(project, "globs"), testing::ElementsAre("out/a.txt", "out/deep/d.log"));
  EXPECT_THAT(files_of(project, "excluded"), testing::ElementsAre("out/a.txt", "out/deep/c.txt"));
  EXPECT_THAT(files_of(project, "variable"), testing::ElementsAre("out/deep/c.txt", "out/deep/d.log"));
}

TEST(Artifacts, UntrackedTakesIgnoredFilesToo) {
  Project project;
  project.file(".gitignore", "*.log\n").file("tracked.txt", "x");
  project
      .pipeline(
          "test: {script: [echo 1 >new.txt, echo 2 >ignored.log, echo 3 >>tracked.txt], artifacts: {untracked: true}}")
      .commit();
  EXPECT_EQ(project.exec().code, 0);
  EXPECT_THAT(files_of(project, "test"), testing::ElementsAre("ignored.log", "new.txt"));
}

TEST(Artifacts, When) {
  Project project;
  project.pipeline(R"(
bad-default: {script: [echo x >f.txt, exit 1], artifacts: {paths: [f.txt]}, allow_failure: true}
bad-always: {script: [echo x >f.txt, exit 1], artifacts: {paths: [f.txt], when: always}, allow_failure: true}
bad-on-failure: {script: [echo x >f.txt, exit 1], artifacts: {paths: [f.txt], when: on_failure}, allow_failure: true}
good-on-failure: {script: [echo x >f.txt], artifacts: {paths: [f.txt], when: on_failure}}
)");
  EXPECT_EQ(project.exec().code, 0);
  EXPECT_TRUE(files_of(project, "bad-default").empty());
  EXPECT_EQ(files_of(project, "bad-always").size(), 1U);
  EXPECT_EQ(files_of(project, "bad-on-failure").size(), 1U);
  EXPECT_TRUE(files_of(project, "good-on-failure").empty());
}

TEST(Artifacts, ThatMatchNothingAreAWarning) {
  Project project;
  project.pipeline("test: {script: echo x, artifacts: {paths: [dist/]}}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("test"), "passed");
  EXPECT_THAT(result.warnings("test"), testing::ElementsAre(HasSubstr("dist/")));
}

TEST(Artifacts, OutsideTheProjectAreAWarningAndNothingIsTaken) {
  Project project;
  project.file("../outside.txt", "n0t-y0urs").file("inside.txt", "x");
  const std::string absolute = (project / "../outside.txt").lexically_normal().string();
  for (const bool docker : {false, true}) {
    project.pipeline(
        "default: {image: busybox}\n"
        "dots: {script: echo x, artifacts: {paths: ['../outside.txt', '../*', 'sub/../../outside.txt']}}\n"
        "absolute: {script: echo x, artifacts: {paths: ['" +
        absolute +
        "', /etc/passwd]}}\n"
        "both: {script: echo y >made.txt, artifacts: {paths: [made.txt, ../outside.txt]}}\n");
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    for (const char* job : {"dots", "absolute", "both"}) {
      EXPECT_EQ(result.outcome(job), "passed");
      EXPECT_THAT(result.warnings(job), Not(testing::IsEmpty())) << job;
      EXPECT_THAT(result.warnings(job), testing::Contains(testing::ContainsRegex("outside|/etc/passwd|\\.\\.")));
    }
    EXPECT_TRUE(files_of(project, "dots").empty());
    EXPECT_TRUE(files_of(project, "absolute").empty());
    for (const std::string& file : files_of(project, "both")) EXPECT_EQ(file, "made.txt");
  }
}

TEST(Artifacts, SymlinksThatLeaveTheProjectAreNotFollowed) {
  Project project;
  project.file("../outside/secret.txt", "n0t-y0urs");
  const std::string outside = (project / "../outside").lexically_normal().string();
  for (const bool docker : {false, true}) {
    project.pipeline(
        "default: {image: busybox}\n"
        "test:\n  script:\n    - mkdir out; ln -s '" +
        outside + "' out/dir; ln -s '" + outside +
        "/secret.txt' out/file; ln -s ../../../../etc/passwd out/up; ln -s inside.txt out/fine; echo x "
        ">out/inside.txt; ln -s /etc/passwd direct; ln -s '" +
        outside +
        "' direct-dir\n"
        "  artifacts: {paths: [out/, out/dir/secret.txt, direct, 'direct-dir/*']}\n"
        "next: {stage: deploy, script: ['cat out/inside.txt out/fine; ! grep -r \"n0t.y0urs\" out']}\n");
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.outcome("test"), "passed") << result;
    files_of(project, "test");
    EXPECT_EQ(
        sh("cd '" + (project.home() / "of-test").string() + "'; cat out/inside.txt out/fine; find . -type f | sort"),
        "x\nx\n./out/inside.txt\n");
    EXPECT_THAT(sh("cat '" + project.database().string() + "'* | grep -ac 'n0t-y0urs' || true"), testing::StrEq("0\n"));
  }
  EXPECT_EQ(project.read("../outside/secret.txt"), "n0t-y0urs");
}

TEST(Artifacts, ALaterWriteThroughASymlinkOfAnEarlierJobStaysInTheSandbox) {
  Project project;
  project.file("../outside/kept.txt", "kept");
  const std::string outside = (project / "../outside").lexically_normal().string();
  project.pipeline(
      "plant: {image: busybox, stage: build, script: ['ln -s " + outside +
      " out'], artifacts: {paths: [out]}}\n"
      "use: {image: busybox, script: ['rm -f out; mkdir out; echo mine >out/kept.txt'], artifacts: {paths: [out/]}}\n"
      "last: {image: busybox, stage: deploy, script: ['cat out/kept.txt']}\n");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("last"), "mine\n");
  EXPECT_EQ(project.read("../outside/kept.txt"), "kept");
}

TEST(Artifacts, AppendingToAnInheritedFileLeavesTheStoredOneAsItIs) {
  for (const bool docker : {false, true}) {
    Project project;
    project.file("source.txt", "source\n");
    project.pipeline(R"(
default: {image: busybox}
stages: [a, b, c]
make: {stage: a, script: [echo made >made.txt], artifacts: {paths: [made.txt]}}
append: {stage: b, script: [echo more >>made.txt, echo more >>source.txt, cat made.txt]}
append-too: {stage: b, script: [echo other >>made.txt, cat made.txt]}
read: {stage: c, script: [cat made.txt source.txt]}
)");
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("append"), "made\nmore\n");
    EXPECT_EQ(result.printed("append-too"), "made\nother\n");
    EXPECT_EQ(result.printed("read"), "made\nsource\n");
    EXPECT_THAT(files_of(project, "make"), testing::ElementsAre("made.txt"));
    EXPECT_EQ(sh("cat '" + (project.home() / "of-make/made.txt").string() + "'"), "made\n");
    EXPECT_EQ(project.read("source.txt"), "source\n");
  }
}

TEST(Artifacts, DotenvReportsReachLaterJobs) {
  Project project;
  project.pipeline(R"(
make:
  stage: build
  script: ['printf "VERSION=1.2.3\nWITH_SPACE=a b\n" >build.env']
  artifacts: {reports: {dotenv: build.env}}
use: {script: ['echo "[$VERSION] [$WITH_SPACE]"']}
needs-it: {needs: [make], script: ['echo "[$VERSION]"']}
not: {needs: [{job: make, artifacts: false}], script: ['echo "[$VERSION]"']}
neither: {dependencies: [], script: ['echo "[$VERSION]"']}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.printed("use"), "[1.2.3] [a b]\n") << result;
  EXPECT_EQ(result.printed("needs-it"), "[1.2.3]\n");
  EXPECT_EQ(result.printed("not"), "[]\n");
  EXPECT_EQ(result.printed("neither"), "[]\n");
}

TEST(Artifacts, JunitReportsAreKeptEvenOfAFailedJob) {
  Project project;
  project.pipeline(R"(
test:
  script: ['echo "<testsuite/>" >junit.xml', exit 1]
  artifacts: {name: "report-$CI_JOB_NAME", reports: {junit: junit.xml}}
)");
  EXPECT_EQ(project.exec().code, 1);
  const Result list = project.run({"artifacts", "test"});
  EXPECT_EQ(list.code, 0) << list;
  EXPECT_THAT(list.out, AllOf(HasSubstr("junit"), HasSubstr("junit.xml")));
}

TEST(Artifacts, TheSameFileIsStoredOnceAcrossRuns) {
  Project project;
  project.file("big.bin", sh("head -c 4000000 /dev/urandom"));
  project.pipeline("test: {script: [cp big.bin out.bin], artifacts: {paths: [out.bin]}}");
  const auto kept = [&] {
    return std::stoul(sh("du -sb --exclude='*.work' '" + project.database().parent_path().string() + "' | cut -f1"));
  };
  EXPECT_EQ(project.exec().code, 0);
  const auto once = kept();
  EXPECT_GT(once, 4'000'000U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(project.exec().code, 0);
  EXPECT_LT(kept(), once + 2'000'000U);
}

TEST(Artifacts, AHundredThousandSmallFiles) {
  Project project;
  // In memory where there is any: removing so many files takes minutes on some disks.
  std::string memory = "/dev/shm/re2e-XXXXXX";
  const bool in_memory = mkdtemp(memory.data()) != nullptr;
  if (in_memory) project.use_database(fs::path(memory) / "runner.db");
  project.pipeline(R"(
make:
  stage: build
  script:
    - mkdir out; i=0; while [ $i -lt 100 ]; do mkdir out/$i; i=$((i+1)); done
    - python3 -c 'for i in range(100000):open(f"out/{i%100}/{i}","w").write(f"{i}\n")'
  artifacts: {paths: [out/]}
use: {script: ['find out -type f | wc -l', cat out/99/99999]}
)");
  Options options;
  options.timeout = std::chrono::seconds(240);
  const Result result = project.exec({}, options);
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("use"), "100000\n99999\n");
#ifndef RUNNER_SANITIZED
  EXPECT_LT(result.peak_kib, 200U * 1024);
#endif
  EXPECT_EQ(project.leftovers(), "");
  if (in_memory) fs::remove_all(memory);
}

TEST(Artifacts, OfImagesWhoseUserIsNotRoot) {
  Project project;
  project.pipeline(R"(
make: {stage: build, image: runner-test/nonroot, script: [id -u, mkdir -m 700 out, echo x >out/a.txt, chmod 600 out/a.txt], artifacts: {paths: [out/]}}
append: {image: busybox, script: [id -u, echo y >>out/a.txt, cat out/a.txt]}
other: {stage: deploy, image: runner-test/nonroot, script: [echo z >>out/a.txt, cat out/a.txt, echo new >pipeline.yml]}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("make"), "1234\n");
  EXPECT_EQ(result.printed("append"), "0\nx\ny\n");
  EXPECT_EQ(result.printed("other"), "x\nz\n");
}

// --- disk full ------------------------------------------------------------------------------------------------------

// A small file system of its own; what is in it goes with it.
class SmallDisk {
 public:
  explicit SmallDisk(const char* size) {
    std::string name = (fs::temp_directory_path() / "re2e-disk-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
    mounted_ = mount("runner-e2e", name.c_str(), "tmpfs", 0, (std::string("size=") + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  bool mounted() const { return mounted_; }
  fs::path path() const { return path_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST(DiskFull, WhileArtifactsAreWritten) {
  SmallDisk disk("24m");
  if (!disk.mounted()) GTEST_SKIP() << "only root can mount a small disk";
  {
    Project project;
    project.use_database(disk.path() / "runner.db");
    project.pipeline(R"(
big: {script: [head -c 16000000 /dev/urandom >big.bin], artifacts: {paths: [big.bin]}}
)");
    const Result result = project.exec();
    EXPECT_THAT(result.code, testing::AnyOf(1, 3)) << result;
    EXPECT_EQ(result.outcome("big"), "broken") << result;
    EXPECT_EQ(result.reason("big"), "artifacts_failed");
    EXPECT_THAT(result.message("big"), testing::ContainsRegex("[Nn]o space|full"));
    EXPECT_EQ(project.runs().at(0)["outcome"], result.run_outcome());
    // And when there is room again, it goes on.
    project.pipeline("small: {script: [echo x >x.txt], artifacts: {paths: [x.txt]}}");
    EXPECT_EQ(project.exec().code, 0);
  }
}

TEST(DiskFull, WhileTheDatabaseIsWritten) {
  SmallDisk disk("8m");
  if (!disk.mounted()) GTEST_SKIP() << "only root can mount a small disk";
  {
    Project project;
    project.use_database(disk.path() / "runner.db");
    project.pipeline("loud: {script: ['head -c 60000000 /dev/urandom | base64', echo end]}");
    const Result result = project.exec();
    // Which of the two notices first, the job's directory or the database, is a matter of time.
    EXPECT_EQ(result.code, 3) << result;
    EXPECT_THAT(result.run_outcome().empty() ? result.err : result.message("loud"), HasSubstr("full")) << result.err;
    EXPECT_TRUE(project.processes().empty());
    EXPECT_EQ(sh("sqlite3 '" + project.database().string() + "' 'PRAGMA integrity_check'"), "ok\n");
    project.leave_alone();  // the run is unfinished: nothing could be written
  }
}

TEST(DiskFull, FromTheBeginning) {
  SmallDisk disk("64k");
  if (!disk.mounted()) GTEST_SKIP() << "only root can mount a small disk";
  Project project;
  project.use_database(disk.path() / "runner.db");
  project.pipeline("test: {script: echo x}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.err, testing::ContainsRegex("full|[Nn]o space"));
}

// Even to be opened SQLite's database needs a few pages.
TEST(DiskFull, IsMendedByGc) {
  SmallDisk disk("24m");
  if (!disk.mounted()) GTEST_SKIP() << "only root can mount a small disk";
  {
    Project project;
    project.use_database(disk.path() / "runner.db");
    project.pipeline(R"(
big: {script: [head -c 8000000 /dev/urandom >big.bin], artifacts: {paths: [big.bin], expire_in: 1 second}}
)");
    ASSERT_EQ(project.exec().code, 0);
    ASSERT_TRUE(fs::exists(disk.path() / "runner.db.ballast"));
    sh("cat /dev/zero >'" + (disk.path() / "fill").string() + "' 2>/dev/null || true");
    project.pipeline("small: {script: echo x}");
    const Result full = project.exec();
    EXPECT_EQ(full.code, 3) << full;
    EXPECT_THAT(full.err, testing::AllOf(HasSubstr("full"), HasSubstr("`runner gc`")));
    ASSERT_TRUE(fs::exists(disk.path() / "runner.db.ballast")) << "what only adds to a full disk has no use of it";

    sh("sleep 1.2");  // the artifact expires
    const Result gc = project.run({"gc"});
    EXPECT_EQ(gc.code, 0) << gc;
    EXPECT_THAT(gc.out, HasSubstr("removed 1 expired artifact"));
    EXPECT_TRUE(fs::exists(disk.path() / "runner.db.ballast")) << "for the next time";
    EXPECT_EQ(project.exec().code, 0);

    // Without a ballast there is nothing to give up.
    fs::remove(disk.path() / "runner.db.ballast");
    sh("cat /dev/zero >'" + (disk.path() / "more").string() + "' 2>/dev/null || true");
    const Result helpless = project.run({"gc"});
    EXPECT_EQ(helpless.code, 3) << helpless;
    EXPECT_THAT(helpless.err, HasSubstr("remove something else on the disk"));
  }
}

}  // namespace
}  // namespace e2e
