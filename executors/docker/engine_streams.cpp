// The verbs of Engine that stream: output, archives, events.
#include <fmt/core.h>

#include <charconv>
#include <thread>

#include "executors/docker/engine_impl.h"
#include "executors/docker/frames.h"

namespace executors::docker {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t output_limit = 64 * 1024;

void keep_tail(std::string& text, std::string_view bytes, std::size_t limit) {
  text += bytes;
  if (text.size() > 2 * limit) text.erase(0, text.size() - limit);
}

}  // namespace

// ---- output

std::string Engine::logs(const std::string& id, int tail) {
  std::string text;
  Frames frames([&](Frames::Stream, std::string_view bytes) {
    keep_tail(text, bytes, output_limit);
    return true;
  });
  impl_->must({.what = "read the log of the container " + short_id(id),
               .target = fmt::format("/containers/{}/logs?stdout=1&stderr=1&tail={}", url_encode(id), tail),
               .receive = [&](std::string_view bytes) { return frames.feed(bytes); }});
  if (text.size() > output_limit) text.erase(0, text.size() - output_limit);
  return text;
}

void Engine::follow_logs(const std::string& id, bool from_the_beginning, const Bytes& bytes, std::stop_token stop) {
  Frames frames([&](Frames::Stream, std::string_view piece) { return bytes(piece); });
  impl_->must({.what = "follow the log of the container " + short_id(id),
               .target = fmt::format("/containers/{}/logs?stdout=1&stderr=1&follow=1&tail={}", url_encode(id),
                                     from_the_beginning ? "all" : "0"),
               .silence = no_limit,
               .stop = std::move(stop),
               .receive = [&](std::string_view piece) { return frames.feed(piece); }});
}

void Engine::attach(const std::string& id, const std::function<void()>& started, const Bytes& bytes,
                    std::stop_token stop) {
  Frames frames([&](Frames::Stream, std::string_view piece) { return bytes(piece); });
  impl_->must({.what = "attach to the container " + short_id(id),
               .method = "POST",
               .target = "/containers/" + url_encode(id) + "/attach?stream=1&stdout=1&stderr=1",
               .silence = no_limit,
               .stop = std::move(stop),
               .started = started,
               .receive = [&](std::string_view piece) { return frames.feed(piece); }});
  if (frames.broken()) {
    throw EngineError(0, fmt::format("cannot read the output of the container {}: it is not framed", short_id(id)));
  }
}

int Engine::exec(const std::string& id, const std::vector<std::string>& command, std::string* output,
                 const std::string& user, std::stop_token stop, std::chrono::milliseconds silence) {
  const std::string what =
      fmt::format("run '{}' in the container {}", command.empty() ? "" : command.front(), short_id(id));
  json body = {{"AttachStdout", true}, {"AttachStderr", true}, {"Cmd", command}};
  if (!user.empty()) body["User"] = user;
  const json created = impl_->must_json(
      {.what = what, .method = "POST", .target = "/containers/" + url_encode(id) + "/exec", .body = dump_json(body)});
  const std::string exec = url_encode(text_at(created, "Id"));

  Frames frames([&](Frames::Stream, std::string_view bytes) {
    if (output != nullptr) keep_tail(*output, bytes, output_limit);
    return true;
  });
  const HttpAnswer answer = impl_->must({.what = what,
                                         .method = "POST",
                                         .target = "/exec/" + exec + "/start",
                                         .body = R"({"Detach":false,"Tty":false})",
                                         .silence = silence,
                                         .stop = std::move(stop),
                                         .receive = [&](std::string_view bytes) { return frames.feed(bytes); }});
  if (output != nullptr && output->size() > output_limit) output->erase(0, output->size() - output_limit);
  if (answer.stopped && !frames.broken()) return -1;
  // The output ends a moment before the engine has noted the exit code.
  for (int i = 0; i < 200; ++i) {
    const json state = impl_->must_json({.what = what, .target = "/exec/" + exec + "/json"});
    if (!flag_at(state, "Running") && at(state, "ExitCode").is_number_integer()) {
      return static_cast<int>(number_at(state, "ExitCode"));
    }
    std::this_thread::sleep_for(i < 20 ? 2ms : 25ms);
  }
  throw EngineError(0, fmt::format("cannot {}: the engine does not say how it ended", what));
}

