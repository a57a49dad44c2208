// The shell texts of the job directory: the bootstrap that a container runs, and the job's own script.
#include <algorithm>
#include <array>

#include "executors/job_directory.h"
#include "pipelines/variables.h"

namespace executors {
namespace {

std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\0') continue;  // no shell can hold it
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  out += '\'';
  return out;
}

// Assigning to one of these is an error in bash, which would go to the log.
bool is_read_only(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kNames = {"BASHOPTS", "BASH_VERSINFO", "EUID",
                                                             "PPID",     "SHELLOPTS",     "UID"};
  return std::ranges::find(kNames, name) != kNames.end();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// False when the item might swallow what follows it: an open quote, a trailing backslash, a here-document. A rough
// lexer, on purpose: an item wrongly called open is evaluated by itself, which is the same thing to a whole command.
bool is_closed(std::string_view item) {
  char quote = 0;
  for (std::size_t i = 0; i < item.size(); ++i) {
    const char c = item[i];
    if (quote == '\'') {
      if (c == '\'') quote = 0;
    } else if (c == '\\') {
      if (++i == item.size()) return false;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"' || c == '`') {
      quote = c;
    } else if (c == '#' && (i == 0 || std::string_view(" \t\n;&|(").find(item[i - 1]) != std::string_view::npos)) {
      i = item.find('\n', i);
      if (i == std::string_view::npos) return true;
    } else if (c == '<' && i + 1 < item.size() && item[i + 1] == '<') {
      return false;
    }
  }
  return quote == 0;
}

// gitlab-runner's FF_SCRIPT_SECTIONS: the whole item as the header of a collapsed section.
std::string section_text(std::string_view item, std::size_t number) {
  const std::string name = "section_script_step_" + std::to_string(number);
  const std::string clock = "\"$(date +%s 2>/dev/null || echo 0)\"";
  return "printf 'section_start:%s:" + name + "[hide_duration=true,collapsed=true]\\r\\033[0K%s\\n' " + clock + " " +
         single_quoted("$ " + std::string(item)) + "\nprintf 'section_end:%s:" + name + "\\r\\033[0K\\n' " + clock +
         "\n";
}

// What the job's shells have in common. `status`: CI_JOB_STATUS comes from elsewhere.
std::string exports(const Work& work, bool status) {
  std::string out;
  for (const auto& [name, value] : work.environment) {
    if (!pipelines::is_variable_name(name) || is_read_only(name)) continue;
    if (status && name == "CI_JOB_STATUS") continue;
    out += "export " + name + "=" + single_quoted(value) + "\n";
  }
  // Beside the script itself: what runs it says where that is.
  for (const auto& [name, value] : work.files) {
    if (!pipelines::is_variable_name(name) || is_read_only(name)) continue;
    out += "export " + name + "=\"${0%/*}/" + std::string(file_prefix) + name + "\"\n";
    out += "(umask 077; printf %s " + single_quoted(value) + " >\"$" + name + "\") || exit 1\n";
  }
  return out;
}

// What ran before has left this for what comes now, as gitlab-runner's SourceEnv has it.
std::string take_exported(const Work& work) {
  const auto has = [](const auto& variable) { return variable.first == "GITLAB_ENV"; };
  if (std::ranges::none_of(work.environment, has)) return {};
  return R"sh(if [ -f "$GITLAB_ENV" ]; then
while read -r REPLY || [ -n "$REPLY" ]; do
case ${REPLY%%=*} in "$REPLY"|[0-9]*|*[!A-Za-z0-9_]*|"") ;; *) export "$REPLY" ;; esac
done <"$GITLAB_ENV"
unset REPLY
fi
)sh";
}

