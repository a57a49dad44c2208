#include "pipelines/variables.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <unordered_map>

namespace pipelines {
namespace {

constexpr std::size_t longest_value = std::size_t{1} << 20U;
// No name is longer, and a value of many "${" is not searched for "}" again and again.
constexpr std::size_t longest_name = 4096;
constexpr std::size_t most_growth = std::size_t{16} << 20U;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || is_digit(c); }

std::size_t word_end(std::string_view text, std::size_t at) {
  while (at < text.size() && is_word(text[at])) ++at;
  return at;
}

bool is_shell_special(char c) { return is_digit(c) || std::string_view("*#$@!?-").find(c) != std::string_view::npos; }

// Go's os.Expand, as gitlab-runner uses it: what a '$' at `at` refers to, and how many bytes that takes.
// `name` empty with `size` 1: a lone '$', kept; longer: bad syntax, dropped.
struct GoReference {
  std::string_view name;
  std::size_t size = 1;
};

GoReference go_reference(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(at + 1);
  if (rest.empty()) return {};
  if (rest[0] == '{') {
    const std::size_t close = rest.substr(0, longest_name).find('}');
    if (close == std::string_view::npos) return {{}, 2};
    return {rest.substr(1, close - 1), close + 2};
  }
  if (is_shell_special(rest[0])) return {rest.substr(0, 1), 2};
  const std::size_t end = word_end(rest, 0);
  return {rest.substr(0, end), end + 1};
}

// A piece of a value: plain text or a reference to a variable.
struct Piece {
  std::string_view text;     // as written
  std::string_view name;     // a reference's; empty: none
  std::string_view instead;  // what it comes to where that is not known
};

// `%name%`; of text: as far as there is no reference.
Piece plain_piece(std::string_view text, std::size_t at) {
  if (text[at] == '%') {
    const std::size_t end = word_end(text, at + 1);
    if (end > at + 1 && is_letter(text[at + 1]) && end < text.size() && text[end] == '%') {
      const std::string_view whole = text.substr(at, end + 1 - at);
      return {whole, whole.substr(1, whole.size() - 2), whole};
    }
  }
  // `%%`: what it escapes is no reference.
  const std::size_t from = at + (text.substr(at, 2) == "%%" ? 2 : 1);
  const std::string_view whole = text.substr(at, std::min(text.find_first_of("$%", from), text.size()) - at);
  return {whole, {}, whole};
}

// GitLab's forms (lib/gitlab/ci/variables/collection/item.rb) are all among Go's but for `%name%`.
Piece next_piece(std::string_view text, std::size_t at) {
  if (text[at] != '$') return plain_piece(text, at);
  const GoReference reference = go_reference(text, at);
  const std::string_view whole = text.substr(at, reference.size);
  if (reference.size == 1 || reference.name == "$") return {whole, {}, whole.substr(0, 1)};
  return {whole, reference.name, {}};
}

// Expands the values of a set, each after those that it refers to. Tarjan's strongly connected components give that
// order and find the cycles in one pass; the stack is our own, because values may refer to each other in long chains.
class Expansion {
 public:
  using Entries = std::map<std::string, VariableSet::Entry, std::less<>>;

  Expansion(Entries& entries, const VariableSet& written) : written_(written) {
    for (auto& [name, entry] : entries) {
      known_.emplace(name, &entry);
      if (entry.expand && !entry.file && entry.value.find_first_of("$%") != std::string::npos) {
        index_.emplace(name, nodes_.size());
        nodes_.push_back(Node{&entry});
      }
    }
  }

  void run() {
    for (std::size_t root = 0; root < nodes_.size(); ++root) {
      if (nodes_[root].order == unseen) visit(root);
    }
  }

 private:
  static constexpr std::size_t unseen = std::numeric_limits<std::size_t>::max();

  struct Node {
    VariableSet::Entry* entry;
    std::size_t order = unseen;
    std::size_t low = 0;
    std::size_t component = unseen;
    std::size_t at = 0;  // how far its value has been searched for references
  };

  void enter(std::size_t node) {
    nodes_[node].order = nodes_[node].low = ++orders_;
    open_.push_back(node);
    path_.push_back(node);
  }

