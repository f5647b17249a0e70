// Completion for the three common shells. The scripts know nothing of the commands: each asks this program while
// typing, so that none goes out of date.
#include <iostream>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

constexpr const char* kBash = R"(# bash completion for gantry: source <(gantry completion bash)
_gantry() {
  local words=() word='' joined='' current last i
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    # bash parts words at these signs: what was typed as one is one again.
    if [[ ${#words[@]} -gt 0 && (-n $joined || $word == [=:@]*) ]]; then
      words[${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    joined=''
    [[ $word == *[=:@] ]] && joined=yes
  done
  current=${words[${#words[@]}-1]}
  last=$word
  [[ $last == [=:@] ]] && last=''
  mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
  if [[ ${COMPREPLY[0]} == :files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$last")
    return
  fi
  COMPREPLY=("${COMPREPLY[@]%%$'\t'*}")
  # Only the part behind the last of those signs is replaced.
  COMPREPLY=("${COMPREPLY[@]#"${current%"$last"}"}")
}
complete -F _gantry gantry
)";

constexpr const char* kZsh = R"(#compdef gantry
# zsh completion for gantry: source <(gantry completion zsh), or as the file _gantry in a directory of fpath
_gantry() {
  local line
  local -a found
  for line in "${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ $line == :files ]] && { _files; return; }
    [[ -z $line ]] && continue
    if [[ $line == *$'\t'* ]]; then
      found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    else
      found+=("${line//:/\\:}")
    fi
  done
  _describe gantry found
}
if [[ ${funcstack[1]} == _gantry ]]; then
  _gantry "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
  compdef _gantry gantry
fi
)";

constexpr const char* kFish = R"(# fish completion for gantry: gantry completion fish | source
function __gantry_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found ($program __complete $words "$current" 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path "$current"
    else
        string join \n -- $found
    end
end
complete -c gantry -f -a '(__gantry_complete)'
)";

}  // namespace

void add_completion_command(const Commands& commands) {
  auto* command = commands.add(commands.app, "completion", "Print completion for a shell",
                               "gantry completion bash\nsource <(gantry completion bash)\n"
                               "source <(gantry completion zsh)\ngantry completion fish | source");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  commands.run(command, [shell] {
    std::cout << (*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish);
    return 0;
  });
}

}  // namespace gantry::app
