// What is remembered of secrets: nothing that gives them away. Pure but for random_salt().
//
// A hash is scrypt's (RFC 7914) with N = 4096, r = 8, p = 1: some 10 ms and 4 MB a guess, 128 bits in hexadecimal.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runner/secrets/redactor.h"

namespace runner {

std::string random_salt();  // 32 hexadecimal digits
std::string slow_hash(std::string_view value, std::string_view salt);

// A name that is to be stored: as it is, or where it has secrets, without them and with its hash behind, so that
// different names stay different and the same one is the same in every process.
std::string storable_name(const SecretSet&, std::string_view name, std::string_view salt);

using NamedSecrets = std::vector<std::pair<std::string, std::string>>;  // name, value

// A pipeline's text as it may be stored: where the value of a masked variable of its own, or one of `secrets`, stands
// in a scalar, there is a mark with its name, a salt and its hash. The text itself where there is nothing to cut out.
// Empty when that cannot be done (a text that grows beyond what a pipeline may have). Values under 8 characters are cut
// out where they are a whole scalar.
std::string without_secrets(const std::string& text, const NamedSecrets& secrets);

// The way back, once the values are known again. `missing`: names of values that none of `known` is.
struct PutBack {
  std::string text;
  std::vector<std::string> missing;
};
bool lacks_secrets(std::string_view text);
PutBack with_secrets(const std::string& text, const NamedSecrets& known);

}  // namespace runner
