#include "runner/secrets/redactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

namespace runner {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string once(const std::vector<std::string>& secrets, std::string_view text) {
  return redact(SecretSet(secrets), text);
}

// Every byte that any occurrence of any form covers, by brute force; occurrences that overlap are one.
std::string oracle(const SecretSet& secrets, std::string_view text) {
  std::vector<std::pair<std::size_t, std::size_t>> finds;
  for (const std::string& form : secrets.forms()) {
    for (std::size_t at = text.find(form); at != std::string_view::npos; at = text.find(form, at + 1)) {
      finds.emplace_back(at, at + form.size());
    }
  }
  std::ranges::sort(finds);
  std::string out;
  std::size_t told = 0;
  for (std::size_t i = 0; i < finds.size();) {
    const std::size_t begin = finds[i].first;
    std::size_t end = finds[i].second;
    for (++i; i < finds.size() && finds[i].first < end; ++i) {
      end = std::max(end, finds[i].second);
    }
    out += text.substr(told, begin - told);
    out += mask;
    told = end;
  }
  return out += text.substr(told);
}

TEST(Redactor, LeavesTextWithoutSecretsAlone) {
  EXPECT_EQ(once({}, "nothing here"), "nothing here");
  EXPECT_EQ(once({"correct-horse"}, "nothing here"), "nothing here");
  EXPECT_EQ(once({"correct-horse"}, ""), "");
  const std::string bytes("\0\xff\n\0", 4);
  EXPECT_EQ(once({"correct-horse"}, bytes), bytes);
}

TEST(Redactor, MasksEveryOccurrence) {
  EXPECT_EQ(once({"correct-horse"}, "a correct-horse b correct-horse"), "a [MASKED] b [MASKED]");
  EXPECT_EQ(once({"correct-horse"}, "correct-horsecorrect-horse"), "[MASKED][MASKED]");
}

TEST(Redactor, TakesTheLongestOfNestedSecrets) {
  EXPECT_EQ(once({"password", "password-and-more"}, "password-and-more password"), "[MASKED] [MASKED]");
  EXPECT_EQ(once({"abcdefgh", "efghijkl"}, "xabcdefghijkly"), "x[MASKED]y") << "overlapping ones become one";
  EXPECT_EQ(once({"aaaaaaaa"}, std::string(1000, 'a')), "[MASKED]");
}

TEST(Redactor, DoesNotLookForShortSecrets) {
  EXPECT_TRUE(too_short("1234567"));
  EXPECT_FALSE(too_short("12345678"));
  EXPECT_EQ(once({"1234567"}, "x1234567x"), "x1234567x");
  EXPECT_TRUE(SecretSet({"1234567", ""}).empty());
}

TEST(Redactor, FindsASecretCutAnywhere) {
  const SecretSet secrets({"correct-horse", "correct-battery"});
  const std::string text = "one correct-horse, correct-horror, two correct-correct-battery three";
  const std::string expected = oracle(secrets, text);
  ASSERT_EQ(expected, "one [MASKED], correct-horror, two correct-[MASKED] three");
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Redactor redactor(secrets);
    std::string out = redactor.feed(text.substr(0, cut));
    out += redactor.feed(text.substr(cut));
    out += redactor.finish();
    EXPECT_EQ(out, expected) << "cut at " << cut;
  }
  Redactor redactor(secrets);
  std::string out;
  for (const char c : text) {
    redactor.feed(std::string_view(&c, 1), out);
  }
  EXPECT_EQ(out + redactor.finish(), expected) << "byte by byte";
}

TEST(Redactor, KeepsBackOnlyWhatMayBeASecret) {
  Redactor redactor({"correct-horse"});
  EXPECT_EQ(redactor.feed("hello corr"), "hello ");
  EXPECT_EQ(redactor.held(), 4U);
  EXPECT_EQ(redactor.feed("upt\n"), "corrupt\n");
  EXPECT_EQ(redactor.held(), 0U);
  EXPECT_EQ(redactor.feed("correct-hors"), "");
  EXPECT_EQ(redactor.held(), 12U);
  EXPECT_EQ(redactor.finish(), "correct-hors");
  EXPECT_EQ(redactor.held(), 0U);
}

