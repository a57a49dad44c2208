// Text on a screen: what of a job's bytes may reach a terminal, how wide it is there, and the terminal itself.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace runner {

// Length in bytes of the valid UTF-8 sequence that `text` begins with; 0: it begins with none. Not for empty text.
std::size_t utf8_sequence(std::string_view text, char32_t* code = nullptr);

// Appends `text` as it may be shown: colours (SGR) stay if `colour`, every other escape sequence and control byte is
// left out, invalid UTF-8 becomes U+FFFD. `carry` holds the colours still on at the end: a job's next line begins with
// them. When colour is left on, the line ends with a reset.
void append_screen(std::string& out, std::string_view text, bool colour, std::string& carry);
std::string on_screen(std::string_view text);  // without colours

// Both skip escape sequences. cut() gives at most `columns` columns, ending in … when something was left out.
std::size_t display_width(std::string_view text);
std::string cut(std::string_view text, std::size_t columns);

// SGR codes around a text, or the text alone.
std::string paint(std::string_view text, std::string_view sgr, bool colour);

struct TerminalSize {
  std::size_t columns = 80, rows = 24;
};
TerminalSize terminal_size(int fd);

// Hides the cursor of the terminal at `fd` from construction to destruction, and until the program ends by exit()
// (see restore_terminal in console.h). One at a time.
class HiddenCursor {
 public:
  explicit HiddenCursor(int fd);
  ~HiddenCursor();
  HiddenCursor(const HiddenCursor&) = delete;
  HiddenCursor& operator=(const HiddenCursor&) = delete;
};

// Has the terminal at `fd` hand over every key as it is pressed, Ctrl-C too, from construction to destruction, and
// until the program ends by exit() (see restore_terminal in console.h). One at a time.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
};

}  // namespace runner
