#include "runner/cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

namespace runner {
namespace {

struct Flag {
  std::vector<std::string> names;  // "--output", "-f"
  std::string help;                // its first line
  bool value = false, file = false, directory = false;
  std::vector<std::string> choices;
};

struct Command {
  std::string name, help;
  std::vector<Flag> flags;  // the program's own too
  bool files = false, jobs = false, directory = false;
  std::vector<std::string> words;  // that the argument may be
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

Flag flag_of(const CLI::Option& option) {
  Flag flag;
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  flag.help = first_line(option.get_description());
  flag.value = option.get_items_expected_max() > 0;
  if (!flag.value) return flag;
  const std::string type = option.get_type_name();
  flag.choices = choices_of(flag.help);
  flag.directory = type.find("DIR") != std::string::npos;
  flag.file = type.find("FILE") != std::string::npos || option.get_name().find("--database") != std::string::npos ||
              option.get_name().find("--config") != std::string::npos;
  return flag;
}

Command command_of(const CLI::App& app, const std::vector<Flag>& of_program) {
  Command command;
  command.name = app.get_name();
  command.help = first_line(app.get_description());
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) {
      command.flags.push_back(flag_of(*option));
      continue;
    }
    const std::string type = option->get_type_name();
    command.files = command.files || type.find("FILE") != std::string::npos;
    command.jobs = command.jobs || type.find("JOB") != std::string::npos;
    command.directory = command.directory || type.find("DIR") != std::string::npos;
    if (!command.files && !command.jobs) command.words = choices_of(first_line(option->get_description()));
  }
  for (const Flag& flag : of_program) {
    const auto same = [&](const Flag& other) { return other.names == flag.names; };
    if (std::none_of(command.flags.begin(), command.flags.end(), same)) command.flags.push_back(flag);
  }
  return command;
}

struct Model {
  std::vector<Flag> flags;
  std::vector<Command> commands;
};

Model model_of(const CLI::App& program) {
  Model model;
  for (const CLI::Option* option : program.get_options()) {
    if (!option->get_positional()) model.flags.push_back(flag_of(*option));
  }
  for (const CLI::App* app : program.get_subcommands([](const CLI::App*) { return true; })) {
    // Hidden: no group, or a name that only this program says to itself.
    if (app->get_name().empty() || app->get_name().starts_with("__") || app->get_group().empty()) continue;
    model.commands.push_back(command_of(*app, model.flags));
  }
  return model;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// Within single quotes.
std::string single_quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

std::vector<std::string> names_of(const std::vector<Flag>& flags) {
  std::vector<std::string> names;
  for (const Flag& flag : flags) names.insert(names.end(), flag.names.begin(), flag.names.end());
  return names;
}

// --- bash -------------------------------------------------------------------------------------------------------

constexpr std::string_view bash_script = R"bash(# Completion of runner for bash: source <(runner completion bash)
_runner() {
  local line=${COMP_LINE:0:COMP_POINT} cur prev command='' file='' word want='' kinds=''
  local -a words
  read -ra words <<<"$line"
  cur=${line##*[[:space:]]}
  [[ -z $cur ]] || unset 'words[-1]'
  prev=${words[-1]}
  if [[ $cur == --*=* ]]; then
    prev=${cur%%=*} cur=${cur#*=}
  fi
  for word in "${words[@]:1}"; do
    case $word in
      {commands_pattern}) [[ -n $command ]] || command=$word ;;
      *.yml | *.yaml) file=$word ;;
    esac
  done
  case $command:$prev in
{values}    *)
      if [[ $cur == -* ]]; then
        case $command in
{options}        esac
      else
        case $command in
          '') want={commands_list} ;;
{arguments}        esac
      fi ;;
  esac
  COMPREPLY=()
  while IFS= read -r word; do
    if [[ -n $word && $word == "$cur"* ]]; then
      printf -v word %q "$word"
      COMPREPLY+=("$word")
    fi
  done < <(
    printf '%s\n' $want
    if [[ $kinds == *jobs* ]]; then "${words[0]}" __jobs ${file:+"$file"} 2>/dev/null; fi
  )
  case $kinds in
    *files* | *pipelines* | *directories*) compopt -o filenames 2>/dev/null ;;
  esac
  case $kinds in
    *pipelines*) while IFS= read -r word; do COMPREPLY+=("$word"); done < <(
      compgen -d -- "$cur"; compgen -f -X '!*.yml' -- "$cur"; compgen -f -X '!*.yaml' -- "$cur") ;;
    *files*) while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur") ;;
    *directories*) while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$cur") ;;
  esac
  # bash breaks words at colons, which job names may have: it wants what follows the last one.
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
  fi
}
complete -F _runner runner
)bash";

