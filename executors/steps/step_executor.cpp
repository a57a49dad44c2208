// The executor of built-in steps: steps that are made of API calls run here, in the runner; all other jobs are passed
// on to the executor beneath. A step has no sandbox and no process: what outlives the runner is its journal.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "executors/make.h"
#include "executors/steps/steps.h"
#include "executors/unique_fd.h"
#include "executors/workspace/tree.h"

namespace executors {
namespace {

using std::chrono::milliseconds;
using steps::Context;

constexpr std::size_t dotenv_file_limit = 4'000;  // what a report may hold is limited by file (runner/run/reports.cpp)

bool concerns_aws(std::string_view name) {
  return name.starts_with("AWS_") || name == "SSL_CERT_FILE" || name == "HOME";
}

// RUNNER_POLL_INTERVAL: seconds, with a fraction if need be.
std::optional<milliseconds> poll_interval(std::string_view text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || seconds <= 0) return std::nullopt;
  return milliseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1000)));
}

// A token that stops when another does, or when the time is over.
class Limited {
 public:
  Limited(const std::stop_token& outer, std::chrono::seconds time)
      : forward_(outer, [this] { source_.request_stop(); }), timer_([this, time](const std::stop_token& ended) {
          std::unique_lock lock(mutex_);
          if (over_.wait_for(lock, ended, time, [] { return false; }) || ended.stop_requested()) return;
          expired_ = true;
          source_.request_stop();
        }) {}
  std::stop_token token() const { return source_.get_token(); }
  bool expired() {
    const std::scoped_lock lock(mutex_);
    return expired_;
  }

 private:
  std::stop_source source_;
  std::mutex mutex_;
  std::condition_variable_any over_;
  bool expired_ = false;
  std::stop_callback<std::function<void()>> forward_;
  std::jthread timer_;  // last: it uses all of the above
};

// Counts what goes into the job's log, from what is stored of it on: a place in it is told to the executor beneath when
// a tool is taken up again.
class CountedLog : public LogSink {
 public:
  CountedLog(LogSink& log, std::uint64_t kept) : log_(log), position_(kept) {}
  void write(std::string_view bytes) override {
    log_.write(bytes);
    position_ += bytes.size();
  }
  std::uint64_t position() const { return position_; }

 private:
  LogSink& log_;
  std::uint64_t position_;
};

// Where the step stands: begun by this process, or by one that died.
struct Beginning {
  bool adopted = false;
  std::string handle;
  std::uint64_t kept = 0;  // bytes of the log
};

class ToolSandbox : public steps::Sandbox {
 public:
  ToolSandbox(Executor& inner, const JobSpec& spec, std::unique_ptr<Execution> first, Beginning begun, const Work& work,
              CountedLog& log, Notices& notices)
      : inner_(inner),
        spec_(spec),
        execution_(std::move(first)),
        begun_(std::move(begun)),
        work_(work),
        log_(log),
        notices_(notices) {}

  steps::ToolEnd run(std::string_view name, const steps::ToolRun& tool, steps::Journal& journal,
                     const std::stop_token& stop) override {
    const std::string entry = fmt::format("tool {}", name);
    JobSpec spec = spec_;
    if (runs_++ != 0) spec.layer += fmt::format("-{}", runs_);
    const auto known = journal.find(entry);
    if (known && known->answer) return end_of(nlohmann::json::parse(*known->answer));
    if (known && begun_.adopted) execution_ = take_up(spec, nlohmann::json::parse(known->intent), tool, name);
    begun_.adopted = false;
    if (!execution_) {
      inner_.settle();  // another one of the same names may be going
      execution_ = inner_.prepare(spec, notices_, stop);
    }
    if (!known) {
      journal.intend(entry, nlohmann::json{{"at", log_.position()}, {"handle", execution_->handle()}}.dump());
    }
    steps::ToolEnd end;
    end.result = execution_->run(work_of(tool), log_, notices_, stop);
    execution_.reset();
    if (end.result.outcome == pipelines::Outcome::cancelled) throw http::Cancelled();
    journal.answer(entry, text_of(end.result));
    take_the_jobs_own(end, tool);
    return end;
  }

