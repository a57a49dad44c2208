#include "executors/aws/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <pugixml.hpp>

#include "executors/aws/sigv4.h"

namespace executors::aws {
namespace {

using nlohmann::json;

constexpr int deepest = 64;  // no answer of AWS comes near it

std::string_view local_name(std::string_view name) { return name.substr(name.find(':') + 1); }

std::optional<Element> element_of(const pugi::xml_node& node, int depth) {
  if (depth > deepest) return std::nullopt;
  Element element{std::string(local_name(node.name())), {}, {}};
  for (const pugi::xml_node child : node.children()) {
    if (child.type() == pugi::node_element) {
      std::optional<Element> inner = element_of(child, depth + 1);
      if (!inner) return std::nullopt;
      element.children.push_back(std::move(*inner));
    } else if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata) {
      element.text += child.value();
    }
  }
  return element;
}

class Form {
 public:
  explicit Form(bool member) : member_(member) {}

  void add(const std::string& name, const json& value) {
    if (value.is_object()) {
      for (const auto& [key, inner] : value.items()) add(name.empty() ? key : name + "." + key, inner);
    } else if (value.is_array()) {
      if (value.empty() && member_) append(name, "");
      for (std::size_t i = 0; i < value.size(); ++i) {
        add(fmt::format("{}{}.{}", name, member_ ? ".member" : "", i + 1), value[i]);
      }
    } else if (value.is_string()) {
      append(name, value.get_ref<const std::string&>());
    } else if (!value.is_null()) {
      append(name, value.dump());
    }
  }

  void append(std::string_view name, std::string_view value) {
    text_ += fmt::format("{}{}={}", text_.empty() ? "" : "&", percent_encoded(name), percent_encoded(value));
  }

  std::string take() { return std::move(text_); }

 private:
  bool member_;
  std::string text_;
};

// "com.amazonaws.ecs#ClusterNotFoundException:http://…" is ClusterNotFoundException.
std::string bare_code(std::string_view code) {
  code = code.substr(0, code.find(':'));
  const std::size_t hash = code.rfind('#');
  return std::string(hash == std::string_view::npos ? code : code.substr(hash + 1));
}

bool read_json(std::string_view body, Fault& fault) {
  const json document = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return false;
  const auto text = [&](const char* key) {
    const auto found = document.find(key);
    return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  for (const char* key : {"__type", "code", "Code"}) {
    if (fault.code.empty()) fault.code = bare_code(text(key));
  }
  for (const char* key : {"message", "Message", "errorMessage"}) {
    if (fault.message.empty()) fault.message = text(key);
  }
  return true;
}

bool read_xml(std::string_view body, Fault& fault) {
  const std::optional<Element> root = parse_xml(body);
  if (!root) return false;
  // query: ErrorResponse/Error; ec2: Response/Errors/Error; s3: Error itself.
  const Element* error = nullptr;
  if (root->name == "Error") error = &*root;
  if (root->has("Error")) error = &(*root)["Error"];
  if (root->has("Errors")) error = &(*root)["Errors"]["Error"];
  if (error == nullptr) return false;
  if (fault.code.empty()) fault.code = bare_code((*error)["Code"].text);
  fault.message = (*error)["Message"].text;
  for (const Element* place : {&*root, error}) {
    for (const char* name : {"RequestId", "RequestID"}) {
      if (fault.request_id.empty()) fault.request_id = (*place)[name].text;
    }
  }
  return true;
}

}  // namespace

const Element& Element::operator[](std::string_view child) const {
  static const Element none;
  const auto found = std::ranges::find(children, child, &Element::name);
  return found == children.end() ? none : *found;
}

bool Element::has(std::string_view child) const {
  return std::ranges::find(children, child, &Element::name) != children.end();
}

std::vector<const Element*> Element::items(std::string_view flattened) const {
  std::vector<const Element*> found;
  for (const Element& child : children) {
    const bool is_item = flattened.empty() ? child.name == "member" || child.name == "item" : child.name == flattened;
    if (is_item) found.push_back(&child);
  }
  return found;
}

std::optional<Element> parse_xml(std::string_view text) {
  pugi::xml_document document;
  if (!document.load_buffer(text.data(), text.size())) return std::nullopt;
  return element_of(document.document_element(), 0);
}

std::string form_of(const Service& service, std::string_view operation, const json& parameters) {
  Form form(service.protocol == Protocol::query);
  form.append("Action", operation);
  form.append("Version", service.version);
  form.add("", parameters);
  return form.take();
}

Fault fault_of(int status, std::string_view body, std::string_view error_type_header,
               std::string_view request_id_header, std::string_view extended_id_header) {
  Fault fault;
  fault.code = bare_code(error_type_header);
  fault.request_id = request_id_header;
  if (!read_json(body, fault)) read_xml(body, fault);
  if (!extended_id_header.empty()) fault.request_id += fmt::format(" {}", extended_id_header);
  if (fault.code.empty()) fault.code = fmt::format("HTTP {}", status);
  if (fault.message.empty()) fault.message = "the answer says no more";
  return fault;
}

}  // namespace executors::aws
