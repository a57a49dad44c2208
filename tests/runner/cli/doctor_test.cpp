#include "runner/cli/doctor.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runner/cli/load.h"
#include "runner/run/kept.h"
#include "runner/store/store.h"

namespace runner {
namespace {

using testing::HasSubstr;
using State = Check::State;

// Without an engine: what is there without one.
class DoctorTest : public testing::Test {
 protected:
  DoctorTest() : directory_(::mkdtemp(name_)) {
    config_.database.value = directory_ / "runner.db";
    config_.docker.host.value = "unix://" + (directory_ / "nobody.sock").string();
  }
  ~DoctorTest() override { std::filesystem::remove_all(directory_); }

  Check check(const std::string& name, bool clean = false) {
    for (Check& found : examine(config_, clean)) {
      if (found.name == name) return found;
    }
    return {State::bad, name, "there is no such check", {}};
  }

  // A run whose process died.
  void leave_a_run() {
    const pid_t child = ::fork();
    if (child == 0) {
      {
        Store store(config_.database.value);
        NewRun run;
        run.ref = "main";
        run.started = unix_now();
        run.jobs = {{"build", "build"}, {"test", "test"}};
        const RunId id = store.create_run(run);
        store.begin_attempt({id, 1, 1});
        ::_exit(0);  // as a kill would: nothing is let go of
      }
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    std::filesystem::create_directories(directory_ / "runner.db.work/1/j1-1");
  }

  char name_[40] = "/tmp/doctor_test.XXXXXX";
  std::filesystem::path directory_;
  Config config_;
};

TEST_F(DoctorTest, SaysWhatToDoWithoutAnEngine) {
  const Check engine = check("engine");
  EXPECT_EQ(engine.state, State::bad);
  EXPECT_THAT(engine.message, HasSubstr("nobody.sock"));
  EXPECT_NE(engine.hint, "");
  EXPECT_TRUE(any_bad(examine(config_, false)));
  config_.executor.value = ExecutorKind::shell;
  EXPECT_EQ(check("engine").state, State::good);
  EXPECT_EQ(check("git").state, State::good);
  EXPECT_EQ(check("clock").state, State::good);
}

TEST_F(DoctorTest, LooksAtTheDatabase) {
  EXPECT_THAT(check("database").message, HasSubstr("none yet"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "runner.db"));  // looking makes nothing
  { const Store store(config_.database.value); }
  EXPECT_EQ(check("database").state, State::good);
  std::filesystem::remove(directory_ / "runner.db");
  std::ofstream(directory_ / "runner.db") << std::string(8192, 'x');
  EXPECT_EQ(check("database").state, State::bad);
}

TEST_F(DoctorTest, GivesUpADeadRunOnlyWhenAsked) {
  config_.executor.value = ExecutorKind::shell;
  leave_a_run();
  const Check found = check("leftovers");
  EXPECT_EQ(found.state, State::doubtful);
  EXPECT_THAT(found.message, HasSubstr("run 1 did not finish"));
  EXPECT_THAT(found.hint, HasSubstr("runner resume 1"));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "runner.db.work/1"));
  EXPECT_THAT(check("leftovers", true).message, HasSubstr("gave up run 1"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "runner.db.work/1"));
  const Store store(config_.database.value);
  EXPECT_EQ(store.run(1)->outcome, pipelines::Verdict::cancelled);
  for (const JobRow& job : store.jobs(1)) EXPECT_EQ(job.outcome, pipelines::Outcome::cancelled) << job.name;
}

TEST_F(DoctorTest, LeavesARunThatALivingProcessDrives) {
  config_.executor.value = ExecutorKind::shell;
  Store store(config_.database.value);
  NewRun run;
  run.jobs = {{"build", "build"}};
  run.started = unix_now();
  store.create_run(run);
  for (const Check& found : examine(config_, true)) EXPECT_NE(found.name, "leftovers") << found.message;
  EXPECT_FALSE(store.run(1)->outcome.has_value());
}

TEST_F(DoctorTest, NamesWhatIsKeptAndRemovesItWhenToldTo) {
  config_.executor.value = ExecutorKind::shell;
  const auto run = directory_ / "runner.db.work/1";
  {
    const Store store(config_.database.value);
    std::filesystem::create_directories(run / "j2-1");
    remember_kept(run, {"unit", 2, 1, "r-12345678-1-2-1", "", {"sh /x/.job/shell", "", "", "", {}}});
    remember_kept(run, {"lint", 1, 3, "r-12345678-1-1-3", "", {"sh /y/.job/shell", "", "", "", {}}});
  }
  const std::vector<KeptJob> kept = kept_jobs(run);
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[1].job, "lint");
  EXPECT_EQ(kept[1].attempt, 3U);
  const Check found = check("kept", true);
  EXPECT_EQ(found.state, State::good);
  EXPECT_EQ(found.message, "unit of run 1 (--keep): sh /x/.job/shell");
  EXPECT_EQ(found.hint, "`runner doctor --remove 1` removes it");
  EXPECT_TRUE(std::filesystem::exists(run / "j2-1")) << "--clean is not for it";
  EXPECT_THROW(remove_kept(config_, {2}), UsageError);
  const std::vector<Check> removed = remove_kept(config_, {1});
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].message, "removed what was kept of run 1: unit, lint");
  EXPECT_FALSE(std::filesystem::exists(run));
}

TEST(Checks, AreShownWithAMarkAndWhatToDo) {
  const std::vector<Check> checks{{State::good, "disk", "12 GB free", ""},
                                  {State::doubtful, "live-restore", "off", "turn it on"},
                                  {State::bad, "engine", "gone", "start it"}};
  EXPECT_EQ(checks_text(checks, false),
            "✓ disk          12 GB free\n"
            "! live-restore  off\n"
            "                turn it on\n"
            "✗ engine        gone\n"
            "                start it\n");
  const auto json = nlohmann::json::parse(checks_json(checks));
  EXPECT_EQ(json[1], (nlohmann::json{
                         {"name", "live-restore"}, {"state", "warning"}, {"message", "off"}, {"hint", "turn it on"}}));
}

}  // namespace
}  // namespace runner