  // What the job itself asked for (its artifacts and caches), of the last tool that ran.
  void give(JobResult& result) {
    for (auto& each : own_) result.collected.push_back(std::move(each));
    result.caches = std::move(caches_);
  }

 private:
  std::unique_ptr<Execution> take_up(const JobSpec& spec, const nlohmann::json& intent, const steps::ToolRun& tool,
                                     std::string_view name) {
    const auto at = intent.value("at", std::uint64_t{0});
    auto execution = inner_.adopt(spec, intent.value("handle", begun_.handle), begun_.kept - std::min(at, begun_.kept));
    if (execution || tool.repeatable) return execution;
    throw steps::StepFailed(
        fmt::format("{} was running when its runner died, and its sandbox is gone: what it did is not known, and it is "
                    "not done again by itself",
                    name));
  }

  Work work_of(const steps::ToolRun& tool) const {
    Work work = work_;
    work.step.reset();
    work.script = tool.script;
    work.environment.insert(work.environment.end(), tool.environment.begin(), tool.environment.end());
    work.timeout += std::chrono::minutes(1);  // ours is over first, and says so
    work.artifacts.reports.insert(work.artifacts.reports.end(), tool.collect.begin(), tool.collect.end());
    return work;
  }

  void take_the_jobs_own(steps::ToolEnd& end, const steps::ToolRun& tool) {
    own_.clear();
    const auto asked = [&](const Collected& each) {
      return std::any_of(tool.collect.begin(), tool.collect.end(),
                         [&](const ReportSpec& report) { return report.kind == each.kind; });
    };
    for (const Collected& each : end.result.collected) {
      if (!asked(each)) own_.push_back(each);
    }
    std::erase_if(end.result.collected, [&](const Collected& each) { return !asked(each); });
    caches_ = std::move(end.result.caches);
    end.result.caches.clear();
  }

  static std::string text_of(const JobResult& result) {
    nlohmann::json collected = nlohmann::json::array();
    for (const Collected& each : result.collected) {
      collected.push_back({each.kind, each.directory.string(), each.files, each.bytes});
    }
    return nlohmann::json{{"outcome", static_cast<int>(result.outcome)},
                          {"exit_code", result.exit_code},
                          {"reason", result.reason},
                          {"message", result.message},
                          {"collected", collected}}
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  static steps::ToolEnd end_of(const nlohmann::json& known) {
    steps::ToolEnd end;
    end.result.outcome = static_cast<pipelines::Outcome>(known.at("outcome").get<int>());
    end.result.exit_code = known.at("exit_code");
    end.result.reason = known.at("reason");
    end.result.message = known.at("message");
    for (const auto& each : known.at("collected")) {
      end.result.collected.push_back({each.at(0), each.at(1).get<std::string>(), each.at(2), each.at(3)});
    }
    return end;
  }

  Executor& inner_;
  const JobSpec& spec_;
  std::unique_ptr<Execution> execution_;  // made ready for the next tool
  Beginning begun_;
  const Work& work_;
  CountedLog& log_;
  Notices& notices_;
  int runs_ = 0;
  std::vector<Collected> own_;
  std::vector<CollectedCache> caches_;
};

class StepExecution : public Execution {
 public:
  StepExecution(JobSpec spec, Executor& inner, std::unique_ptr<Execution> sandbox, steps::Host& host,
                const StepSettings& settings, std::stop_token hurry, Beginning begun)
      : spec_(std::move(spec)),
        inner_(inner),
        sandbox_(std::move(sandbox)),
        host_(host),
        settings_(settings),
        hurry_(std::move(hurry)),
        begun_(std::move(begun)) {}
  ~StepExecution() override {
    if (spec_.step == StepPlace::runner) remove_tree(spec_.directory);
  }

  std::string handle() const override { return sandbox_ ? sandbox_->handle() : "step"; }