std::string bash_kinds(bool pipelines, bool jobs, bool file, bool directory) {
  std::vector<std::string> kinds;
  if (pipelines) kinds.emplace_back("pipelines");
  if (jobs) kinds.emplace_back("jobs");
  if (file) kinds.emplace_back("files");
  if (directory) kinds.emplace_back("directories");
  return fmt::format("kinds='{}'", fmt::join(kinds, " "));
}

// One case for each option that takes a value.
std::string bash_values(const std::string& command, const std::vector<Flag>& flags) {
  std::string cases;
  for (const Flag& flag : flags) {
    if (!flag.value) continue;
    std::vector<std::string> patterns;
    for (const std::string& name : flag.names) patterns.push_back(command + ":" + name);
    cases += fmt::format("    {}) want={} {} ;;\n", fmt::join(patterns, " | "),
                         single_quoted(fmt::format("{}", fmt::join(flag.choices, " "))),
                         bash_kinds(false, false, flag.file, flag.directory));
  }
  return cases;
}

std::string bash(const Model& model) {
  std::string values, options, arguments;
  std::vector<std::string> commands;
  for (const Command& command : model.commands) {
    commands.push_back(command.name);
    options += fmt::format("          {}) want={} ;;\n", command.name,
                           single_quoted(fmt::format("{}", fmt::join(names_of(command.flags), " "))));
    if (command.files || command.jobs || command.directory || !command.words.empty()) {
      arguments += fmt::format("          {}) want={} {} ;;\n", command.name,
                               single_quoted(fmt::format("{}", fmt::join(command.words, " "))),
                               bash_kinds(command.files, command.jobs, false, command.directory));
    }
    values += bash_values(command.name, command.flags);
  }
  values += bash_values("", model.flags);
  options += fmt::format("          '') want={} ;;\n",
                         single_quoted(fmt::format("{}", fmt::join(names_of(model.flags), " "))));
  std::string script = replaced(std::string(bash_script), "{values}", values);
  script = replaced(std::move(script), "{options}", options);
  script = replaced(std::move(script), "{arguments}", arguments);
  script = replaced(std::move(script), "{commands_pattern}", fmt::format("{}", fmt::join(commands, " | ")));
  return replaced(std::move(script), "{commands_list}", single_quoted(fmt::format("{}", fmt::join(commands, " "))));
}

// --- zsh --------------------------------------------------------------------------------------------------------

// Text within an _arguments specification.
std::string zsh_text(std::string text) {
  for (const char* special : {"\\", "[", "]", ":"})
    text = replaced(std::move(text), special, "\\" + std::string(special));
  return text;
}

std::string zsh_action(const std::vector<std::string>& choices, bool file, bool directory) {
  if (!choices.empty()) return fmt::format("({})", fmt::join(choices, " "));
  if (directory) return "_files -/";
  return file ? "_files" : " ";
}

std::string zsh_flag(const Flag& flag) {
  std::string specs;
  for (const std::string& name : flag.names) {
    // Repeatable, as far as zsh is to know: the program itself says when it is not.
    const bool is_long = name.starts_with("--");
    std::string spec = "*" + name + (flag.value && is_long ? "=" : "") + "[" + zsh_text(flag.help) + "]";
    if (flag.value) spec += ":value:" + zsh_action(flag.choices, flag.file, flag.directory);
    specs += "        " + single_quoted(spec) + " \\\n";
  }
  return specs;
}

