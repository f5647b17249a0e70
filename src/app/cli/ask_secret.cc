#include "app/cli/ask_secret.h"

#include <termios.h>
#include <unistd.h>

#include <iostream>

namespace gantry::app {

std::string ask_secret(const std::string& question) {
  std::cerr << question << ": ";
  termios before{};
  const bool terminal = ::tcgetattr(0, &before) == 0;
  if (terminal) {
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(0, TCSANOW, &quiet);
  }
  std::string line;
  std::getline(std::cin, line);
  if (terminal) {
    ::tcsetattr(0, TCSANOW, &before);
    std::cerr << "\n";
  }
  return line;
}

Result<std::string> ask_new_password(const std::string& question) {
  std::string password = ask_secret(question);
  if (::isatty(0) == 0 || ask_secret(question + " again") == password) return password;
  return fail(ErrorCode::invalid_argument, "the password was not set", "the two that you typed differ", "try again");
}

}  // namespace gantry::app
