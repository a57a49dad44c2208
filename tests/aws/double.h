// The double for AWS (double.py) as a process of one test.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace aws_double {

inline constexpr const char* key = "AKIDEXAMPLE";
inline constexpr const char* secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
inline constexpr const char* region = "eu-west-1";

class Double {
 public:
  Double();  // throws where it does not start
  Double(const Double&) = delete;
  Double& operator=(const Double&) = delete;
  ~Double();

  const std::filesystem::path& directory() const { return directory_; }  // goes with it
  std::string url() const { return "http://127.0.0.1:" + port_; }
  // What exists and what will become of it; see the services' files. Throws when the double refuses it.
  void order(const nlohmann::json& orders) const;
  // What it was asked: service, operation, params, key, outcome.
  std::vector<nlohmann::json> journal() const;
  // "service Operation outcome" of each.
  std::vector<std::string> calls() const;
  // How often that operation was carried out.
  std::size_t done(const std::string& operation) const;
  // The parameters of the last time.
  nlohmann::json last(const std::string& operation) const;

 private:
  std::filesystem::path directory_;
  std::string port_;
  pid_t process_ = -1;
};

}  // namespace aws_double