std::string zsh(const Model& model) {
  std::string out =
      "#compdef runner\n"
      "# Completion of runner for zsh: runner completion zsh > \"${fpath[1]}/_runner\"\n"
      "_runner_jobs() {\n"
      "  local -a jobs\n"
      "  local file=${words[(r)*.(yml|yaml)]}\n"
      "  jobs=(${(f)\"$(runner __jobs ${file:+$file} 2>/dev/null)\"})\n"
      "  (( $#jobs )) && compadd -a jobs\n"
      "}\n"
      "_runner_pipelines_and_jobs() {\n"
      "  _alternative 'jobs:job:_runner_jobs' 'files:pipeline file:_files -g \"*.(yml|yaml)\"'\n"
      "}\n"
      "_runner() {\n"
      "  local line state context\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const Command& command : model.commands) {
    out += "    " + single_quoted(replaced(command.name, ":", "\\:") + ":" + command.help) + "\n";
  }
  out += "  )\n  _arguments -C \\\n";
  for (const Flag& flag : model.flags) out += zsh_flag(flag);
  out +=
      "    '1: :->command' '*:: :->arguments' && return\n"
      "  case $state in\n"
      "    command) _describe command commands ;;\n"
      "    arguments)\n"
      "      case $line[1] in\n";
  for (const Command& command : model.commands) {
    out += "      " + command.name + ")\n        _arguments \\\n";
    for (const Flag& flag : command.flags) out += zsh_flag(flag);
    std::string action = " ";
    if (command.files && command.jobs) {
      action = "_runner_pipelines_and_jobs";
    } else if (command.files) {
      action = "_files -g \"*.(yml|yaml)\"";
    } else if (command.jobs) {
      action = "_runner_jobs";
    } else {
      action = zsh_action(command.words, false, command.directory);
    }
    out += "        " + single_quoted("*:argument:" + action) + " ;;\n";
  }
  out +=
      "      esac ;;\n"
      "  esac\n"
      "}\n"
      "if [[ $funcstack[1] == _runner ]]; then _runner \"$@\"; else compdef _runner runner; fi\n";
  return out;
}

// --- fish -------------------------------------------------------------------------------------------------------

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string fish_flag(const Flag& flag, const std::string& condition) {
  std::string line = "complete -c runner -n " + fish_quoted(condition);
  for (const std::string& name : flag.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (flag.value && flag.directory) {
    line += " -x -a '(__fish_complete_directories)'";
  } else if (flag.value && flag.file) {
    line += " -r -F";
  } else if (flag.value) {
    line += " -x";
    if (!flag.choices.empty()) line += " -a " + fish_quoted(fmt::format("{}", fmt::join(flag.choices, " ")));
  }
  return line + " -d " + fish_quoted(flag.help) + "\n";
}

std::string fish(const Model& model) {
  std::string out =
      "# Completion of runner for fish: runner completion fish > ~/.config/fish/completions/runner.fish\n"
      "function __runner_jobs\n"
      "    set -l file (string match -r '.*\\.ya?ml$' -- (commandline -opc))[1]\n"
      "    runner __jobs $file 2>/dev/null\n"
      "end\n"
      "complete -c runner -f\n";
  for (const Flag& flag : model.flags) out += fish_flag(flag, "__fish_use_subcommand");
  for (const Command& command : model.commands) {
    const std::string inside = "__fish_seen_subcommand_from " + command.name;
    out += "complete -c runner -n __fish_use_subcommand -a " + command.name + " -d " + fish_quoted(command.help) + "\n";
    for (const Flag& flag : command.flags) out += fish_flag(flag, inside);
    const std::string argument = "complete -c runner -n " + fish_quoted(inside);
    if (command.jobs) out += argument + " -a '(__runner_jobs)' -d job\n";
    if (command.files) out += argument + " -k -a '(__fish_complete_suffix .yml; __fish_complete_suffix .yaml)'\n";
    if (command.directory) out += argument + " -a '(__fish_complete_directories)'\n";
    if (!command.words.empty())
      out += argument + " -a " + fish_quoted(fmt::format("{}", fmt::join(command.words, " "))) + "\n";
  }
  return out;
}

}  // namespace

std::vector<std::string> choices_of(std::string_view help) {
  std::vector<std::string> words;
  bool last = false;
  while (true) {
    std::size_t end = 0;
    while (end < help.size() &&
           (std::isalnum(static_cast<unsigned char>(help[end])) || help[end] == '_' || help[end] == '-'))
      ++end;
    if (end == 0) return {};
    words.emplace_back(help.substr(0, end));
    help.remove_prefix(end);
    if (help.starts_with(" (")) {
      const std::size_t close = help.find(')');
      if (close == std::string_view::npos) return {};
      help.remove_prefix(close + 1);
    }
    if (last)
      return help.empty() || help[0] == ',' || help[0] == ';' || help[0] == ':' || help[0] == '.'
                 ? words
                 : std::vector<std::string>{};
    if (help.starts_with(" or ")) {
      help.remove_prefix(4);
      last = true;
    } else if (help.starts_with(", ")) {
      help.remove_prefix(2);
    } else {
      return {};
    }
  }
}

std::string completion_script(const CLI::App& program, std::string_view shell) {
  if (shell == "bash") return bash(model_of(program));
  if (shell == "zsh") return zsh(model_of(program));
  if (shell == "fish") return fish(model_of(program));
  return {};
}

}  // namespace runner