TEST(Redactor, CanBeResumedFromWhatItHeld) {
  const SecretSet secrets({"correct-horse", "horse-and-cart"});
  const std::string text = "x correct-horse-and-cart correct-horse y";
  const std::string expected = oracle(secrets, text);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Redactor first(secrets);
    std::string out = first.feed(text.substr(0, cut));
    Redactor second(secrets);  // the first died
    out += second.feed(text.substr(cut - first.held()));
    out += second.finish();
    EXPECT_EQ(out, expected) << "cut at " << cut;
  }
}

TEST(Redactor, SecretLongerThanAnyWrite) {
  std::string secret;
  std::mt19937 random(1);
  while (secret.size() < 100'000) {
    secret += static_cast<char>(33 + random() % 90);
  }
  Redactor redactor({secret});
  std::string out;
  const std::string text = "begin " + secret + " end";
  for (std::size_t at = 0; at < text.size(); at += 777) {
    redactor.feed(std::string_view(text).substr(at, 777), out);
  }
  EXPECT_EQ(out + redactor.finish(), "begin [MASKED] end");
}

TEST(Redactor, SecretOfSeveralLines) {
  const std::string secret = "-----BEGIN KEY-----\nMIIEvgIBADANBgkq\nshort\nhkiG9w0BAQEFAASC\n-----END KEY-----\n";
  EXPECT_EQ(once({secret}, "<" + secret + ">"), "<[MASKED]>");
  EXPECT_EQ(once({secret}, "a MIIEvgIBADANBgkq b"), "a [MASKED] b") << "a line alone";
  EXPECT_EQ(once({secret}, "a short b"), "a short b") << "but not a short one";
  EXPECT_EQ(once({secret}, "<" + secret.substr(0, secret.size() - 1) + ">"), "<[MASKED]>")
      << "without the last newline";
  EXPECT_EQ(once({"one-secret\r\ntwo-secret\r\n"}, "one-secret\ntwo-secret\n"), "[MASKED]\n");
  EXPECT_EQ(once({"one-secret\ntwo-secret\n"}, "one-secret\r\ntwo-secret\r\n"), "[MASKED]\r\n");
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8U | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (unsigned i = 0; i < 4; ++i) {
      text += at + i > bytes.size() ? '=' : alphabet[group >> (18 - 6 * i) & 63U];
    }
  }
  return text;
}

TEST(Redactor, Base64AtEveryAlignment) {
  std::string secret = "s3cr?t>pa~ss";
  EXPECT_EQ(base64("Ma"), "TWE=");
  for (std::size_t length = 8; length <= secret.size(); ++length) {
    const std::string value = secret.substr(0, length);
    const SecretSet set({value});
    EXPECT_EQ(redact(set, "x " + base64(value) + " y"), "x [MASKED] y") << "with its padding";
    for (const std::string before : {"", "u", "us", "use", "user:"}) {
      for (const std::string after : {"", "\n", "!?", "..."}) {
        const std::string coded = base64(before + value + after);
        const std::string out = redact(set, coded);
        EXPECT_THAT(out, HasSubstr(mask)) << before << "|" << value << "|" << after;
        // What is left of the code can hold no more than the bits shared with neighbours: two characters at each end.
        EXPECT_LE(out.size(), mask.size() + (before.size() * 8 + 5) / 6 + 2 + (after.size() * 8 + 5) / 6 + 3) << out;
        std::string url = coded;
        std::ranges::replace(url, '+', '-');
        std::ranges::replace(url, '/', '_');
        EXPECT_THAT(redact(set, url), HasSubstr(mask));
      }
    }
  }
}

TEST(Redactor, Base64WithBrokenLines) {
  std::string secret;
  for (int i = 0; i < 200; ++i) {
    secret += static_cast<char>('!' + i * 7 % 90);
  }
  const std::string whole = base64(secret);
  std::string lines;
  for (std::size_t at = 0; at < whole.size(); at += 76) {
    lines += whole.substr(at, 76) + "\n";
  }
  EXPECT_EQ(once({secret}, lines), "[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\n");
}

