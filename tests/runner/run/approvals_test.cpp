// A step's question (executors/steps/host.h), answered from the store and at a terminal.
#include <gmock/gmock.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <future>
#include <thread>

#include "executors/http/client.h"
#include "runner/run/approvals.h"
#include "runner/run/foreground.h"
#include "runner/run/person.h"
#include "runner/run/step_host.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using executors::steps::Answer;
using executors::steps::Question;
using testing::HasSubstr;

// A console that counts how often it stepped back.
class QuietConsole : public Console {
 public:
  void on(const Event&) override {}
  void pause() override { ++paused; }
  void resume() override { ++resumed; }
  std::atomic<int> paused = 0, resumed = 0;
};

class Terminal {
 public:
  Terminal() {
    if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) throw std::runtime_error("openpty");
  }
  ~Terminal() {
    ::close(master);
    ::close(slave);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  void type(std::string_view text) const {
    ASSERT_EQ(::write(master, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Until `text` was shown.
  std::string wait_for(std::string_view text) {
    while (shown.find(text) == std::string::npos) {
      std::array<char, 512> bytes{};
      const ssize_t count = ::read(master, bytes.data(), bytes.size());
      if (count <= 0) break;
      shown.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return shown;
  }
  int master = -1, slave = -1;
  std::string shown;
};

class StepQuestion : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(store.begin_attempt({run, 1, 1}));
    ASSERT_TRUE(store.attempt_started({run, 1, 1}, 1));
  }
  executors::JobId id() const { return {store.owner(), run, 1, 1, "infra"}; }
  Approval say(Approval::Decision decision, std::string subject) const {
    return {run, 1, std::move(subject), decision, "ann@here", "agreed", unix_now()};
  }

  TemporaryDirectory dir;
  Store store{dir / "runner.db"};
  const RunId run = store.create_run(new_run());
  StepHost host{store};
  const Question question{"digest-1", "apply 3 changes"};
};

TEST_F(StepQuestion, WithoutAnybodyIsLeftOpen) {
  const Answer answer = host.ask(id(), question, {});
  EXPECT_EQ(answer.word, Answer::Word::none);
  ASSERT_EQ(store.waiting_jobs(run).size(), 1U);
  EXPECT_EQ(store.waiting_jobs(run)[0].subject, "digest-1");
  EXPECT_EQ(store.waiting_jobs(run)[0].text, "apply 3 changes");
}

TEST_F(StepQuestion, TakesTheAnswerToItsSubjectAlone) {
  host.ask(id(), question, {});
  ASSERT_TRUE(store.add_approval(say(Approval::Decision::approved, "digest-1")));
  EXPECT_EQ(host.ask(id(), {"digest-2", "apply 4 changes"}, {}).word, Answer::Word::none);
  const Answer answer = host.ask(id(), question, {});
  EXPECT_EQ(answer.word, Answer::Word::approved);
  EXPECT_EQ(answer.who, "ann@here");
  EXPECT_EQ(answer.comment, "agreed");
  EXPECT_TRUE(store.waiting_jobs(run).empty());
}

TEST_F(StepQuestion, TheNewestAnswerWins) {
  host.ask(id(), question, {});
  ASSERT_TRUE(store.add_approval(say(Approval::Decision::approved, "digest-1")));
  ASSERT_TRUE(store.add_approval(say(Approval::Decision::rejected, "digest-1")));
  EXPECT_EQ(host.ask(id(), question, {}).word, Answer::Word::rejected);
}

class AtTheTerminal : public StepQuestion {
 protected:
  void SetUp() override {
    StepQuestion::SetUp();
    host.set_person(&person);
  }
  std::future<Answer> ask(std::stop_token stop = {}) {
    return std::async(std::launch::async, [this, stop] { return host.ask(id(), question, stop); });
  }
  Terminal terminal;
  QuietConsole console;
  Foreground foreground{console};
  Person person{{terminal.slave, terminal.slave}, foreground};
};

TEST_F(AtTheTerminal, YesIsAnApprovalInThePersonsName) {
  auto answer = ask();
  EXPECT_THAT(terminal.wait_for("[y/N]"), HasSubstr("apply 3 changes\r\nGo on with infra? [y/N]"));
  EXPECT_EQ(console.paused, 1);
  EXPECT_EQ(console.resumed, 0);
  terminal.type("y\n");
  EXPECT_EQ(answer.get().word, Answer::Word::approved);
  EXPECT_EQ(console.resumed, 1);
  ASSERT_EQ(store.approvals(run).size(), 1U);
  EXPECT_EQ(store.approvals(run)[0].who, this_person());
  EXPECT_EQ(store.approvals(run)[0].subject, "digest-1");
}

TEST_F(AtTheTerminal, AnythingElseLeavesTheQuestionOpen) {
  for (const char* line : {"\n", "n\n", "yup\n"}) {
    auto answer = ask();
    terminal.shown.clear();
    terminal.wait_for("[y/N]");
    terminal.type(line);
    EXPECT_EQ(answer.get().word, Answer::Word::none) << line;
  }
  EXPECT_TRUE(store.approvals(run).empty());
  EXPECT_EQ(store.waiting_jobs(run).size(), 1U);
}

TEST_F(AtTheTerminal, TheEndOfInputIsNobodyFromThenOn) {
  auto answer = ask();
  terminal.wait_for("[y/N]");
  terminal.type("\x04");
  EXPECT_EQ(answer.get().word, Answer::Word::none);
  EXPECT_EQ(ask().get().word, Answer::Word::none);  // does not wait
}

TEST_F(AtTheTerminal, AnAnswerFromElsewhereEndsTheQuestion) {
  auto answer = ask();
  terminal.wait_for("[y/N]");
  ASSERT_TRUE(store.add_approval(say(Approval::Decision::rejected, "digest-1")));
  EXPECT_EQ(answer.get().word, Answer::Word::rejected);
}

TEST_F(AtTheTerminal, ACancelledRunAsksNoMore) {
  std::stop_source stop;
  auto answer = ask(stop.get_token());
  terminal.wait_for("[y/N]");
  stop.request_stop();
  EXPECT_THROW(answer.get(), executors::http::Cancelled);
}

TEST_F(AtTheTerminal, OneQuestionAtATime) {
  ASSERT_TRUE(store.begin_attempt({run, 2, 1}));
  ASSERT_TRUE(store.attempt_started({run, 2, 1}, 1));
  const auto ask_of = [this](std::uint32_t job) {
    return std::async(std::launch::async, [this, job] {
      return host.ask({store.owner(), run, job, 1, "job-" + std::to_string(job)}, question, {});
    });
  };
  auto one = ask_of(1);
  auto two = ask_of(2);
  terminal.wait_for("[y/N]");
  EXPECT_EQ(console.paused, 1);
  terminal.type("y\n");
  terminal.shown.clear();
  terminal.wait_for("[y/N]");
  terminal.type("n\n");
  const Answer first = one.get(), second = two.get();
  EXPECT_NE(first.word, second.word);  // each had its own line
  EXPECT_EQ(console.resumed, 2);
}

}  // namespace
}  // namespace runner
