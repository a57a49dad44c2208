// json: one object a line; the keys are listed in console.h.
#include <array>
#include <cstdio>
#include <ctime>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "runner/run/console_kinds.h"
#include "runner/run/log_lines.h"
#include "runner/run/output.h"
#include "runner/run/report_json.h"
#include "runner/run/terminal.h"

namespace runner {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t longest_line = std::size_t{16} << 20;  // longer ones come in pieces
constexpr std::size_t batch = std::size_t{256} << 10;

std::string iso_time(Clock::time_point time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto second = std::chrono::floor<std::chrono::seconds>(ms);
  const std::time_t seconds = Clock::to_time_t(second);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 80> text{};
  const int n = std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                              parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                              static_cast<int>((ms - second).count()));
  return {text.data(), static_cast<std::size_t>(n)};
}

// Bytes that stand in a JSON string as they are.
constexpr std::array<bool, 256> literal = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 0x80; ++c) table[c] = c != '"' && c != '\\';
  return table;
}();

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && literal[static_cast<unsigned char>(text[plain])]) ++plain;
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return;
    const char c = text[0];
    std::size_t length = 1;
    if (static_cast<unsigned char>(c) >= 0x80) {
      length = utf8_sequence(text);
      out.append(length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length));
      if (length == 0) length = 1;
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      constexpr std::string_view digits = "0123456789abcdef";
      out += "\\u00";
      out += {digits[static_cast<unsigned char>(c) >> 4U], digits[static_cast<unsigned char>(c) & 0xfU]};
    }
    text.remove_prefix(length);
  }
}

class JsonConsole : public Console {
 public:
  explicit JsonConsole(const ConsoleOptions& options)
      : output_({.fd = options.out, .patience = options.patience, .frame = {}, .lost = options.lost}) {}

  void on(const Event& event) override {
    std::visit([this](const auto& e) { handle(e); }, event);
  }

  void pause() override { output_.pause(); }
  void resume() override { output_.resume(); }

  void log(const JobKey& key, std::string_view bytes, std::uint64_t) override {
    Job* job = find(key.job);
    if (!job) return;
    const std::lock_guard lock(job->mutex);
    job->begin_batch();
    job->lines.feed(bytes, [&](std::string_view line, std::uint64_t) { add_line(*job, line); });
    send(*job);
  }

 private:
  // Guarded by its mutex: log lines come from the job's thread, its end from the scheduler's.
  struct Job {
    std::mutex mutex;
    RunId run = 0;
    std::string name;
    LogLines lines{LogLines::Mode::exact, longest_line};
    std::string head;  // of every log line of this batch
    std::string batch;
    std::uint64_t batched = 0, dropped = 0;  // lines

