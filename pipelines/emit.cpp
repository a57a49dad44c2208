#include "pipelines/emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "pipelines/yaml_scalar.h"

namespace pipelines {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Whether YAML reads the text as it stands as this very string, in any place.
bool is_simple(std::string_view text) {
  constexpr std::string_view inside = "_./-+ ,=()*&%@!~^<>;";
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || text.size() > 4096 || text.back() == ' ') {
    return false;
  }
  if (!letter(text[0]) && text[0] != '.' && text[0] != '/' && text[0] != '$') {
    return false;
  }
  if (!std::ranges::all_of(text, [&](char c) {
        return letter(c) || digit(c) || c == '$' || c == '\'' || inside.find(c) != std::string_view::npos;
      })) {
    return false;
  }
  return text.substr(0, 3) != "..." && scalar_type(text) == ScalarType::string;
}

// Whether a literal block (`|`) says exactly this.
bool is_block(std::string_view text) {
  if (text.find('\n') == std::string_view::npos || text.front() == ' ' || text.front() == '\t' ||
      text.front() == '\n') {
    return false;
  }
  const std::size_t last = text.find_last_not_of('\n');
  if (last == std::string_view::npos || text.substr(0, last + 1).find("---") == 0) {
    return false;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && text[i] != '\n' && text[i] != '\t') || byte >= 0x7f) {
      return false;  // what else ends a line in YAML is not ASCII
    }
    if (text[i] == '\n' && i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\t')) {
      return false;  // kept by YAML, lost by editors
    }
  }
  return true;
}

class YamlWriter {
 public:
  YamlWriter(std::size_t most, const ScalarRewrite& rewrite) : most_(most), rewrite_(rewrite) {}

  std::optional<std::string> write(Yaml root) {
    block(root, 0);
    return out_.size() <= most_ ? std::optional(std::move(out_)) : std::nullopt;
  }

 private:
  bool full() const { return out_.size() > most_; }

  void indent(std::size_t levels) { out_.append(2 * levels, ' '); }

  static bool is_block_container(Yaml yaml) { return (yaml.is_mapping() || yaml.is_sequence()) && yaml.size() > 0; }

  void block(Yaml yaml, std::size_t level) {
    for (std::size_t i = 0; i < yaml.size() && !full(); ++i) {
      indent(level);
      if (yaml.is_mapping()) {
        key(yaml.key(i));
        value(yaml.value(i), level);
      } else {
        item(yaml.item(i), level);
      }
    }
  }

  void key(Yaml yaml) {
    const std::string text = rewritten(yaml.text());
    out_ += is_simple(text) ? text : quoted(text);
    out_ += ':';
  }

  void value(Yaml yaml, std::size_t level) {
    if (is_block_container(yaml)) {
      out_ += '\n';
      block(yaml, level + 1);
    } else {
      out_ += ' ';
      leaf(yaml, level + 1);
    }
  }

  void item(Yaml yaml, std::size_t level) {
    out_ += '-';
    if (yaml.is_mapping() && yaml.size() > 0) {
      // The first key beside the dash, the others below it.
      for (std::size_t i = 0; i < yaml.size() && !full(); ++i) {
        if (i == 0) {
          out_ += ' ';
        } else {
          indent(level + 1);
        }
        key(yaml.key(i));
        value(yaml.value(i), level + 1);
      }
      return;
    }
    value(yaml, level);
  }

  void leaf(Yaml yaml, std::size_t level) {
    switch (yaml.kind()) {
      case Kind::null:
        out_ += "~\n";
        return;
      case Kind::mapping:
        out_ += "{}\n";
        return;
      case Kind::sequence:
        out_ += "[]\n";
        return;
      case Kind::reference:
        out_ += "!reference [";
        for (std::size_t i = 0; i < yaml.size(); ++i) {
          out_ += i == 0 ? "" : ", ";
          out_ += quoted(rewritten(yaml.item(i).text()));
        }
        out_ += "]\n";
        return;
      case Kind::scalar:
        break;
    }
    const std::string_view text = yaml.text();
    if (yaml.type() == ScalarType::string) {
      if (rewrite_) {
        string(rewrite_(text), level);
      } else {
        string(text, level);
      }
    } else if (const std::string changed = rewritten(scalar_to_s(text)); rewrite_ && changed != scalar_to_s(text)) {
      string(changed, level);
    } else {
      out_ += text.empty() ? "~" : text;
      out_ += '\n';
    }
  }

