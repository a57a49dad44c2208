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

WorldError cannot(const std::string& what, const std::filesystem::path& path) {
  return {"runner_system_failure", fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno))};
}

void write_private(const std::filesystem::path& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw cannot("write", path);
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw cannot("write", path);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

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

class StepExecution : public Execution {
 public:
  StepExecution(JobSpec spec, steps::Host& host, const StepSettings& settings, std::stop_token hurry, bool again)
      : spec_(std::move(spec)), host_(host), settings_(settings), hurry_(std::move(hurry)), again_(again) {}
  ~StepExecution() override { remove_tree(spec_.directory); }

  std::string handle() const override { return "step"; }

  JobResult run(const Work& work, LogSink& log, Notices& notices, std::stop_token stop) override {
    Limited limited(stop, work.timeout);
    section(log, "start");
    if (again_) log.write("runner: taken up again after the runner's end\n");
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
    section(log, "end");
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

  JobResult run_in(const Work& work, LogSink& log, Notices& notices, const std::stop_token& stop) {
    const aws::World world = aws::real_world();
    aws::Clients clients(aws_settings(work), world);
    const auto journal = host_.journal(spec_.id);
    std::optional<milliseconds> poll;
    for (const auto& [name, value] : work.environment) {
      if (name == "RUNNER_POLL_INTERVAL") poll = poll_interval(value);
    }
    Context context({spec_, work, log, notices, host_, *journal, clients, world, stop, hurry_, poll});
    context.say(pipelines::describe(*work.step));
    JobResult result = std::visit([&](const auto& step) { return carry_out(step, context); }, *work.step);
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
    if (::mkdir(spec_.directory.c_str(), 0700) != 0 && errno != EEXIST) throw cannot("make", spec_.directory);
    const std::filesystem::path path = spec_.directory / ("file." + name);
    write_private(path, text);
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
    if (::mkdir(report.directory.c_str(), 0700) != 0 && errno != EEXIST) throw cannot("make", report.directory);
    for (std::size_t i = 0; i < files.size(); ++i) {
      write_private(report.directory / fmt::format("outputs{}.env", i == 0 ? "" : std::to_string(i)), files[i]);
      ++report.files;
      report.bytes += files[i].size();
    }
    result.collected.push_back(std::move(report));
  }

  const JobSpec spec_;
  steps::Host& host_;
  const StepSettings& settings_;
  const std::stop_token hurry_;
  const bool again_;
};

WorldError not_yet() { return {"runner_unsupported", "steps that run a tool are not carried out yet"}; }

class StepExecutor : public Executor {
 public:
  StepExecutor(std::unique_ptr<Executor> inner, steps::Host& host, StepSettings settings)
      : inner_(std::move(inner)), host_(host), settings_(std::move(settings)) {}

  std::unique_ptr<Execution> prepare(const JobSpec& spec, Notices& notices, std::stop_token stop) override {
    if (spec.step == StepPlace::none) return inner_->prepare(spec, notices, std::move(stop));
    if (spec.step == StepPlace::sandbox) throw not_yet();
    return std::make_unique<StepExecution>(spec, host_, settings_, hurry_.get_token(), /*again=*/false);
  }
  std::unique_ptr<Execution> adopt(const JobSpec& spec, std::string_view handle, std::uint64_t kept) override {
    if (spec.step == StepPlace::none) return inner_->adopt(spec, handle, kept);
    if (spec.step == StepPlace::sandbox) throw not_yet();
    return std::make_unique<StepExecution>(spec, host_, settings_, hurry_.get_token(), /*again=*/kept != 0);
  }
  void check() override { inner_->check(); }
  void hurry() override {
    hurry_.request_stop();
    inner_->hurry();
  }
  void settle() override { inner_->settle(); }

 private:
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