// One shell for all items, as in GitLab: an `if` may begin in one item and end in another. An item that would swallow
// the next one's echo line goes through eval, so that its syntax error is its own.
std::string text(const Work& work, const std::vector<std::string>& items, std::string_view project_dir, bool after) {
  std::string out = exports(work, after) + take_exported(work);  // of after_script the bootstrap knows
  std::size_t number = 0;
  out += "set -o errexit\nset +o noclobber\n";  // and pipefail, which the bootstrap sees to
  if (!project_dir.empty()) out += "cd " + single_quoted(project_dir) + "\n";
  if (work.debug_trace) out += "set -o xtrace\n";
  for (const std::string& whole : items) {
    const std::string_view item = trimmed(whole);
    if (item.empty()) continue;
    const auto line_end = item.find('\n');
    std::string echo = "$ " + std::string(item.substr(0, line_end));
    if (line_end != std::string_view::npos) echo += " # collapsed multi-line command";
    const bool section = work.script_sections && line_end != std::string_view::npos;
    out += section ? section_text(item, number) : "printf '%s\\n' " + single_quoted(echo) + "\n";
    out += is_closed(item) ? std::string(item) : "eval " + single_quoted(std::string(item) + "\n");
    out += '\n';
    // Where the item turned errexit off, or is a list whose failure errexit overlooks.
    if (work.check_exit_codes) {
      out += "_runner_exit_code=$?; if [ $_runner_exit_code -ne 0 ]; then exit $_runner_exit_code; fi\n";
    }
    ++number;
  }
  return out;
}

// Each in a subshell, which neither sees what the others set nor changes it; errexit reaches into it. By eval, so that
// a syntax error is the step's own.
std::string step_text(const WorkStep& step) {
  const std::string_view script = trimmed(step.script);
  const auto line_end = script.find('\n');
  const std::string more = line_end == std::string_view::npos ? "" : " # collapsed multi-line command";
  std::string out = "printf '%s\\n' " + single_quoted("Running step " + step.name) + " " +
                    single_quoted("$ " + std::string(script.substr(0, line_end)) + more) + "\n(\n";
  for (const auto& [name, value] : step.environment) {
    if (pipelines::is_variable_name(name) && !is_read_only(name))
      out += "export " + name + "=" + single_quoted(value) + "\n";
  }
  return out + "eval " + single_quoted(std::string(script) + "\n") + "\n)\n";
}

// A failed job that is to stay: from here on only a signal, or a line in `sig` that nobody writes, ends it.
std::string linger_text(std::string_view before) {
  return R"sh(t=failed; [ "$c" = 0 ] && t=passed
[ -f "$j/status" ] && read -r t <"$j/status"
case $t in
  passed | canceled | killed) exit 0 ;;
esac
)sh" + std::string(before) +
         R"sh(trap - TERM INT HUP
[ -p "$j/sig" ] && read -r t <>"$j/sig"
)sh";
}

// The hook as its own shell. Its output goes to its own log, or where the output of the job's container is all there
// is, ahead of the mark. After its last failure the script's shell ends with its code.
std::string hook_call(const Work& work, std::string_view mark) {
  if (work.pre_get_sources.empty()) return {};
  const std::string most = std::to_string(work.get_sources_attempts);
  const bool attached = !mark.empty();
  return "(\nn=1\nwhile :; do\n"
         "  \"${BASH:-sh}\" \"${0%/*}/hook\"; c=$?\n"
         "  [ \"$c\" = 0 ] && break\n"
         "  [ \"$n\" = " +
         most +
         " ] && break\n"
         "  n=$((n + 1))\n"
         "  echo \"hooks:pre_get_sources_script failed with exit code $c; attempt $n of " +
         most +
         "\"\n"
         "done" +
         (attached ? std::string() : " >>\"${0%/*}/hook.log\" 2>&1") +
         "\n"
         "[ \"$c\" = 0 ] || [ -f \"${0%/*}/status\" ] || echo nosources >\"${0%/*}/status\"\n" +
         (attached ? "echo " + single_quoted(mark) + "\"$c\"\n" : "echo \"$c\" >\"${0%/*}/hook.exit\"\n") +
         "exit \"$c\"\n) || exit $?\n";
}