  void visit(std::size_t root) {
    enter(root);
    while (!path_.empty()) {
      const std::size_t current = path_.back();
      Node& node = nodes_[current];
      if (node.at < node.entry->value.size()) {
        const Piece piece = next_piece(node.entry->value, node.at);
        node.at += piece.text.size();
        const auto found = piece.name.empty() ? index_.end() : index_.find(piece.name);
        if (found == index_.end()) continue;
        const Node& other = nodes_[found->second];
        if (other.order == unseen) {
          enter(found->second);
        } else if (other.component == unseen) {
          node.low = std::min(node.low, other.order);
        }
        continue;
      }
      path_.pop_back();
      if (!path_.empty()) nodes_[path_.back()].low = std::min(nodes_[path_.back()].low, node.low);
      if (node.low == node.order) close_component(current);
    }
  }

  // All members get their number first: a reference to one of them is a part of the cycle.
  void close_component(std::size_t root) {
    const auto first = std::find(open_.rbegin(), open_.rend(), root).base() - 1;
    for (auto member = first; member != open_.end(); ++member) nodes_[*member].component = root;
    std::vector<std::pair<VariableSet::Entry*, std::string>> values;
    for (auto member = first; member != open_.end(); ++member) {
      values.emplace_back(nodes_[*member].entry, substitute(nodes_[*member]));
    }
    for (auto& [entry, value] : values) entry->value = std::move(value);
    open_.erase(first, open_.end());
  }

  std::string substitute(const Node& node) {
    const std::string& from = node.entry->value;
    std::string to;
    for (std::size_t at = 0; at < from.size();) {
      const Piece piece = next_piece(from, at);
      at += piece.text.size();
      std::string path;
      const std::string_view put = piece.name.empty() ? piece.instead : value_for(piece, node.component, path);
      const std::size_t rest = from.size() - at;
      if (put.size() > piece.text.size() && (to.size() + put.size() + rest > longest_value || put.size() > left_)) {
        to += piece.text;
        continue;
      }
      if (put.data() != piece.text.data()) left_ -= std::min(left_, put.size());
      to += put;
    }
    return to;
  }

  // `path`: where that of a file is made.
  std::string_view value_for(const Piece& piece, std::size_t component, std::string& path) const {
    const auto known = known_.find(piece.name);
    if (known == known_.end()) return piece.instead;
    if (known->second->file && !(path = written_.path_of(piece.name)).empty()) return path;
    const auto found = index_.find(piece.name);
    if (found != index_.end() && nodes_[found->second].component == component) return piece.text;
    return known->second->value;
  }

  const VariableSet& written_;
  std::unordered_map<std::string_view, VariableSet::Entry*> known_;
  std::unordered_map<std::string_view, std::size_t> index_;  // into nodes_: those whose value may refer to something
  std::vector<Node> nodes_;
  std::vector<std::size_t> path_;  // the depth-first search's own
  std::vector<std::size_t> open_;  // Tarjan's: seen, component not known yet
  std::size_t orders_ = 0;
  std::size_t left_ = most_growth;
};

std::string_view trim(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r") - start + 1);
}

std::string_view unquote(std::string_view value) {
  const bool quoted = value.size() >= 2 && value.front() == value.back() && (value[0] == '"' || value[0] == '\'');
  return quoted ? value.substr(1, value.size() - 2) : value;
}

}  // namespace

void VariableSet::set(std::string_view name, std::string value, Precedence precedence, bool expand, bool masked,
                      bool file) {
  const auto found = entries_.lower_bound(name);
  if (found == entries_.end() || found->first != name) {
    entries_.emplace_hint(found, std::string(name), Entry{std::move(value), precedence, expand, masked, file});
  } else if (precedence >= found->second.precedence) {
    found->second = Entry{std::move(value), precedence, expand, masked, file};
  }
}

void VariableSet::set(const Variable& variable, Precedence precedence) {
  set(variable.name, variable.value, precedence, variable.expand, variable.masked, variable.file);
}

void VariableSet::set_all(const Variables& variables, Precedence precedence) {
  for (const Variable& variable : variables) set(variable, precedence);
}

const VariableSet::Entry* VariableSet::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

VariableSet VariableSet::expanded() const {
  VariableSet result = *this;
  Expansion(result.entries_, *this).run();
  for (auto& [name, entry] : result.entries_) entry.expand = false;
  return result;
}

std::string VariableSet::path_of(std::string_view name) const {
  return files_.empty() ? std::string() : files_ + std::string(name);
}

