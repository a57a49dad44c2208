#include "pipelines/masked_values.h"

#include <algorithm>
#include <set>

#include "pipelines/findings.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

// Anchors share their nodes: each is looked at once.
class Search {
 public:
  Values take(Yaml root) {
    walk(root);
    return std::move(found_);
  }

 private:
  void walk(Yaml yaml) {
    if (!is_container(yaml.kind()) || !seen_.insert(yaml.index()).second) return;
    for (std::size_t i = 0; i < yaml.size(); ++i) {
      if (!yaml.is_mapping()) {
        walk(yaml.item(i));
        continue;
      }
      const Yaml value = yaml.value(i);
      if (value.is_mapping()) look_at(yaml.key(i).text(), value);
      walk(value);
    }
  }

  // A variable may get its mapping from an anchor under several names: its own node is looked at for each.
  void look_at(std::string_view name, Yaml variable) {
    const Yaml masked = variable.find("masked");
    const Yaml value = variable.find("value");
    if (!masked || !value || !masked.is_scalar() || !value.is_scalar()) return;
    if (masked.type() != ScalarType::boolean || !scalar_is_true(masked.text())) return;
    std::pair one(std::string(name), value.is_string() ? std::string(value.text()) : scalar_to_s(value.text()));
    if (std::find(found_.begin(), found_.end(), one) == found_.end()) found_.push_back(std::move(one));
  }

  std::set<NodeIndex> seen_;
  Values found_;
};

}  // namespace

Values masked_values(std::string_view text) {
  // Most files have none, and the large ones are not read twice for nothing.
  if (text.find("masked") == std::string_view::npos) return {};
  YamlTree tree;
  Findings findings;
  Yaml header;
  const std::optional<Yaml> root = tree.load(text, 0, findings, &header);
  return root ? Search().take(*root) : Values{};
}

std::optional<std::string> rewrite_scalars(std::string_view text, const ScalarRewrite& rewrite) {
  YamlTree tree;
  Findings findings;
  const std::optional<Yaml> root = tree.load(text, 0, findings);
  return root ? emit_yaml(*root, Limits::text_bytes, rewrite) : std::nullopt;
}

}  // namespace pipelines
