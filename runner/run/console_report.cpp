#include "runner/run/console_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "runner/run/terminal.h"

namespace runner {
namespace {

using pipelines::Outcome;
using pipelines::Verdict;

constexpr std::size_t longest_kept = 4000;  // bytes of a line that is kept to be repeated
constexpr std::size_t most_failures = 10;   // reported at length
constexpr std::size_t most_rows = 100;      // of the table; above, only what did not pass

struct Look {
  std::string_view mark, word, sgr;
};

Look look(const JobFinished& end) {
  if (end.allowed && (end.outcome == Outcome::failed || end.outcome == Outcome::broken)) {
    return {"!", pipelines::to_string(end.outcome), "33"};
  }
  switch (end.outcome) {
    case Outcome::passed:
      return {"✓", "passed", "32"};
    case Outcome::failed:
      return {"✗", "failed", "31;1"};
    case Outcome::skipped:
      return {"⊘", "skipped", "2"};
    case Outcome::cancelled:
      return {"⊘", "cancelled", "33"};
    case Outcome::broken:
      return {"✗", "broken", "31;1"};
    case Outcome::manual:
      return {"○", "manual", "36"};
  }
  return {"?", "unknown", ""};
}

Look look(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return {"✓", "passed", "32;1"};
    case Verdict::failed:
      return {"✗", "failed", "31;1"};
    case Verdict::cancelled:
      return {"⊘", "cancelled", "33;1"};
    case Verdict::broken:
      return {"✗", "broken", "31;1"};
    case Verdict::waiting:
      return {"○", "waiting", "36;1"};
    case Verdict::skipped:
      return {"⊘", "skipped", "2"};
  }
  return {"?", "unknown", ""};
}

bool has_failed(const JobFinished& end) {
  return !end.allowed && (end.outcome == Outcome::failed || end.outcome == Outcome::broken);
}

// As a shell would read it back.
std::string quoted(std::string_view word) {
  const auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:+@%,=").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), harmless)) return std::string(word);
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string padded(std::string_view text, std::size_t columns) {
  std::string out(text);
  const std::size_t width = display_width(text);
  if (width < columns) out.append(columns - width, ' ');
  return out;
}

void append_failure(std::string& out, const Report& report, const ReportedJob& job) {
  const Look shown = look(*job.end);
  const std::string reason = why(*job.end);
  out += paint(fmt::format("{} {} {}", shown.mark, job.name, shown.word), shown.sgr, report.colour);
  if (!reason.empty()) out += ": " + reason;
  out += '\n';
  const std::string bar = paint("│", "31", report.colour);
  if (job.tail) {
    const auto lines = job.tail->lines();
    const std::string& command = job.tail->command();
    if (!command.empty()) out += fmt::format("  at: {}\n", report.width ? cut(command, report.width - 6) : command);
    if (!lines.empty()) {
      out += lines.size() == 1 ? "  its last line:\n" : fmt::format("  its last {} lines:\n", lines.size());
      for (const std::string_view line : lines) out += fmt::format("  {} {}\n", bar, line);
    }
    if (!lines.empty()) out += fmt::format("  all of it: runner logs {} {}\n", job.run, quoted(job.own_name));
  }
  if (!report.file.empty() && job.run == report.run)
    out += fmt::format("  again:     runner exec {} {} --needs\n", quoted(report.file), quoted(job.name));
  out += '\n';
}

constexpr std::size_t longest_why = 60;  // the whole of it stands in the job's own line above

void append_table(std::string& out, const Report& report) {
  std::vector<const ReportedJob*> rows;
  for (const ReportedJob& job : report.jobs) {
    if (job.end) rows.push_back(&job);
  }
  std::size_t passed_unlisted = 0, unlisted = 0;
  if (rows.size() > most_rows) {
    const std::size_t all = rows.size();
    std::erase_if(rows, [](const ReportedJob* job) { return job->end->outcome == Outcome::passed; });
    passed_unlisted = all - rows.size();
    if (rows.size() > most_rows) {
      unlisted = rows.size() - most_rows;
      rows.resize(most_rows);
    }
  }
  constexpr std::size_t widest_name = 40, outcome_width = 11;
  std::size_t name_width = 3, stage_width = 5, time_width = 4;
  const auto time_of = [](const JobFinished& end) {
    return end.key.attempt > 0 || end.duration.count() > 0 ? describe(end.duration) : std::string();
  };
  for (const ReportedJob* job : rows) {
    name_width = std::max(name_width, std::min(widest_name, display_width(job->name)));
    stage_width = std::max(stage_width, std::min(widest_name, display_width(job->stage)));
    time_width = std::max(time_width, time_of(*job->end).size());
  }
  if (!rows.empty()) {
    out += paint(fmt::format("{}  {}  {}  {}  {}", padded("job", name_width), padded("stage", stage_width),
                             padded("outcome", outcome_width), padded("time", time_width), "why"),
                 "2", report.colour);
    out += '\n';
  }
  for (const ReportedJob* job : rows) {
    std::string line =
        fmt::format("{}  {}  {}  {}  {}", padded(job->name, name_width), padded(job->stage, stage_width),
                    padded(mark_and_word(*job->end, report.colour), outcome_width),
                    fmt::format("{:>{}}", time_of(*job->end), time_width), cut(why(*job->end), longest_why));
    if (report.width > 0) line = cut(line, report.width);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  if (unlisted > 0) out += fmt::format("… and {} more that did not pass\n", unlisted);
  if (passed_unlisted > 0) out += fmt::format("… and {} that passed\n", passed_unlisted);
  if (!report.jobs.empty()) out += '\n';
}

// What the jobs' reports come to, a line each; failures and serious findings stand out.
void append_reports(std::string& out, const Report& report) {
  std::vector<std::pair<std::string, std::string>> lines;
  for (const ReportedJob& job : report.jobs) {
    if (!job.end) continue;
    if (job.end->coverage) {
      lines.emplace_back(fmt::format("{}: coverage", job.name), fmt::format("{:g} %", *job.end->coverage));
    }
    for (const ReportSummary& one : job.end->reports) {
      const bool bad = one.count("failures") + one.count("errors") + one.count("critical") + one.count("blocker") > 0;
      lines.emplace_back(fmt::format("{}: {}", job.name, one.kind),
                         paint(on_screen(describe(one)), bad ? "31" : "", report.colour && bad));
    }
  }
  if (lines.empty()) return;
  constexpr std::size_t most_lines = 50;
  std::size_t width = 0;
  for (const auto& line : lines) width = std::max(width, std::min<std::size_t>(50, display_width(line.first)));
  for (std::size_t i = 0; i < std::min(lines.size(), most_lines); ++i) {
    const std::string line = fmt::format("{}  {}", padded(lines[i].first, width), lines[i].second);
    out += (report.width > 0 ? cut(line, report.width) : line) + '\n';
  }
  if (lines.size() > most_lines) out += fmt::format("… and {} more reports\n", lines.size() - most_lines);
  out += '\n';
}

// What stays although the run is over, and how to get in and rid of it.
void append_kept(std::string& out, const Report& report) {
  for (const ReportedJob& job : report.jobs) {
    if (!job.end || !job.end->kept) continue;
    out += paint(fmt::format("{} is kept as its script left it", job.name), "36", report.colour);
    out += fmt::format("\n  enter:     {}\n  remove it: {}\n\n", on_screen(job.end->kept->enter),
                       on_screen(job.end->kept->remove));
  }
}

// Only where there is more than one way through the run.
std::string critical_path_line(const Report& report) {
  const auto& path = report.end->critical_path;
  if (path.empty() || report.jobs.size() <= path.size()) return {};
  std::string line = "critical path: ";
  for (std::size_t i = 0; i < path.size(); ++i) line += (i > 0 ? " → " : "") + on_screen(path[i]);
  return (report.width > 0 ? cut(line, report.width) : line) + "\n\n";
}

}  // namespace

void Tail::add(std::string_view line) {
  if (line.size() > longest_kept) {
    std::size_t end = longest_kept;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0U) == 0x80) --end;
    line = line.substr(0, end);
  }
  ring_[count_++ % length].assign(line);
  if (script_over_ || line.empty() || (line[0] != '$' && line[0] != '\x1b')) return;
  std::string bare = on_screen(line);
  if (bare.starts_with("$ ")) command_ = std::move(bare);
}

