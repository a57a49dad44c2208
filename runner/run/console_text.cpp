#include "runner/run/console_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "runner/run/terminal.h"

namespace runner {
namespace {

constexpr std::size_t batch_size = std::size_t{256} << 10;
constexpr std::size_t widest_padding = 24;

// Far apart from each other, readable on dark and on light; no red, which is for failures.
constexpr std::array<std::string_view, 12> wheel = {"36", "33", "32", "35", "34",       "96",
                                                    "93", "92", "95", "94", "38;5;208", "38;5;75"};

std::string_view colour_of(std::string_view name) {
  std::uint32_t hash = 2166136261U;  // FNV-1a: the same colour in every run
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return wheel[hash % wheel.size()];
}

// Where after_script's section begins (executors::LogSink); the executor writes it in one piece.
constexpr std::string_view after_marker = ":after_script\r";

std::string short_sha(std::string_view sha) { return on_screen(sha.substr(0, 8)); }

}  // namespace

void TextConsole::open(std::chrono::milliseconds interval, std::function<void(std::string&)> frame) {
  output_ = std::make_unique<Output>(
      Output::Options{options_.out, interval, options_.patience, std::move(frame), options_.lost});
}

void TextConsole::on(const Event& event) {
  std::visit([this](const auto& e) { handle(e); }, event);
}

void TextConsole::log(const JobKey& key, std::string_view bytes, std::uint64_t) {
  Job* job = find(key.job);
  if (!job) return;
  const std::lock_guard lock(job->mutex);
  Live& live = this->live(*job);
  live.head = time_of_day() + job->prefix + " │ ";
  const auto take = [&](std::string_view line, std::uint64_t cut) { add_line(*job, live, line, cut); };
  if (const std::size_t after = bytes.find(after_marker); after != std::string_view::npos) {
    live.lines.feed(bytes.substr(0, after), take);
    live.tail.script_over();
    bytes.remove_prefix(after);
  }
  live.lines.feed(bytes, take);
  send(*job, live);
  const std::string_view pending = live.lines.pending();
  const std::string safe = concealed(live, pending);
  logged(*job, safe.empty() ? pending : safe);
}

void TextConsole::conceal(const JobKey& key, const SecretSet& secrets) {
  Job* job = find(key.job);
  if (!job) return;
  const std::lock_guard lock(job->mutex);
  live(*job).secrets = secrets;
}

// What is shown in the line's place where a secret comes together without its control bytes, and colours with them;
// mostly empty.
std::string TextConsole::concealed(const Live& live, std::string_view line) {
  if (live.secrets.empty()) return {};
  std::string bare = on_screen(line);
  if (bare.size() == line.size()) return {};
  std::string safe = redact(live.secrets, bare);
  return safe == bare ? std::string() : safe;
}

void TextConsole::say(const Job& job, std::string_view text) {
  output_->add(fmt::format("{}{} {}\n", time_of_day(), job.prefix, text));
}

void TextConsole::say(std::string_view text) { output_->add(fmt::format("{}{}\n", time_of_day(), text)); }

std::size_t TextConsole::width() const {
  if (options_.width > 0) return static_cast<std::size_t>(options_.width);
  return options_.live ? terminal_size(options_.out).columns : 0;
}

TextConsole::Job* TextConsole::find(pipelines::JobIndex index) {
  return index < by_index_.size() ? by_index_[index] : nullptr;
}

TextConsole::Live& TextConsole::live(Job& job) {
  if (!job.live) job.live = std::make_unique<Live>();
  return *job.live;
}

void TextConsole::add_line(Job& job, Live& live, std::string_view line, std::uint64_t cut) {
  live.batch += live.head;
  const std::size_t begin = live.batch.size();
  const std::string safe = concealed(live, line);
  append_screen(live.batch, safe.empty() ? line : safe, options_.colour, live.carry);
  if (cut > 0) live.batch += fmt::format(" … and {} more bytes", cut);
  const std::string_view shown = std::string_view(live.batch).substr(begin);
  live.tail.add(shown);
  if (!shown.empty()) logged(job, shown);
  live.batch += '\n';
  ++live.batched;
  if (live.batch.size() >= batch_size) send(job, live);
}

void TextConsole::send(Job& job, Live& live) {
  if (live.batch.empty()) return;
  if (output_->add_or_drop(live.batch)) {
    tell_dropped(job, live);
  } else {
    live.dropped += live.batched;
  }
  live.batched = 0;
  live.batch.clear();
}

void TextConsole::tell_dropped(Job& job, Live& live) {
  if (live.dropped == 0) return;
  say(job, fmt::format("! {} lines are left out here, nothing read them in time: runner logs {} has them", live.dropped,
                       job.run));
  live.dropped = 0;
}

// The last line may have no newline.
void TextConsole::end_attempt(Job& job) {
  const std::lock_guard lock(job.mutex);
  if (!job.live) return;
  Live& live = *job.live;
  live.head = time_of_day() + job.prefix + " │ ";
  live.lines.finish([&](std::string_view line, std::uint64_t cut) { add_line(job, live, line, cut); });
  send(job, live);
  tell_dropped(job, live);
  job.kept = std::move(job.live);
}

std::string TextConsole::time_of_day() const {
  if (!style_.times) return {};
  const std::time_t now = Clock::to_time_t(Clock::now());
  std::tm parts{};
  ::localtime_r(&now, &parts);
  return paint(fmt::format("{:02}:{:02}:{:02}", parts.tm_hour, parts.tm_min, parts.tm_sec), "2", options_.colour) + ' ';
}

void TextConsole::handle(const RunPreparing& e) { run_preparing(on_screen(e.text)); }

void TextConsole::handle(const RunStarted& e) {
  if (run_ == 0) {
    run_ = e.run;
    file_ = on_screen(e.file);
  }
  // Its name, which has the jobs above it, is the prefix.
  const auto parent = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) {
    return job.run == e.parent && job.own_name == on_screen(e.parent_job);
  });
  const std::string prefix =
      e.parent_job.empty() ? "" : (parent == jobs_.end() ? on_screen(e.parent_job) : parent->name) + " › ";
  for (const RunStarted::Job& job : e.jobs) {
    if (job.job >= by_index_.size()) by_index_.resize(job.job + std::size_t{1});
    Job& view = jobs_.emplace_back();
    by_index_[job.job] = &view;
    view.index = job.job;
    view.run = e.run;
    view.own_name = on_screen(job.name);
    view.name = prefix + on_screen(job.name);
    view.stage = on_screen(job.stage);
  }
  pad_names();
  tell_start(e);
  run_started(jobs_);
}