// Finds the shell and whether it has pipefail, and carries out the signals that come through `sig`.
std::string listener(std::string_view job_directory) {
  return "j=" + single_quoted(job_directory) + R"sh(
s=sh; command -v bash >/dev/null 2>&1 && s=bash
o=; "$s" -o pipefail -c : </dev/null >/dev/null 2>&1 && o='-o pipefail'
(
  trap '' TERM INT HUP
  read -r me x </proc/self/stat
  keep=" 1 $$ $me "; p=$$
  while read -r x </proc/$p/stat; do
    x=${x##*) }; x=${x#* }; p=${x%% *}
    [ "$p" -gt 1 ] || break
    keep="$keep$p "
  done
  while read -r n; do
    for p in /proc/[0-9]*; do
      p=${p#/proc/}
      case $keep in *" $p "*) ;; *) kill -s "$n" "$p" ;; esac
    done
  done
) <>"$j/sig" >/dev/null 2>&1 &
l=$!
)sh";
}

}  // namespace

std::string script_text(const Work& work, std::string_view project_dir, std::string_view mark) {
  std::string out = hook_call(work, mark) + text(work, work.script, project_dir, false);
  for (const WorkStep& step : work.steps) out += step_text(step);
  return out;
}

std::string hook_script_text(const Work& work, std::string_view project_dir) {
  // Whoever runs it does not know whether the shell has pipefail.
  return "if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n" +
         text(work, work.pre_get_sources, project_dir, false);
}

std::string after_script_text(const Work& work, std::string_view project_dir) {
  return text(work, work.after_script, project_dir, true);
}

std::string shell_script_text(const Work& work, std::string_view project_dir) {
  std::string out = exports(work, true) + "export CI_JOB_STATUS=failed\n";
  if (!project_dir.empty()) out += "cd " + single_quoted(project_dir) + "\n";
  return out + "command -v bash >/dev/null 2>&1 && exec bash\nexec sh\n";
}

std::string shell_word(std::string_view text) {
  const auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:+@%,=").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::ranges::all_of(text, harmless) ? std::string(text) : single_quoted(text);
}

// Why it looks like this:
// - The script's shell is a foreground child: as a background job it would ignore SIGINT for ever, and the bootstrap
//   itself must outlive it. It is started before the go, which it takes itself: bash needs 3 ms to start.
// - The signal loop opens its FIFO for both directions, so it neither blocks nor ends. It walks /proc because KILL to
//   -1 would hit the bootstrap too, and so would any signal an image's entrypoint that waits for us. The list of
//   processes is taken before the first signal, so an after_script that starts meanwhile is not hit.
// - `exit` needs no rename: it counts only with its newline, and an `mv` would need the image to have one.
std::string bootstrap_script(std::string_view job_directory, bool linger) {
  return listener(job_directory) + R"sh(
trap : TERM INT HUP
"$s" $o -c '
while [ "$REPLY" != go ]; do
  [ -p "${0%/*}/go" ] || exit 1
  read -r REPLY <"${0%/*}/go"
done
unset REPLY
. "$0"' "$j/script" </dev/null >>"$j/log" 2>&1
c=$?
[ -f "$j/script" ] || exit 1
echo "$c" >"$j/exit"
if [ -f "$j/after" ]; then
  t=failed; [ "$c" = 0 ] && t=success
  [ -f "$j/status" ] && read -r t <"$j/status"
  case $t in
    expired | killed | nosources) ;;
    *)
      CI_JOB_STATUS=$t "$s" $o "$j/after" </dev/null >>"$j/after.log" 2>&1
      echo "$?" >"$j/after.exit" ;;
  esac
fi
: >"$j/ended"
kill -s KILL "$l" 2>/dev/null
)sh" + (linger ? linger_text({}) : std::string());
}

std::string attached_script(std::string_view job_directory, std::string_view mark, bool linger) {
  return listener(job_directory) + "m=" + single_quoted(mark) + R"sh(
trap : TERM INT HUP
"$s" $o "$j/script" </dev/null 2>&1
c=$?
echo "$m$c"
if [ -f "$j/after" ]; then
  t=failed; [ "$c" = 0 ] && t=success
  [ -f "$j/status" ] && read -r t <"$j/status"
  case $t in
    expired | killed | nosources) ;;
    *)
      CI_JOB_STATUS=$t "$s" $o "$j/after" </dev/null 2>&1
      echo "$m$?" ;;
  esac
fi
kill -s KILL "$l" 2>/dev/null
)sh" + (linger ? linger_text("echo \"${m}" + std::to_string(lingers_code) + "\"\n") : std::string());
}

}  // namespace executors