TEST(Redactor, HexUrlJsonAndShell) {
  const std::string secret = "p@ss w'rd/\"1\\\n\xc3\xa4<";
  const SecretSet set({secret});
  for (const std::string form : {
           "7040737320772772642f22315c0ac3a43c",
           "7040737320772772642F22315C0AC3A43C",
           "p%40ss%20w%27rd%2F%221%5C%0A%C3%A4%3C",
           "p%40ss%20w%27rd%2f%221%5c%0a%c3%a4%3c",
           "p%40ss+w%27rd%2F%221%5C%0A%C3%A4%3C",
           "p%40ss%20w'rd%2F%221%5C%0A%C3%A4%3C",
           "p@ss w'rd/\\\"1\\\\\\n\xc3\xa4<",
           "p@ss w'rd\\/\\\"1\\\\\\n\\u00e4<",
           "p@ss w'rd/\\\"1\\\\\\n\xc3\xa4\\u003c",
           "p@ss w'\\''rd/\"1\\\n\xc3\xa4<",
           "p@ss w'\"'\"'rd/\"1\\\n\xc3\xa4<",
           "p@ss w'rd/\\\"1\\\\\n\xc3\xa4<",
           "p@ss w\\'rd/\"1\\\\\\n\xc3\xa4<",
       }) {
    EXPECT_EQ(redact(set, "<<" + form + ">>"), "<<[MASKED]>>") << form;
  }
}

TEST(Redactor, AgreesWithTheOracleOnRandomTexts) {
  std::mt19937 random(7);
  const auto text_of = [&](std::size_t size, unsigned letters) {
    std::string text;
    while (text.size() < size) {
      text += static_cast<char>('a' + random() % letters);
    }
    return text;
  };
  for (int round = 0; round < 400; ++round) {
    const auto letters = static_cast<unsigned>(1 + random() % 3);  // few letters: many overlaps and false beginnings
    std::vector<std::string> values;
    for (std::size_t i = 0; i < 1 + random() % 4; ++i) {
      values.push_back(text_of(8 + random() % 8, letters));
    }
    const SecretSet set(values);
    std::string text;
    for (int i = 0; i < 12; ++i) {
      const std::string& form = set.forms()[random() % set.forms().size()];
      text += text_of(random() % 20, letters);
      text += random() % 3 == 0 ? form.substr(random() % form.size()) : form;
    }
    const std::string expected = oracle(set, text);
    ASSERT_EQ(redact(set, text), expected) << text;
    Redactor cut(set);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 30, text.size() - at);
      cut.feed(std::string_view(text).substr(at, size), out);
      at += size;
      ASSERT_LE(cut.held(), at);
    }
    ASSERT_EQ(out + cut.finish(), expected) << text;
    // And resumed at a random place.
    const std::size_t stop = random() % (text.size() + 1);
    Redactor first(set), second(set);
    out = first.feed(text.substr(0, stop));
    out += second.feed(text.substr(stop - first.held()));
    out += second.finish();
    ASSERT_EQ(out, expected) << text << " stopped at " << stop;
  }
}

TEST(Redactor, EndlessOverlapNeedsNoMemory) {
  Redactor redactor({"aaaaaaaa"});
  const std::string piece(1 << 20, 'a');
  std::string out;
  for (int i = 0; i < 64; ++i) {
    redactor.feed(piece, out);
    ASSERT_TRUE(out.empty());
  }
  EXPECT_EQ(redactor.held(), 64U << 20U);
  EXPECT_EQ(redactor.feed("b"), "[MASKED]b");
}

// Not a benchmark: it only catches a scan that became quadratic or a hundred times slower.
TEST(Redactor, IsFast) {
  std::vector<std::string> secrets;
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    std::string secret;
    while (secret.size() < 24) {
      secret += static_cast<char>(33 + random() % 90);
    }
    secrets.push_back(secret);
  }
  const SecretSet set(secrets);
  std::string text;
  while (text.size() < 32U << 20U) {
    text += "2024-05-01T10:00:00 INFO compiling module number " + std::to_string(random()) + " of the project\n";
  }
  Redactor redactor(set);
  std::string out;
  out.reserve(text.size());
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at < text.size(); at += 65536) {
    redactor.feed(std::string_view(text).substr(at, 65536), out);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  out += redactor.finish();
  EXPECT_EQ(out.size(), text.size());
  RecordProperty("mb_per_second", static_cast<int>(32 / seconds));
  std::printf("%.0f MB/s\n", 32 / seconds);
#if !defined(RUNNER_SANITIZED)
  EXPECT_GT(32 / seconds, 50);
#endif
}

}  // namespace
}  // namespace runner