    void begin_batch() {
      head =
          R"({"event":"log","run":)" + std::to_string(run) + R"(,"time":")" + iso_time(Clock::now()) + R"(","job":")";
      append_escaped(head, name);
      head += R"(","text":")";
    }
  };

  Job* find(pipelines::JobIndex index) { return index < by_index_.size() ? by_index_[index] : nullptr; }

  std::string name_of(const JobKey& key) {
    const Job* job = find(key.job);
    return job ? job->name : "#" + std::to_string(key.job);
  }

  void add_line(Job& job, std::string_view line) {
    job.batch += job.head;
    append_escaped(job.batch, line);
    job.batch += "\"}\n";
    ++job.batched;
    if (job.batch.size() >= batch) send(job);
  }

  void send(Job& job) {
    if (job.batch.empty()) return;
    if (output_.add_or_drop(job.batch)) {
      tell_dropped(job);
    } else {
      job.dropped += job.batched;
    }
    job.batched = 0;
    job.batch.clear();
    if (job.batch.capacity() > 4 * batch) job.batch.shrink_to_fit();
  }

  void tell_dropped(Job& job) {
    if (job.dropped == 0) return;
    Json line = begin("job_warning", job.run, Clock::now());
    line["job"] = job.name;
    line["message"] = std::to_string(job.dropped) + " lines of the log are left out here: nothing read them in time";
    add(line);
    job.dropped = 0;
  }

  // The attempt is over: its last line may have no newline.
  void flush(const JobKey& key) {
    Job* job = find(key.job);
    if (!job) return;
    const std::lock_guard lock(job->mutex);
    job->begin_batch();
    job->lines.finish([&](std::string_view line, std::uint64_t) { add_line(*job, line); });
    send(*job);
    tell_dropped(*job);
    job->batch = {};
  }

  static Json begin(const char* event, RunId run, Clock::time_point time) {
    return {{"event", event}, {"run", run}, {"time", iso_time(time)}};
  }
  // The beginning of a line about a job.
  Json begin(const char* event, const JobKey& key, Clock::time_point time) {
    const Job* job = find(key.job);
    Json line = begin(event, job ? job->run : run_, time);
    line["job"] = name_of(key);
    return line;
  }
  void add(const Json& line) { output_.add(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"); }
  static Json code(int exit_code) { return exit_code < 0 ? Json() : Json(exit_code); }
  static double seconds(std::chrono::milliseconds ms) { return static_cast<double>(ms.count()) / 1000; }

  void handle(const RunStarted& e) {
    if (run_ == 0) run_ = e.run;
    Json names = Json::array();
    for (const RunStarted::Job& job : e.jobs) {
      names.push_back(job.name);
      if (job.job >= by_index_.size()) by_index_.resize(job.job + std::size_t{1});
      by_index_[job.job] = &jobs_.emplace_back();
      jobs_.back().name = job.name;
      jobs_.back().run = e.run;
    }
    Json line = begin("run_started", e.run, e.time);
    line["file"] = e.file;
    line["ref"] = e.ref;
    line["sha"] = e.sha;
    line["source"] = e.event;
    line["jobs"] = std::move(names);
    if (e.retry_of != 0) line["retry_of"] = e.retry_of;
    if (e.parent != 0) line["parent"] = {{"run", e.parent}, {"job", e.parent_job}};
    add(line);
  }
  void handle(const RunPreparing&) {}
  void handle(const JobPreparing&) {}
  void handle(const JobStatus&) {}
  void handle(const JobStarted& e) {
    Json line = begin("job_started", e.key, e.time);
    add(line);
  }
  void handle(const JobWaiting& e) {
    Json line = begin("job_waiting", e.key, e.time);
    line["message"] = e.text;
    add(line);
    output_.hurry();
  }
  void handle(const JobWarning& e) {
    Json line = begin("job_warning", e.key, e.time);
    line["message"] = e.text;
    add(line);
  }
  void handle(const JobRetried& e) {
    flush(e.key);
    Json line = begin("job_retried", e.key, e.time);
    line["exit_code"] = code(e.exit_code);
    line["reason"] = e.reason;
    line["message"] = e.message;
    add(line);
  }
  void handle(const JobFinished& e) {
    flush(e.key);
    for (const ReportSummary& report : e.reports) {
      Json line = begin("report", e.key, e.time);
      line.update(to_json(report));
      add(line);
    }
    Json line = begin("job_finished", e.key, e.time);
    line["outcome"] = pipelines::to_string(e.outcome);
    line["exit_code"] = code(e.exit_code);
    line["seconds"] = seconds(e.duration);
    line["allowed"] = e.allowed;
    line["reason"] = e.reason;
    line["message"] = e.message;
    if (e.coverage) line["coverage"] = *e.coverage;
    if (e.kept) line["kept"] = {{"enter", e.kept->enter}, {"remove", e.kept->remove}};
    if (e.reused != 0) line["reused"] = e.reused;
    if (!e.approved.empty()) line["approved"] = e.approved;
    add(line);
    output_.hurry();
  }
  void handle(const RunFinished& e) {
    Json line = begin("run_finished", e.run, e.time);
    line["outcome"] = pipelines::to_string(e.verdict);
    line["seconds"] = seconds(e.duration);
    line["message"] = e.message;
    line["critical_path"] = e.critical_path;
    add(line);
    output_.hurry();
  }

  RunId run_ = 0;
  std::deque<Job> jobs_;  // filled by RunStarted, before any of its jobs has a thread
  std::vector<Job*> by_index_;
  Output output_;
};

}  // namespace

std::unique_ptr<Console> make_json_console(const ConsoleOptions& options) {
  return std::make_unique<JsonConsole>(options);
}

}  // namespace runner
