#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <random>
#include <thread>

#include "runner/store/store.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class LogsTest : public ::testing::Test {
 protected:
  TemporaryDirectory dir;
  fs::path file = dir / "runner.db";

  static AttemptKey begin(Store& store) {
    const AttemptKey key{store.create_run(new_run()), 1, 1};
    store.begin_attempt(key);
    return key;
  }
  static std::string whole(const Store& store, const AttemptKey& key) {
    std::string bytes;
    store.read_log(key, 0, [&](std::string_view part) { bytes += part; });
    return bytes;
  }
};

TEST_F(LogsTest, KeepsExactBytes) {
  Store store(file);
  const AttemptKey key = begin(store);
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) {
    bytes += static_cast<char>(i * 7 % 256);
  }
  {
    LogWriter log = store.open_log(key);
    for (std::size_t at = 0; at < bytes.size(); at += 777) {
      log.write(std::string_view(bytes).substr(at, 777), at + 777);
    }
    log.close();
  }
  EXPECT_EQ(whole(store, key), bytes);
  EXPECT_EQ(store.log_size(key), bytes.size());
  for (const std::size_t offset : {0UL, 1UL, 776UL, 777UL, 50'000UL, 99'999UL, 100'000UL, 200'000UL}) {
    EXPECT_EQ(store.read_log(key, offset, 1000), offset < bytes.size() ? bytes.substr(offset, 1000) : "") << offset;
  }
  EXPECT_EQ(store.read_log(key, 5, 0), "");
}

TEST_F(LogsTest, TailGivesTheLastLines) {
  Store store(file);
  const AttemptKey key = begin(store);
  EXPECT_EQ(store.log_tail(key, 3), "");
  store.append_log(key, "one\ntwo\nthree\n", 14);
  EXPECT_EQ(store.log_tail(key, 0), "");
  EXPECT_EQ(store.log_tail(key, 1), "three\n");
  EXPECT_EQ(store.log_tail(key, 2), "two\nthree\n");
  EXPECT_EQ(store.log_tail(key, 9), "one\ntwo\nthree\n");
  store.append_log(key, "four", 18);
  EXPECT_EQ(store.log_tail(key, 1), "four");
  EXPECT_EQ(store.log_tail(key, 2), "three\nfour");
  EXPECT_EQ(store.log_tail(key, 9, 6), "e\nfour");
}

TEST_F(LogsTest, AnotherProcessSeesItAtOnce) {
  Store store(file);
  const AttemptKey key = begin(store);
  Store reader(file);
  LogWriter log = store.open_log(key);
  std::vector<double> waits;
  for (std::uint64_t i = 1; i <= 10; ++i) {
    log.write("x", i);
    const auto begin_time = std::chrono::steady_clock::now();
    while (reader.log_size(key) < i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ASSERT_LT(std::chrono::steady_clock::now() - begin_time, std::chrono::seconds(10));
    }
    waits.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_time).count());
  }
  std::ranges::sort(waits);
  EXPECT_LT(waits[5], 0.5);
}

TEST_F(LogsTest, CursorMovesWithTheBytes) {
  Store store(file);
  const AttemptKey key = begin(store);
  {
    LogWriter log = store.open_log(key);
    log.write("abc", 10);
    log.flush();
    EXPECT_EQ(store.attempt(key)->log_cursor, 10U);
    log.write("[MASKED]", 40);
    log.close();
  }
  EXPECT_EQ(store.attempt(key)->log_cursor, 40U);
  EXPECT_EQ(store.attempt(key)->log_size, 11U);
  LogWriter again = store.open_log(key);
  again.write("def", 43);
  again.close();
  EXPECT_EQ(whole(store, key), "abc[MASKED]def");
}