void TextConsole::pad_names() {
  std::size_t padding = 0;
  for (const Job& job : jobs_) padding = std::max(padding, display_width(job.name));
  padding = std::min(padding, widest_padding);
  for (Job& job : jobs_) {
    const std::size_t wide = display_width(job.name);
    job.prefix =
        paint(job.name, colour_of(job.name), options_.colour) + std::string(wide < padding ? padding - wide : 0, ' ');
  }
}

void TextConsole::tell_start(const RunStarted& e) {
  std::string line = fmt::format("{}run {}", time_of_day(), e.run);
  if (e.parent != 0) line += fmt::format(" · started by {} of run {}", on_screen(e.parent_job), e.parent);
  for (const std::string& part : {on_screen(e.file), on_screen(e.ref), short_sha(e.sha), on_screen(e.event)}) {
    if (!part.empty() && e.parent == 0) line += " · " + part;
  }
  if (e.retry_of != 0) line += fmt::format(" · retry of run {}", e.retry_of);
  line += fmt::format(" · {} job{}\n", e.jobs.size(), e.jobs.size() == 1 ? "" : "s");
  output_->add(line);
}

void TextConsole::handle(const JobPreparing& e) {
  if (const Job* job = find(e.key.job)) preparing(*job);
}

void TextConsole::handle(const JobStarted& e) {
  const Job* job = find(e.key.job);
  if (!job) return;
  if (style_.starts) say(*job, e.key.attempt > 1 ? fmt::format("▶ started, attempt {}", e.key.attempt) : "▶ started");
  started(*job);
}

void TextConsole::handle(const JobWaiting& e) {
  Job* job = find(e.key.job);
  if (!job) return;
  job->waits = true;
  say(*job,
      paint("○ waits to be started by hand", "36", options_.colour) + (e.text.empty() ? "" : ": " + on_screen(e.text)));
  output_->hurry();
}

void TextConsole::handle(const JobStatus& e) {
  if (const Job* job = find(e.key.job)) status(*job, on_screen(e.text));
}

void TextConsole::handle(const JobWarning& e) {
  const Job* job = find(e.key.job);
  if (job) say(*job, paint("! warning", "33", options_.colour) + ": " + on_screen(e.text));
}

void TextConsole::handle(const JobRetried& e) {
  Job* job = find(e.key.job);
  if (!job) return;
  end_attempt(*job);
  over(*job);
  std::string reason = on_screen(e.message);
  if (reason.empty()) reason = e.exit_code > 0 ? fmt::format("exit code {}", e.exit_code) : on_screen(e.reason);
  say(*job, paint(fmt::format("! attempt {} failed", e.key.attempt), "33", options_.colour) +
                (reason.empty() ? "" : ": " + reason) + "; trying again");
  job->kept.reset();
}

void TextConsole::handle(const JobFinished& e) {
  Job* job = find(e.key.job);
  if (!job) return;
  end_attempt(*job);
  job->end = std::make_unique<JobFinished>(e);
  over(*job);
  const bool said = job->waits && e.outcome == pipelines::Outcome::manual;
  if (!said) say(*job, finished_line(e, options_.colour));
  const bool failed = e.outcome == pipelines::Outcome::failed || e.outcome == pipelines::Outcome::broken;
  if (!failed || e.allowed) job->kept.reset();
  output_->hurry();
}

void TextConsole::handle(const RunFinished& e) {
  if (e.run != run_) {
    output_->add(fmt::format("{}run {} {} in {}\n", time_of_day(), e.run, pipelines::to_string(e.verdict),
                             describe(e.duration)));
    return;
  }
  run_over();
  Report report{.run = run_, .file = file_, .jobs = {}, .end = &e, .colour = options_.colour, .width = width()};
  report.jobs.reserve(jobs_.size());
  for (const Job& job : jobs_) {
    report.jobs.push_back(
        {job.name, job.stage, job.run, job.own_name, job.end.get(), job.kept ? &job.kept->tail : nullptr});
  }
  output_->add(closing_report(report));
  output_->hurry();
}

}  // namespace runner
