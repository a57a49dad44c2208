// Engine::exec_terminal: a process in a container with a person's terminal.
#include <fmt/core.h>

#include "executors/docker/duplex.h"
#include "executors/docker/engine_impl.h"
#include "executors/terminal_relay.h"

namespace executors::docker {

using nlohmann::json;

namespace {

// The engine takes a sequence of keys for itself, by default Ctrl-P Ctrl-Q, which every shell needs; it has no word for
// none. Nobody types this one.
constexpr const char* detach_keys = "ctrl-^,ctrl-@,ctrl-^,ctrl-@";

}  // namespace

void Engine::exec_terminal(const std::string& id, const std::vector<std::string>& command, const Terminal& terminal,
                           const std::stop_token& stop) {
  const std::string what = fmt::format("open a shell in the container {}", short_id(id));
  json body = {{"AttachStdin", true}, {"AttachStdout", true},      {"AttachStderr", true},
               {"Tty", true},         {"DetachKeys", detach_keys}, {"Cmd", command}};
  if (!terminal.type.empty()) body["Env"] = {"TERM=" + terminal.type};
  const json created = impl_->must_json(
      {.what = what, .method = "POST", .target = "/containers/" + url_encode(id) + "/exec", .body = dump_json(body)});
  const std::string exec = "/exec/" + url_encode(text_at(created, "Id"));

  Duplex connection(endpoint(), what, impl_->versioned(exec + "/start"), R"({"Detach":false,"Tty":true})");
  const FarEnd far{
      .descriptor = connection.descriptor(),
      .pending = [&] { return connection.pending(); },
      .read = [&](char* to, std::size_t size) { return connection.read(to, size); },
      .write = [&](std::string_view bytes) { return connection.write(bytes); },
      .resize =
          [&](int columns, int rows) {
            try {
              impl_->must(
                  {.what = what, .method = "POST", .target = fmt::format("{}/resize?h={}&w={}", exec, rows, columns)});
            } catch (const EngineError&) {  // it has not begun, or has just ended; a wrong size is no reason to stop
            }
          },
      .over =
          [&] {
            try {
              return !flag_at(impl_->must_json({.what = what, .target = exec + "/json"}), "Running");
            } catch (const EngineError&) {
              return false;  // the connection's end will tell
            }
          },
  };
  relay(terminal, far, stop);
}

}  // namespace executors::docker
