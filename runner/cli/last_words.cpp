#include "runner/cli/last_words.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace runner {
namespace {

struct Silence final : executors::Notices {
  void status(std::string_view) override {}
  void warning(std::string_view) override {}
};

executors::Work both_sections() {
  executors::Work work;
  work.after_script = {""};  // not run: reads what one has written
  return work;
}

}  // namespace

class LastWords::Sink final : public executors::LogSink {
 public:
  Sink(LastWords& owner, const AttemptRow& attempt)
      : owner_(owner), log_(owner.store_.open_log(attempt.key)), cursor_(attempt.log_cursor) {}
  void write(std::string_view bytes) override {
    cursor_ += bytes.size();
    const bool marker = bytes.starts_with("section_");  // the executor's own, in a piece of its own
    owner_.withheld_ = owner_.withheld_ || (owner_.has_secrets_ && !marker);
    if (!owner_.has_secrets_) log_.write(bytes, cursor_);
  }
  void close() { log_.close(); }

 private:
  LastWords& owner_;
  LogWriter log_;
  std::uint64_t cursor_;
};

LastWords::LastWords(Store& store, RunId run) : store_(store) {
  const auto recorded = run == 0 ? std::nullopt : store.run(run);
  if (!recorded) return;
  const auto options = nlohmann::json::parse(recorded->options, nullptr, false);
  has_secrets_ = options.is_object() && options.contains("secrets") && !options["secrets"].empty();
  has_secrets_ = has_secrets_ || (options.is_object() && options.value("credentials", false));
}

void LastWords::keep(const AttemptRow& attempt, executors::Execution& execution, std::stop_token stopped) {
  Sink sink(*this, attempt);
  Silence silence;
  try {
    execution.run(both_sections(), sink, silence, std::move(stopped));
  } catch (const executors::WorldError&) {  // what could be read is kept; the job is removed all the same
  }
  sink.close();
}

void LastWords::keep(const AttemptRow& attempt, executors::JobDirectory& directory) {
  Sink sink(*this, attempt);
  const executors::JobDirectory::Hooks hooks{.dead = [] { return true; }, .kill = {}, .hurry = {}};
  try {
    directory.follow(both_sections(), sink, hooks, attempt.log_cursor, {});
  } catch (const executors::WorldError&) {  // as above
  }
  sink.close();
}

}  // namespace runner
