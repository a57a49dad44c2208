// What pretty and plain have in common: log lines with the job's name before them, a line for each thing that happens,
// and the closing report.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "runner/run/console.h"
#include "runner/run/console_report.h"
#include "runner/run/log_lines.h"
#include "runner/run/output.h"

namespace runner {

class TextConsole : public Console {
 public:
  void on(const Event&) final;
  void log(const JobKey&, std::string_view bytes, std::uint64_t raw) final;
  void conceal(const JobKey&, const SecretSet&) final;
  void pause() override { output_->pause(); }
  void resume() override { output_->resume(); }

 protected:
  struct Style {
    bool times = false;   // a time of day before each line
    bool starts = false;  // a line for each job that starts
  };
  static constexpr std::size_t longest_line = std::size_t{32} << 10;  // bytes of a line that are shown

  // What is kept of a job while it may log. Guarded by Job::mutex.
  struct Live {
    LogLines lines{LogLines::Mode::screen, longest_line};
    Tail tail;
    std::string carry;                       // see append_screen
    SecretSet secrets;                       // see Observer::conceal
    std::string batch;                       // lines on their way to the output
    std::string head;                        // what each of them begins with
    std::uint64_t batched = 0, dropped = 0;  // lines
  };
  struct Job {
    pipelines::JobIndex index = 0;
    RunId run = 0;
    std::string name, stage;  // as they may be shown
    std::string own_name;     // without its parent's
    std::string prefix;       // the name, coloured and padded
    std::mutex mutex;
    std::unique_ptr<Live> live;
    std::unique_ptr<JobFinished> end;  // the scheduler's thread alone, as the next one
    std::unique_ptr<Live> kept;        // of a failed job, for the report
    bool waits = false;                // that was said
  };

  TextConsole(const ConsoleOptions& options, Style style) : options_(options), style_(style) {}
  // The last thing a constructor does and the first a destructor: `frame` may be called from one to the other.
  void open(std::chrono::milliseconds interval, std::function<void(std::string&)> frame = nullptr);
  void close() { output_.reset(); }

  // Called on the scheduler's thread, but logged(): on the job's.
  virtual void preparing(const Job&) {}
  virtual void started(const Job&) {}
  virtual void status(const Job&, std::string_view) {}
  virtual void logged(const Job&, std::string_view last_line) { (void)last_line; }
  virtual void over(const Job&) {}  // an attempt or the job; `end` is set when it is the job
  virtual void run_preparing(std::string_view) {}
  virtual void run_started(const std::deque<Job>&) {}
  virtual void run_over() {}

  void say(const Job&, std::string_view text);
  void say(std::string_view text);
  std::size_t width() const;

  const ConsoleOptions options_;

 private:
  void handle(const RunPreparing&);
  void handle(const RunStarted&);
  void tell_start(const RunStarted&);
  void pad_names();
  void handle(const JobPreparing&);
  void handle(const JobWaiting&);
  void handle(const JobStarted&);
  void handle(const JobRetried&);
  void handle(const JobStatus&);
  void handle(const JobWarning&);
  void handle(const JobFinished&);
  void handle(const RunFinished&);

  Job* find(pipelines::JobIndex);
  Live& live(Job&);
  void add_line(Job&, Live&, std::string_view line, std::uint64_t cut);
  static std::string concealed(const Live&, std::string_view line);
  void send(Job&, Live&);
  void tell_dropped(Job&, Live&);
  void end_attempt(Job&);
  std::string time_of_day() const;

  const Style style_;
  RunId run_ = 0;
  std::string file_;
  std::deque<Job> jobs_;  // filled by RunStarted, before any of its jobs has a thread
  std::vector<Job*> by_index_;
  std::unique_ptr<Output> output_;
};

}  // namespace runner
