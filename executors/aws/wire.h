// AWS's protocols on the wire (smithy.io, "AWS JSON 1.1 protocol", "AWS query protocol", "AWS EC2 query protocol",
// "AWS restXml protocol"): parameters out, answers and errors in. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "executors/aws/settings.h"

namespace executors::aws {

// One element of an XML answer; attributes and namespaces say nothing in these protocols.
struct Element {
  std::string name, text;
  std::vector<Element> children;

  // The first child of that name; an empty element where there is none.
  const Element& operator[](std::string_view child) const;
  bool has(std::string_view child) const;
  // What lists are made of: the children called "member" or "item", or those of a flattened list's name.
  std::vector<const Element*> items(std::string_view flattened = {}) const;
};

std::optional<Element> parse_xml(std::string_view text);

// The form of the query protocols. Objects become A.B, lists A.member.N (query) or A.N (ec2), true and false words;
// null is left out. An empty list is "A=" in query, nothing in ec2.
std::string form_of(const Service&, std::string_view operation, const nlohmann::json& parameters);

// What a service said went wrong.
struct Fault {
  std::string code;  // "ThrottlingException"; "HTTP 502" where no service answered
  std::string message;
  std::string request_id;
};

// Of an answer that is none of 2xx. The body may be the service's, another protocol's, HTML or empty.
Fault fault_of(int status, std::string_view body, std::string_view error_type_header,
               std::string_view request_id_header, std::string_view extended_id_header);

}  // namespace executors::aws