std::string VariableSet::expand(std::string_view text) const {
  return pipelines::expand(text, [this](std::string_view name) -> std::optional<std::string> {
    const Entry* entry = find(name);
    if (entry && entry->file && !files_.empty()) return path_of(name);
    return entry ? std::optional(entry->value) : std::nullopt;
  });
}

std::string expand(std::string_view text,
                   const std::function<std::optional<std::string>(std::string_view name)>& lookup) {
  std::string result;
  for (std::size_t at = 0; at < text.size() && result.size() <= longest_value;) {
    const std::size_t dollar = std::min(text.find('$', at), text.size());
    result += text.substr(at, dollar - at);
    at = dollar;
    if (at == text.size()) break;
    const GoReference reference = go_reference(text, at);
    if (reference.size == 1 || reference.name == "$") {
      result += '$';
    } else if (const std::optional<std::string> value = lookup(reference.name)) {
      result += *value;
    }
    at += reference.size;
  }
  return result;
}

std::string expand_existing(std::string_view text,
                            const std::function<std::optional<std::string>(std::string_view name)>& lookup) {
  std::string result;
  for (std::size_t at = 0; at < text.size() && result.size() <= longest_value;) {
    Piece piece = text[at] == '$' && text.substr(at, 2) != "$$" ? next_piece(text, at) : plain_piece(text, at);
    // What else Go reads as a reference is none here.
    const bool named = !piece.name.empty() && is_letter(piece.name[0]) && word_end(piece.name, 0) == piece.name.size();
    if (!named && text[at] == '$') piece = {text.substr(at, 1), {}, {}};
    at += piece.text.size();
    const std::optional<std::string> value = named ? lookup(piece.name) : std::nullopt;
    result += value ? *value : piece.text;
  }
  return result;
}

Dotenv parse_dotenv(std::string_view text, std::size_t limit, bool report) {
  Dotenv dotenv;
  if (text.size() > limit) {
    dotenv.warnings.push_back("only the first " + std::to_string(limit) + " of " + std::to_string(text.size()) +
                              " bytes are read");
    const std::size_t end = text.substr(0, limit + 1).rfind('\n');
    text = text.substr(0, end == std::string_view::npos ? 0 : end);
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);  // a byte order mark
  std::size_t number = 0;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = trim(text.substr(start, end - start));
    start = end + 1;
    ++number;
    const auto warn = [&](const char* what) {
      dotenv.warnings.push_back("line " + std::to_string(number) + ": " + what);
    };
    if (line.empty() || line.front() == '#') {
      if (report) warn("comments and blank lines are not allowed");
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string_view key = trim(line.substr(0, std::min(equals, line.size())));
    if (equals == std::string_view::npos) {
      warn("not of the form KEY=value");
    } else if (key.empty() || word_end(key, 0) != key.size()) {
      warn("the key may hold only letters, digits and '_'");
    } else if (line.find('\0') != std::string_view::npos) {
      warn("the value holds a NUL byte");
    } else {
      const std::string_view value = trim(line.substr(equals + 1));
      dotenv.variables.emplace_back(key, report ? value : unquote(value));
    }
  }
  if (report && !dotenv.warnings.empty()) {
    dotenv.refused = std::move(dotenv.warnings.front());
    dotenv.warnings.clear();
    dotenv.variables.clear();
  }
  return dotenv;
}

std::string slug(std::string_view text, std::size_t limit) {
  std::string result;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0U) == 0x80U) continue;  // one '-' for a whole UTF-8 character
    if (result.size() == limit) break;
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    result += (lower >= 'a' && lower <= 'z') || is_digit(lower) ? lower : '-';
  }
  const std::size_t start = result.find_first_not_of('-');
  if (start == std::string::npos) return {};
  return result.substr(start, result.find_last_not_of('-') - start + 1);
}

bool scope_matches(std::string_view scope, std::string_view environment) {
  const std::size_t star = scope.find('*');
  if (star == std::string_view::npos) return scope == environment;
  if (!environment.starts_with(scope.substr(0, star))) return false;
  environment.remove_prefix(star);
  std::string_view rest = scope.substr(star + 1);
  // Each piece between stars at its first place; the last one at the end.
  for (std::size_t next = rest.find('*'); next != std::string_view::npos; next = rest.find('*')) {
    const std::size_t found = environment.find(rest.substr(0, next));
    if (found == std::string_view::npos) return false;
    environment.remove_prefix(found + next);
    rest.remove_prefix(next + 1);
  }
  return environment.ends_with(rest);
}

bool is_variable_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace pipelines