TEST_F(LogsTest, AKilledWriterLosesNothingThatWasStored) {
  Store store(file);
  const AttemptKey key = begin(store);
  for (int round = 0; round < 5; ++round) {
    const std::uint64_t from = store.attempt(key)->log_cursor;
    Child child([&](const auto& tell) {
      Store theirs(file);
      LogWriter log = theirs.open_log(key);
      std::uint64_t cursor = from;
      for (int i = 0;; ++i) {
        const std::string line = "byte " + std::to_string(cursor) + "\n";
        cursor += line.size();
        log.write(line, cursor);
        if (i == 20'000) {
          log.flush();
          tell();
        }
      }
    });
    ASSERT_TRUE(child.told());
    std::this_thread::sleep_for(std::chrono::milliseconds(7 * round));
    child.kill();
  }
  // Every line tells where it began: nothing is missing, nothing is twice, and the cursor fits.
  const std::string log = whole(store, key);
  EXPECT_EQ(store.attempt(key)->log_cursor, log.size());
  EXPECT_GT(log.size(), 1'000'000U);
  for (std::size_t at = 0; at < log.size();) {
    const std::string expected = "byte " + std::to_string(at) + "\n";
    ASSERT_EQ(log.substr(at, expected.size()), expected);
    at += expected.size();
  }
  EXPECT_EQ(store.check(), "ok");
}

TEST_F(LogsTest, ManyJobsWriteAtOnce) {
  Store store(file);
  const RunId run = store.create_run(new_run(20));
  std::vector<std::jthread> threads;
  for (std::uint32_t job = 1; job <= 20; ++job) {
    store.begin_attempt({run, job, 1});
    threads.emplace_back([&, job] {
      LogWriter log = store.open_log({run, job, 1});
      std::uint64_t cursor = 0;
      for (int i = 0; i < 500; ++i) {
        const std::string line = "job " + std::to_string(job) + " line " + std::to_string(i) + "\n";
        log.write(line, cursor += line.size());
      }
      log.close();
    });
  }
  threads.clear();
  for (std::uint32_t job = 1; job <= 20; ++job) {
    EXPECT_THAT(whole(store, {run, job, 1}), StartsWith("job " + std::to_string(job) + " line 0\n"));
    EXPECT_THAT(whole(store, {run, job, 1}), EndsWith("job " + std::to_string(job) + " line 499\n"));
  }
}