std::vector<std::string_view> Tail::lines() const {
  std::vector<std::string_view> all;
  for (std::size_t i = count_ > length ? count_ - length : 0; i < count_; ++i) all.emplace_back(ring_[i % length]);
  return all;
}

std::string describe(std::chrono::milliseconds time) {
  const auto ms = std::max<std::int64_t>(0, time.count());
  if (ms < 100'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  const std::int64_t seconds = ms / 1000;
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {:02} min", seconds / 3600, seconds % 3600 / 60);
}

std::string describe_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  std::string_view units = "kMGTP";
  do {
    value /= 1000;
    if (value < 999.95 || units.size() == 1) break;
    units.remove_prefix(1);
  } while (true);
  return fmt::format("{:.1f} {}B", value, units[0]);
}

namespace {

std::string why_of_attempt(const JobFinished& end) {
  std::string text = on_screen(end.message);
  if (text.empty() && end.exit_code > 0) text = fmt::format("exit code {}", end.exit_code);
  if (text.empty()) text = on_screen(end.reason);
  const bool failed = end.outcome == Outcome::failed || end.outcome == Outcome::broken;
  if (end.allowed && failed) text += text.empty() ? "allowed to fail" : " (allowed to fail)";
  if (!end.approved.empty()) text += (text.empty() ? "" : "; ") + on_screen(end.approved);
  if (end.reused != 0) text = fmt::format("in run {}{}{}", end.reused, text.empty() ? "" : ": ", text);
  return text;
}

std::string which_attempt(const JobFinished& end) {
  return end.key.attempt > 1 ? fmt::format("(attempt {})", end.key.attempt) : std::string();
}

}  // namespace