  JobResult run(const Work& work, LogSink& sink, Notices& notices, std::stop_token stop) override {
    Limited limited(stop, work.timeout);
    CountedLog log(sink, begun_.kept);
    const bool own_section = spec_.step == StepPlace::runner;  // else each tool has its own
    if (own_section) section(log, "start");
    if (begun_.kept != 0) log.write("runner: taken up again after the runner's end\n");
    JobResult result;
    try {
      result = run_in(work, log, notices, limited.token());
    } catch (const steps::StepFailed& error) {
      result = steps::failed(error.what());
      log.write(result.message + "\n");
    } catch (const http::Cancelled&) {
      result = cancelled(limited.expired(), work.timeout);
    } catch (const aws::CallError& error) {
      result = refused(error);
      log.write(result.message + "\n");
    } catch (const aws::SetupError& error) {
      result.outcome = pipelines::Outcome::broken;
      result.reason = "runner_configuration_error";
      result.message = error.what();
      log.write(result.message + "\n");
    }
    if (own_section) section(log, "end");
    return result;
  }

 private:
  static void section(LogSink& log, std::string_view which) {
    log.write(fmt::format("section_{}:{:010}:step_script\r\033[0K", which, std::time(nullptr)));
  }

  static JobResult cancelled(bool expired, std::chrono::seconds timeout) {
    JobResult result;
    result.outcome = expired ? pipelines::Outcome::failed : pipelines::Outcome::cancelled;
    if (expired) {
      result.reason = "job_execution_timeout";
      result.message = fmt::format("the job took longer than its timeout of {}", steps::spoken(timeout));
    }
    return result;
  }

  // The service's own no is the author's to mend; no answer at all is the world's.
  static JobResult refused(const aws::CallError& error) {
    JobResult result = steps::failed(error.what());
    if (error.trouble == aws::Trouble::none || error.trouble == aws::Trouble::expired) return result;
    result.outcome = pipelines::Outcome::broken;
    result.exit_code = -1;
    result.reason = "runner_system_failure";
    return result;
  }

  JobResult run_in(const Work& work, CountedLog& log, Notices& notices, const std::stop_token& stop) {
    const aws::World world = aws::real_world();
    aws::Clients clients(aws_settings(work), world);
    const auto journal = host_.journal(spec_.id);
    std::optional<milliseconds> poll;
    for (const auto& [name, value] : work.environment) {
      if (name != "RUNNER_POLL_INTERVAL" || value.empty()) continue;
      poll = poll_interval(value);
      if (!poll) notices.warning(fmt::format("RUNNER_POLL_INTERVAL is no number of seconds: {}", value));
    }
    std::optional<ToolSandbox> sandbox;
    if (spec_.step == StepPlace::sandbox) {
      sandbox.emplace(inner_, spec_, std::move(sandbox_), begun_, work, log, notices);
    }
    Context context({spec_, work, log, notices, host_, *journal, clients, world, stop, hurry_,
                     sandbox ? &*sandbox : nullptr, poll});
    context.say(pipelines::describe(*work.step));
    if (spec_.step == StepPlace::runner && !clients.region().empty()) {
      context.say(fmt::format("AWS {}, with the credentials of {}", clients.region(), clients.source(stop)));
    }
    JobResult result = std::visit([&](const auto& step) { return carry_out(step, context); }, *work.step);
    result.collected = context.reports();
    if (sandbox) sandbox->give(result);
    keep_outputs(context, result);
    return result;
  }

  template <class Step>
  JobResult carry_out(const Step& step, Context& context) {
    if constexpr (requires { steps::run_step(step, context); }) {
      return steps::run_step(step, context);
    } else {
      throw WorldError("runner_unsupported", fmt::format("{} is not carried out yet", pipelines::key_of(step)));
    }
  }