TEST_F(LogsTest, OverTheLimitTheEndIsKept) {
  Store::Options options;
  options.file = file;
  options.log_limit = 10'000;
  options.log_tail = 1'000;
  Store store(options);
  const AttemptKey key = begin(store);
  std::string sent;
  {
    LogWriter log = store.open_log(key);
    for (int i = 0; i < 5'000; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      sent += line;
      log.write(line, sent.size());
    }
    EXPECT_TRUE(log.limited());
    log.close();
  }
  const std::string stored = whole(store, key);
  EXPECT_LT(stored.size(), 11'300U);
  EXPECT_THAT(stored, StartsWith(sent.substr(0, 10'000)));
  EXPECT_THAT(stored, HasSubstr("\nlog limit reached (10000 bytes)"));
  EXPECT_THAT(stored, HasSubstr(" bytes left out]\n" + sent.substr(sent.size() - 1'000)));
  EXPECT_THAT(stored, EndsWith(sent.substr(sent.size() - 1'000)));
  EXPECT_EQ(store.attempt(key)->log_cursor, sent.size());
}

TEST_F(LogsTest, AWriterResumedOverTheLimitEndsAsIfNothingHadHappened) {
  Store::Options options;
  options.file = file;
  options.log_limit = 10'000;
  options.log_tail = 1'000;
  Store store(options);
  const auto line = [](int i) { return "line " + std::to_string(10'000 + i) + "\n"; };  // 11 bytes
  const AttemptKey straight = begin(store);
  LogWriter log = store.open_log(straight);
  for (int i = 0; i < 5'000; ++i) {
    log.write(line(i), 11 * static_cast<std::uint64_t>(i + 1));
  }
  log.close();

  const AttemptKey broken = begin(store);
  Child child([&](const auto& tell) {
    Store theirs(options);
    LogWriter dying = theirs.open_log(broken);
    for (int i = 0; i < 3'000; ++i) {
      dying.write(line(i), 11 * static_cast<std::uint64_t>(i + 1));
    }
    dying.flush();
    tell();
    ::pause();
  });
  ASSERT_TRUE(child.told());
  child.kill();
  const std::uint64_t cursor = store.attempt(broken)->log_cursor;
  EXPECT_GT(cursor, 20'000U) << "what was left out need not be read again";
  LogWriter resumed = store.open_log(broken);
  for (auto i = static_cast<int>(cursor / 11); i < 5'000; ++i) {
    resumed.write(line(i), 11 * static_cast<std::uint64_t>(i + 1));
  }
  resumed.close();
  EXPECT_EQ(whole(store, broken), whole(store, straight));
}

TEST_F(LogsTest, ALogUnderTheLimitIsUntouched) {
  Store::Options options;
  options.file = file;
  options.log_limit = 100;
  Store store(options);
  const AttemptKey key = begin(store);
  LogWriter log = store.open_log(key);
  log.write(std::string(100, 'x'), 100);
  log.close();
  EXPECT_EQ(whole(store, key), std::string(100, 'x'));
}

TEST_F(LogsTest, AMissingAttemptIsTold) {
  Store store(file);
  EXPECT_THROW(store.open_log({1, 1, 1}), StoreError);
  EXPECT_THROW(store.log_size({1, 1, 1}), StoreError);
  EXPECT_THROW(store.append_log({1, 1, 1}, "x", 1), StoreError);
}

TEST_F(LogsTest, AFullDiskIsToldAndHeals) {
  // A limit on the size of files stands for a full disk; in a child, since the tests themselves write files.
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    int code = 0;
    try {
      Store::Options options;
      options.file = file;
      options.patience = std::chrono::milliseconds(200);
      Store store(options);
      const AttemptKey key = begin(store);
      rlimit old{};
      ::getrlimit(RLIMIT_FSIZE, &old);
      rlimit small = old;
      small.rlim_cur = 512 * 1024;
      ::setrlimit(RLIMIT_FSIZE, &small);
      std::mt19937 random(1);
      std::string noise(4 << 20, '\0');
      for (char& c : noise) {
        c = static_cast<char>(random());
      }
      try {
        LogWriter log = store.open_log(key);
        log.write(noise, noise.size());
        log.close();
        code = 2;  // it cannot have been stored
      } catch (const StoreError& error) {
        code = error.fault == StoreFault::full ? 0 : 3;
        if (code != 0) {
          std::fprintf(stderr, "%s\n", error.what());
        }
      }
      ::setrlimit(RLIMIT_FSIZE, &old);
      if (code == 0) {
        code =
            store.finish_attempt(key, {pipelines::Outcome::broken, -1, "runner_system_failure", "", false, false, 1}) &&
                    store.check() == "ok" && store.log_size(key) == 0
                ? 0
                : 4;
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      code = 1;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// The case of `make bench`: 200,000 lines of 100 bytes. Only a gross slowdown fails here.
TEST_F(LogsTest, ManyLinesAreStoredQuickly) {
  Store store(file);
  const AttemptKey key = begin(store);
  const auto start = std::chrono::steady_clock::now();
  LogWriter log = store.open_log(key);
  std::string line(99, 'x');
  line += '\n';
  for (int i = 0; i < 200'000; ++i) {
    const std::string number = std::to_string(i);
    line.replace(0, number.size(), number);
    log.write(line, 100 * static_cast<std::uint64_t>(i + 1));
  }
  log.close();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("20 MB in 200,000 writes: %.3f s\n", seconds);
  EXPECT_EQ(store.log_size(key), 20'000'000U);
  EXPECT_LT(seconds, 20);
}

}  // namespace
}  // namespace runner
