// pretty: what is over scrolls above; below stands a footer with a line for each running job, drawn ten times a second
// by the output's thread.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>

#include "runner/run/console_kinds.h"
#include "runner/run/console_text.h"
#include "runner/run/terminal.h"

namespace runner {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds per_frame{100};
constexpr std::size_t widest_name = 24;
constexpr std::array<std::string_view, 10> spinner = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};

class PrettyConsole : public TextConsole {
 public:
  explicit PrettyConsole(const ConsoleOptions& options)
      : TextConsole(options, {.times = false, .starts = !options.live}) {
    if (options.live) cursor_.emplace(options.out);
    open(per_frame, options.live ? [this](std::string& bytes) { draw(bytes); } : std::function<void(std::string&)>());
  }
  ~PrettyConsole() override {
    run_over();
    close();
  }

  void pause() override {
    set_away(true);  // the footer goes with what is written last
    TextConsole::pause();
    cursor_.reset();
  }
  void resume() override {
    if (options_.live) cursor_.emplace(options_.out);
    set_away(false);
    TextConsole::resume();
  }

 private:
  struct Shown {
    std::string name;
    Steady::time_point since;
    std::string text;   // its progress or its last line, whichever came last
    bool runs = false;  // else it is only being prepared
  };
  struct Line {
    std::string text;
    std::size_t columns = 0;
  };

  void run_preparing(std::string_view text) override {
    const std::lock_guard lock(mutex_);
    if (preparing_.empty()) begin_ = Steady::now();
    preparing_ = text;
  }
  void run_started(const std::deque<Job>& jobs) override {
    const std::lock_guard lock(mutex_);
    preparing_.clear();
    total_ = jobs.size();  // of the child pipelines that are known, too
    if (!begun_) begin_ = Steady::now();
    begun_ = true;
    for (const Job& job : jobs) name_width_ = std::max(name_width_, std::min(widest_name, display_width(job.name)));
  }
  void preparing(const Job& job) override {
    const std::lock_guard lock(mutex_);
    shown_.try_emplace(job.index, Shown{job.name, Steady::now(), {}, false});
  }
  void started(const Job& job) override {
    const std::lock_guard lock(mutex_);
    shown_[job.index] = {job.name, Steady::now(), {}, true};
  }
  void status(const Job& job, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    shown_.try_emplace(job.index, Shown{job.name, Steady::now(), {}, false}).first->second.text = text;
  }
  void logged(const Job& job, std::string_view last_line) override {
    if (last_line.empty() || !options_.live) return;
    // A screen's width is all that is shown; the rest would only be copied.
    last_line = last_line.substr(0, 1000);
    const std::lock_guard lock(mutex_);
    if (const auto found = shown_.find(job.index); found != shown_.end()) found->second.text = last_line;
  }
  void over(const Job& job) override {
    const std::lock_guard lock(mutex_);
    shown_.erase(job.index);
    if (!job.end) return;
    ++ended_;
    if (job.end->outcome == pipelines::Outcome::passed) ++passed_;
    const bool bad = job.end->outcome == pipelines::Outcome::failed || job.end->outcome == pipelines::Outcome::broken;
    if (bad && !job.end->allowed) ++failed_;
  }
  void run_over() override {
    const std::lock_guard lock(mutex_);
    begun_ = false;
    preparing_.clear();
  }

