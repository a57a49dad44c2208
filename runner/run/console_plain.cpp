// plain: lines only, for logs of other systems and for files.
#include <map>
#include <optional>

#include "runner/run/console_kinds.h"
#include "runner/run/console_text.h"

namespace runner {
namespace {

constexpr std::chrono::milliseconds to_leave{30};
constexpr std::chrono::seconds between_statuses{10};
constexpr std::chrono::seconds worth_a_line{2};  // for so long nobody wonders what goes on before a run begins

class PlainConsole : public TextConsole {
 public:
  explicit PlainConsole(const ConsoleOptions& options) : TextConsole(options, {.times = true, .starts = true}) {
    open(to_leave);
  }
  ~PlainConsole() override { close(); }

 private:
  // Progress comes many times a second; here only now and then.
  void status(const Job& job, std::string_view text) override {
    const auto now = std::chrono::steady_clock::now();
    const auto [said, first] = said_.try_emplace(job.index, now);
    if (!first && now - said->second < between_statuses) return;
    said->second = now;
    say(job, std::string("· ").append(text));
  }
  void run_preparing(std::string_view text) override {
    const auto now = std::chrono::steady_clock::now();
    if (!next_preparing_) next_preparing_ = now + worth_a_line;
    if (now < *next_preparing_) return;
    next_preparing_ = now + between_statuses;
    say(std::string("· ").append(text));
  }
  void over(const Job& job) override { said_.erase(job.index); }

  std::optional<std::chrono::steady_clock::time_point> next_preparing_;
  std::map<pipelines::JobIndex, std::chrono::steady_clock::time_point> said_;
};

}  // namespace

std::unique_ptr<Console> make_plain_console(const ConsoleOptions& options) {
  ConsoleOptions plain = options;
  plain.live = false;
  return std::make_unique<PlainConsole>(plain);
}

}  // namespace runner