  // The job's own variables are stronger than the runner's: a key of the one is never paired with a secret of the
  // other.
  aws::Settings aws_settings(const Work& work) {
    aws::Settings result;
    for (const auto& [name, value] : settings_.environment) {
      if (concerns_aws(name)) result.environment[name] = value;
    }
    const auto given = [&](std::string_view name) {
      const auto is = [&](const auto& each) { return each.first == name && !each.second.empty(); };
      return std::any_of(work.environment.begin(), work.environment.end(), is) ||
             std::any_of(work.files.begin(), work.files.end(), is);
    };
    if (given("AWS_ACCESS_KEY_ID") || given("AWS_PROFILE") || given("AWS_ROLE_ARN")) {
      for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
                               "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME"}) {
        result.environment.erase(name);
      }
    }
    for (const auto& [name, value] : work.environment) {
      if (name.starts_with("AWS_") || name == "SSL_CERT_FILE") result.environment[name] = value;
    }
    for (const auto& [name, value] : work.files) {
      if (name.starts_with("AWS_") || name == "SSL_CERT_FILE") result.environment[name] = as_file(name, value);
    }
    const pipelines::AwsSettings& own = work.aws;
    result.region = own.region;
    result.profile = own.profile;
    result.role_arn = own.role_arn;
    result.external_id = own.external_id;
    result.endpoint = own.endpoint;
    result.session_name =
        own.session_name.empty() ? fmt::format("runner-{}-{}", spec_.id.run, spec_.id.job) : own.session_name;
    return result;
  }

  std::string as_file(const std::string& name, std::string_view text) {
    steps::make_private_directory(spec_.directory);
    const std::filesystem::path path = spec_.directory / ("file." + name);
    steps::write_private(path, text);
    return path.string();
  }

  // For later jobs, as a dotenv report is.
  void keep_outputs(Context& context, JobResult& result) {
    std::vector<std::string> files(1);
    for (const auto& [name, value] : context.outputs()) {
      if (value.find_first_of("\r\n") != std::string::npos) {
        context.warn(fmt::format("the output {} has several lines and is left out", name));
        continue;
      }
      const std::string line = fmt::format("{}={}\n", name, value);
      if (!files.back().empty() && files.back().size() + line.size() > dotenv_file_limit) files.emplace_back();
      files.back() += line;
      context.say(fmt::format("{}={}", name, value));
    }
    if (files.front().empty()) return;
    Collected report;
    report.kind = "dotenv";
    report.directory = spec_.layer.string() + ".step";
    steps::make_private_directory(report.directory);
    for (std::size_t i = 0; i < files.size(); ++i) {
      steps::write_private(report.directory / fmt::format("outputs{}.env", i == 0 ? "" : std::to_string(i)), files[i]);
      ++report.files;
      report.bytes += files[i].size();
    }
    result.collected.push_back(std::move(report));
  }

  const JobSpec spec_;
  Executor& inner_;
  std::unique_ptr<Execution> sandbox_;
  steps::Host& host_;
  const StepSettings& settings_;
  const std::stop_token hurry_;
  const Beginning begun_;
};

class StepExecutor : public Executor {
 public:
  StepExecutor(std::unique_ptr<Executor> inner, steps::Host& host, StepSettings settings)
      : inner_(std::move(inner)), host_(host), settings_(std::move(settings)) {}

  std::unique_ptr<Execution> prepare(const JobSpec& spec, Notices& notices, std::stop_token stop) override {
    if (spec.step == StepPlace::none) return inner_->prepare(spec, notices, std::move(stop));
    std::unique_ptr<Execution> sandbox;
    if (spec.step == StepPlace::sandbox) sandbox = inner_->prepare(spec, notices, std::move(stop));
    return make(spec, std::move(sandbox), {});
  }
  std::unique_ptr<Execution> adopt(const JobSpec& spec, std::string_view handle, std::uint64_t kept) override {
    if (spec.step == StepPlace::none) return inner_->adopt(spec, handle, kept);
    return make(spec, nullptr, {true, std::string(handle), kept});
  }
  void check() override { inner_->check(); }
  void hurry() override {
    hurry_.request_stop();
    inner_->hurry();
  }
  void settle() override { inner_->settle(); }

 private:
  std::unique_ptr<Execution> make(const JobSpec& spec, std::unique_ptr<Execution> sandbox, Beginning begun) {
    return std::make_unique<StepExecution>(spec, *inner_, std::move(sandbox), host_, settings_, hurry_.get_token(),
                                           std::move(begun));
  }

  std::unique_ptr<Executor> inner_;
  steps::Host& host_;
  const StepSettings settings_;
  std::stop_source hurry_;
};

}  // namespace

std::unique_ptr<Executor> make_step_executor(std::unique_ptr<Executor> inner, steps::Host& host,
                                             StepSettings settings) {
  return std::make_unique<StepExecutor>(std::move(inner), host, std::move(settings));
}

}  // namespace executors