  // The output's thread: `bytes` are whole lines, to stand above the footer.
  void draw(std::string& bytes) {
    const TerminalSize size = terminal_size(options_.out);
    const std::size_t columns = options_.width > 0 ? static_cast<std::size_t>(options_.width) : size.columns;
    const std::vector<Line> lines = footer(columns, size.rows);
    if (lines.empty() && drawn_.empty()) return;
    // Drawn at once where the terminal knows how, and never wrapped: a wrapped line would be one more to go up.
    std::string out = "\x1b[?2026h\r";
    std::size_t rows = 0;  // that the last footer takes now, should the terminal have become narrower
    for (const Line& line : drawn_) rows += std::max<std::size_t>(1, (line.columns + columns - 1) / columns);
    if (rows > 1) out += fmt::format("\x1b[{}A", rows - 1);
    if (!bytes.empty() || lines.size() < drawn_.size() || rows != drawn_.size()) out += "\x1b[J";
    out += bytes;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (i > 0) out += "\r\n";
      out += lines[i].text;
      out += "\x1b[K";
    }
    out += "\x1b[?2026l";
    bytes = std::move(out);
    drawn_ = lines;
  }

  std::vector<Line> footer(std::size_t columns, std::size_t rows) {
    const std::lock_guard lock(mutex_);
    std::vector<Line> lines;
    if ((!begun_ && preparing_.empty()) || away_ || columns < 20 || rows < 4) return lines;
    const auto now = Steady::now();
    const auto since_begin = std::chrono::duration_cast<std::chrono::milliseconds>(now - begin_);
    const std::string_view spin = spinner[static_cast<std::size_t>(since_begin / per_frame) % spinner.size()];
    const std::size_t room = columns - 1;
    if (!begun_) {
      add(lines, fmt::format("{} {} · {}", paint(spin, "36", options_.colour), preparing_, describe(since_begin)),
          room);
      return lines;
    }
    std::size_t running = 0;
    for (const auto& [index, job] : shown_) running += job.runs;
    std::vector<const Shown*> listed;  // what is prepared ahead only where it says something or nothing else is there
    for (const auto& [index, job] : shown_) {
      if (job.runs || !job.text.empty() || running == 0) listed.push_back(&job);
    }
    std::stable_sort(listed.begin(), listed.end(), [](const Shown* a, const Shown* b) { return a->since < b->since; });
    const std::size_t most = rows / 2;
    std::size_t hidden = 0;
    if (listed.size() > most) {
      hidden = listed.size() - most;
      listed.resize(most);
    }
    for (const Shown* job : listed) {
      const auto elapsed = describe(std::chrono::duration_cast<std::chrono::milliseconds>(now - job->since));
      const std::string name = cut(job->name, widest_name);
      const std::string gap(name_width_ > display_width(name) ? name_width_ - display_width(name) : 0, ' ');
      const std::string text = on_screen(job->text.empty() && !job->runs ? "preparing" : job->text);
      add(lines,
          fmt::format("{} {}{}  {:>8}  {}", paint(spin, "36", options_.colour), paint(name, "1", options_.colour), gap,
                      elapsed, paint(text, "2", options_.colour)),
          room);
    }
    std::string sum = running == 0 && !listed.empty() ? "  preparing" : fmt::format("  {} running", running);
    if (hidden > 0) sum += fmt::format(" ({} not shown)", hidden);
    if (const std::size_t left = total_ - std::min(total_, ended_ + running); left > 0)
      sum += fmt::format(" · {} to come", left);
    if (passed_ > 0) sum += " · " + paint(fmt::format("✓ {} passed", passed_), "32", options_.colour);
    if (failed_ > 0) sum += " · " + paint(fmt::format("✗ {} failed", failed_), "31;1", options_.colour);
    add(lines, sum + " · " + describe(since_begin), room);
    return lines;
  }

  static void add(std::vector<Line>& lines, const std::string& text, std::size_t room) {
    Line line{cut(text, room), 0};
    line.columns = display_width(line.text);
    lines.push_back(std::move(line));
  }

  void set_away(bool away) {
    const std::lock_guard lock(mutex_);
    away_ = away;
  }

  std::mutex mutex_;  // guards what the footer is made of:
  std::map<pipelines::JobIndex, Shown> shown_;
  Steady::time_point begin_;
  bool begun_ = false, away_ = false;
  std::string preparing_;  // what is done before the run begins
  std::size_t total_ = 0, ended_ = 0, passed_ = 0, failed_ = 0, name_width_ = 0;

  std::vector<Line> drawn_;  // the output's thread alone
  std::optional<HiddenCursor> cursor_;
};

}  // namespace

std::unique_ptr<Console> make_pretty_console(const ConsoleOptions& options) {
  return std::make_unique<PrettyConsole>(options);
}

}  // namespace runner
