// Against tests/data/sigv4_vectors.json: made by botocore's signer, the first with AWS's own published example.
#include "executors/aws/sigv4.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace executors::aws {
namespace {

using nlohmann::json;

const json& vectors() {
  static const json all = [] {
    std::ifstream file(RUNNER_SOURCE_DIR "/tests/data/sigv4_vectors.json");
    return json::parse(file);
  }();
  return all;
}

std::string text(const json& object, const char* key) {
  return object.at(key).is_null() ? "" : object.at(key).get<std::string>();
}

AccessKey key_of(const json& vector) {
  return {text(vector, "access_key"), text(vector, "secret"), text(vector, "session_token")};
}

Scope scope_of(const json& vector) {
  std::istringstream time(text(vector, "time"));
  std::tm parts{};
  time >> std::get_time(&parts, "%Y%m%dT%H%M%SZ");
  return {text(vector, "service"), text(vector, "region"),
          std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::from_time_t(timegm(&parts)))};
}

class SigV4Vector : public testing::TestWithParam<std::size_t> {};

TEST_P(SigV4Vector, IsSignedAsBotocoreDoes) {
  const json& vector = vectors().at(GetParam());
  SCOPED_TRACE(text(vector, "name"));
  const std::string url = text(vector, "url");
  if (!vector.at("signed_url").is_null()) {
    EXPECT_EQ(presign(key_of(vector), scope_of(vector), text(vector, "method"), url, std::chrono::seconds(900)),
              text(vector, "signed_url"));
    return;
  }
  Unsigned request{text(vector, "method"), url, {}, sha256_hex(text(vector, "body"))};
  for (const auto& [name, value] : vector.at("headers").items()) {
    // botocore hashes the body itself, whatever the caller set.
    if (name != "X-Amz-Content-SHA256") request.headers.emplace_back(name, value.get<std::string>());
  }
  const Signature signature = sign(key_of(vector), scope_of(vector), request);
  EXPECT_EQ(signature.canonical_request, text(vector, "canonical_request"));
  EXPECT_EQ(signature.string_to_sign, text(vector, "string_to_sign"));
  for (const auto& [name, value] : signature.headers) {
    EXPECT_EQ(value, text(vector.at("result_headers"), name.c_str())) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SigV4Vector, testing::Range(std::size_t{0}, vectors().size()));

TEST(SigV4, ThereAreVectors) { EXPECT_EQ(vectors().size(), 15U); }

TEST(SigV4, AnotherSecretGivesAnotherSignature) {
  const Unsigned request{"GET", "https://sts.example.com/", {}, sha256_hex("")};
  const Scope scope{"sts", "us-east-1", std::chrono::sys_seconds(std::chrono::seconds(1440938160))};
  EXPECT_NE(sign({"AK", "one", ""}, scope, request).headers.back().second,
            sign({"AK", "two", ""}, scope, request).headers.back().second);
}

TEST(SigV4, AnUnsignedPayloadIsSaid) {
  const Scope scope{"s3", "us-east-1", std::chrono::sys_seconds(std::chrono::seconds(1440938160))};
  const Signature signature =
      sign({"AK", "secret", ""}, scope, {"PUT", "https://b.example.com/k", {}, std::string(unsigned_payload)});
  EXPECT_TRUE(signature.canonical_request.ends_with("\nUNSIGNED-PAYLOAD"));
  EXPECT_EQ(signature.headers.at(1), (std::pair<std::string, std::string>("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")));
}

TEST(SigV4, APathWithoutOneIsTheRoot) {
  const Scope scope{"sts", "us-east-1", std::chrono::sys_seconds(std::chrono::seconds(1440938160))};
  EXPECT_EQ(
      sign({"AK", "s", ""}, scope, {"GET", "https://sts.example.com?a=1", {}, sha256_hex("")}).canonical_request,
      sign({"AK", "s", ""}, scope, {"GET", "https://sts.example.com/?a=1", {}, sha256_hex("")}).canonical_request);
  EXPECT_THROW(sign({"AK", "s", ""}, scope, {"GET", "sts.example.com", {}, ""}), std::invalid_argument);
}

}  // namespace
}  // namespace executors::aws
