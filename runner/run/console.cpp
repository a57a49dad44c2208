#include "runner/run/console.h"

#include "runner/run/console_kinds.h"

namespace runner {

std::unique_ptr<Console> make_console(ConsoleKind kind, const ConsoleOptions& options) {
  switch (kind) {
    case ConsoleKind::pretty:
      return make_pretty_console(options);
    case ConsoleKind::plain:
      return make_plain_console(options);
    case ConsoleKind::json:
      return make_json_console(options);
  }
  return nullptr;
}

ConsoleChoice choose_console(std::optional<ConsoleKind> asked, bool out_is_terminal,
                             const std::function<std::optional<std::string>(const std::string&)>& environment) {
  const auto is_on = [&](const char* name) {
    const auto value = environment(name);
    return value && !value->empty() && *value != "0" && *value != "false";
  };
  const auto no_color = environment("NO_COLOR");                  // no-color.org: any value but the empty one
  const std::string terminal = environment("TERM").value_or("");  // empty: nothing is known of it, as when it is unset
  const bool able = out_is_terminal && !terminal.empty() && terminal != "dumb";
  ConsoleChoice choice;
  choice.kind = asked.value_or(able && !is_on("CI") ? ConsoleKind::pretty : ConsoleKind::plain);
  choice.live = able && choice.kind == ConsoleKind::pretty;
  choice.colour = able && environment("CLICOLOR") != "0";
  if (is_on("CLICOLOR_FORCE")) choice.colour = true;
  if (no_color && !no_color->empty()) choice.colour = false;
  if (choice.kind == ConsoleKind::json) choice.colour = false;
  return choice;
}

}  // namespace runner