// ---- archives

bool Engine::has_path(const std::string& id, const std::string& path) {
  HttpCall call{.what = fmt::format("look for {} in the container {}", path, short_id(id)),
                .method = "HEAD",
                .target = fmt::format("/containers/{}/archive?path={}", url_encode(id), url_encode(path))};
  return impl_->must(call, {404}).status != 404;
}

void Engine::put_archive(const std::string& id, const std::string& path,
                         const std::function<std::string()>& next_tar_bytes) {
  HttpCall call{.what = fmt::format("copy files to {} in the container {}", path, short_id(id)),
                .method = "PUT",
                .target = fmt::format("/containers/{}/archive?path={}", url_encode(id), url_encode(path)),
                .upload = next_tar_bytes,
                .silence = archive_silence};
  try {
    impl_->must(call);
  } catch (const EngineError& error) {
    // An engine that refuses may close before all is sent, and its answer is lost: ask again without the files.
    if (error.status == 0 && !has_path(id, path)) {
      throw EngineError(404, fmt::format("cannot {}: there is no such container or path", call.what));
    }
    throw;
  }
}

void Engine::get_archive(const std::string& id, const std::string& path, const Bytes& bytes) {
  impl_->must({.what = fmt::format("copy {} from the container {}", path, short_id(id)),
               .target = fmt::format("/containers/{}/archive?path={}", url_encode(id), url_encode(path)),
               .silence = archive_silence,
               .receive = bytes});
}

// ---- events

void Engine::events(const std::string& label_filter, std::int64_t since_nano,
                    const std::function<void(const Event&)>& on_event, const std::stop_token& stop,
                    const std::function<void()>& connected, std::chrono::milliseconds quiet) {
  Lines lines([&](std::string_view line) {
    const json message = parse_json(line);
    const json& actor = at(message, "Actor");
    Event event;
    event.action = text_at(message, "Action");
    event.id = text_at(actor, "ID");
    event.time_nano = number_at(message, "timeNano");
    const std::string code = text_at(at(actor, "Attributes"), "exitCode");
    std::from_chars(code.data(), code.data() + code.size(), event.exit_code);
    if (!event.id.empty()) on_event(event);
    return true;
  });
  const json filter = {{"type", {"container"}}, {"event", {"die", "kill", "oom"}}, {"label", {label_filter}}};
  std::string target = "/events?filters=" + url_encode(dump_json(filter));
  if (since_nano > 0) target += fmt::format("&since={}.{:09}", since_nano / 1'000'000'000, since_nano % 1'000'000'000);

  bool streams = false;
  bool timed_out = false;
  HttpCall call{.what = "follow the Docker engine's events", .target = std::move(target)};
  // The engine answers at once; the same limit then holds between two events.
  call.silence = quiet.count() > 0 ? quiet : no_limit;
  call.stop = stop;
  call.started = [&] {
    streams = true;
    if (connected) connected();
  };
  call.receive = [&](std::string_view bytes) { return lines.feed(bytes); };
  HttpAnswer answer;
  try {
    answer = impl_->ask(call, &timed_out);
  } catch (const EngineError&) {
    if (streams && timed_out) return;
    throw;
  }
  if (stop.stop_requested()) return;
  if (!answer.stopped && !answer.ok()) throw_answer(call.what, answer);
  throw EngineError(0, fmt::format("the Docker engine at {} ended its stream of events", endpoint().display()),
                    "it may have been stopped or restarted");
}

}  // namespace executors::docker