  std::string rewritten(std::string_view text) const { return rewrite_ ? rewrite_(text) : std::string(text); }

  void string(std::string_view text, std::size_t level) {
    if (is_simple(text)) {
      out_ += text;
      out_ += '\n';
    } else if (is_block(text)) {
      literal(text, level);
    } else {
      out_ += quoted(text) + '\n';
    }
  }

  void literal(std::string_view text, std::size_t level) {
    const std::size_t end = text.find_last_not_of('\n') + 1;
    const std::size_t newlines = text.size() - end;
    out_ += newlines == 0 ? "|-\n" : newlines == 1 ? "|\n" : "|+\n";
    std::string_view rest = text.substr(0, end);
    while (true) {
      const std::size_t newline = rest.find('\n');
      const std::string_view line = rest.substr(0, newline);
      if (!line.empty()) {
        indent(level);
        out_ += line;
      }
      out_ += '\n';
      if (newline == std::string_view::npos) {
        break;
      }
      rest.remove_prefix(newline + 1);
    }
    out_.append(newlines > 1 ? newlines - 1 : 0, '\n');
  }

  std::size_t most_;
  const ScalarRewrite& rewrite_;
  std::string out_;
};

class JsonWriter {
 public:
  JsonWriter(std::size_t most, bool compact) : most_(most), compact_(compact) {}

  std::optional<std::string> write(Yaml root) {
    value(root, 0);
    if (!compact_) {
      out_ += '\n';
    }
    return out_.size() <= most_ ? std::optional(std::move(out_)) : std::nullopt;
  }

 private:
  void value(Yaml yaml, std::size_t level) {
    switch (yaml.kind()) {
      case Kind::null:
        out_ += "null";
        return;
      case Kind::scalar:
        scalar(yaml);
        return;
      case Kind::sequence:
      case Kind::reference:
      case Kind::mapping:
        break;
    }
    const bool mapping = yaml.is_mapping();
    out_ += mapping ? '{' : '[';
    for (std::size_t i = 0; i < yaml.size() && out_.size() <= most_; ++i) {
      out_ += i == 0 ? "" : ",";
      new_line(level + 1);
      if (mapping) {
        out_ += quoted(yaml.key(i).text()) + (compact_ ? ":" : ": ");
      }
      value(mapping ? yaml.value(i) : yaml.item(i), level + 1);
    }
    if (yaml.size() > 0) {
      new_line(level);
    }
    out_ += mapping ? '}' : ']';
  }

  void new_line(std::size_t level) {
    if (compact_) {
      return;
    }
    out_ += '\n';
    out_.append(2 * level, ' ');
  }

  void scalar(Yaml yaml) {
    const std::string_view text = yaml.text();
    switch (yaml.type()) {
      case ScalarType::null:
        out_ += "null";
        return;
      case ScalarType::boolean:
        out_ += scalar_is_true(text) ? "true" : "false";
        return;
      case ScalarType::integer:
      case ScalarType::floating: {
        const std::string number = scalar_to_s(text);
        const bool finite = number.find_first_not_of("0123456789+-.eE") == std::string::npos;
        out_ += finite ? number : quoted(text);
        return;
      }
      case ScalarType::string:
        out_ += quoted(text);
        return;
    }
  }

  std::size_t most_;
  bool compact_;
  std::string out_;
};

}  // namespace

std::optional<std::string> emit_yaml(Yaml root, std::size_t most, const ScalarRewrite& rewrite) {
  return YamlWriter(most, rewrite).write(root);
}

std::optional<std::string> emit_json(Yaml root, std::size_t most) { return JsonWriter(most, false).write(root); }

std::optional<std::string> emit_compact_json(Yaml root, std::size_t most) { return JsonWriter(most, true).write(root); }

}  // namespace pipelines
