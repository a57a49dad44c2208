// Redactor: takes secrets out of a stream of bytes, however it is cut. Pure.
//
// Each secret is looked for as it is, line by line where it has several, and as it comes out of base64 (standard and
// URL alphabet, at all three alignments), hexadecimal, URL, JSON and shell quoting. Aho-Corasick: one pass, time linear
// in the bytes, whatever the number of secrets. Overlapping finds become one [MASKED].
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace runner {

// Shorter values are not looked for: they would be found everywhere (and give themselves away by what is missing).
inline constexpr std::size_t shortest_secret = 8;
bool too_short(std::string_view secret);

inline constexpr std::string_view mask = "[MASKED]";

// What is looked for, compiled once per run and shared by all its jobs' redactors (immutable).
class SecretSet {
 public:
  SecretSet();  // finds nothing
  explicit SecretSet(const std::vector<std::string>& secrets);
  bool empty() const;
  // Every form that is looked for, for tests: sorted, unique.
  const std::vector<std::string>& forms() const;
  struct Automaton;

 private:
  friend class Redactor;
  std::shared_ptr<const Automaton> automaton_;
};

// One per stream and thread.
class Redactor {
 public:
  explicit Redactor(SecretSet);
  explicit Redactor(const std::vector<std::string>& secrets) : Redactor(SecretSet(secrets)) {}
  Redactor(Redactor&&) noexcept;
  Redactor& operator=(Redactor&&) noexcept;
  ~Redactor();

  // Returns what is certain by now: all but a tail that may be the beginning of a secret.
  std::string feed(std::string_view bytes);
  // The same without a copy where there is nothing to keep back: appends to `out`.
  void feed(std::string_view bytes, std::string& out);
  // The rest, at the end of the stream. The redactor is as new afterwards.
  std::string finish();
  // Fed bytes that no output stands for yet: the stream can be resumed with a new redactor at fed − held().
  std::size_t held() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A whole text at once.
std::string redact(const SecretSet&, std::string_view text);

}  // namespace runner