std::string why(const JobFinished& end) {
  std::string text = why_of_attempt(end);
  const std::string attempt = which_attempt(end);
  return text.empty() || attempt.empty() ? text + attempt : text + " " + attempt;
}

std::string mark_and_word(const JobFinished& end, bool colour) {
  const Look shown = look(end);
  return paint(fmt::format("{} {}", shown.mark, shown.word), shown.sgr, colour);
}

std::string finished_line(const JobFinished& end, bool colour) {
  std::string line = mark_and_word(end, colour);
  if (end.key.attempt > 0) line += " in " + describe(end.duration);
  if (const std::string reason = why_of_attempt(end); !reason.empty()) line += (end.reused != 0 ? " " : ": ") + reason;
  if (const std::string attempt = which_attempt(end); !attempt.empty()) line += " " + attempt;
  if (end.artifact_files > 0) {
    line += fmt::format("; kept {} file{}, {}", end.artifact_files, end.artifact_files == 1 ? "" : "s",
                        describe_bytes(end.artifact_bytes));
  }
  return line;
}

std::string closing_report(const Report& report) {
  std::string out;
  if (!report.jobs.empty()) out += '\n';
  std::size_t failures = 0;
  for (const ReportedJob& job : report.jobs) {
    if (job.end && has_failed(*job.end) && ++failures <= most_failures) append_failure(out, report, job);
  }
  if (failures > most_failures) out += fmt::format("… and {} more that failed\n\n", failures - most_failures);
  if (failures > 0) out += fmt::format("what failed, with the artifacts of the rest: runner retry {}\n\n", report.run);
  append_table(out, report);
  if (report.end != nullptr) out += critical_path_line(report);
  append_reports(out, report);
  append_kept(out, report);
  if (report.end) {
    const Look shown = look(report.end->verdict);
    out += paint(fmt::format("{} run {} {}", shown.mark, report.run, shown.word), shown.sgr, report.colour);
    out += " in " + describe(report.end->duration);
    if (!report.end->message.empty()) out += ": " + on_screen(report.end->message);
    out += '\n';
  }
  return out;
}

}  // namespace runner
