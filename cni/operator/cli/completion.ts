// A completion script for bash, made from the table of commands.

import type { Command, Completion } from './command.ts';
import { optionsOf } from './usage.ts';

/** The script, for `source`. It needs nothing but bash: no bash-completion. */
export function formatBashCompletion(commands: readonly Command[]): string {
  const families = new Map<string, string[]>();
  for (const { name } of commands) {
    const [first = '', second] = name.split(' ');
    families.set(first, [...(families.get(first) ?? []), ...(second === undefined ? [] : [second])]);
  }
  const subcommands = [...families].filter(([, words]) => words.length > 0);
  return `# bash completion for podlink: source <(podlink completion bash)
_podlink() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} at=1
  local options= words= kind= command
  COMPREPLY=()
  # What follows "help" is a command.
  if (( COMP_CWORD > 1 )) && [[ \${COMP_WORDS[1]} == help && $word != -* ]]; then at=2; fi
  command=\${COMP_WORDS[at]}
  if (( COMP_CWORD == at )); then
    COMPREPLY=($(compgen -W '${[...families.keys()].join(' ')}' -- "$word"))
    return
  fi
  case $command in
${subcommands.map(([first, words]) => `    ${first}) words='${words.join(' ')}' ;;`).join('\n')}
  esac
  if [[ -n $words ]]; then
    if (( COMP_CWORD == at + 1 )); then
      COMPREPLY=($(compgen -W "$words" -- "$word"))
      return
    fi
    command+=" \${COMP_WORDS[at+1]}"
    words=
  fi
  if (( at > 1 )); then return; fi
  case $command in
${commands.map(formatCase).join('\n')}
  esac
  case "$command $previous" in
${commands.flatMap(formatValueCases).join('\n')}
  esac
  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ $kind == file ]]; then COMPREPLY=($(compgen -f -- "$word"))
  elif [[ $kind == directory ]]; then COMPREPLY=($(compgen -d -- "$word"))
  elif [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$word"))
  fi
}
complete -o filenames -F _podlink podlink`;
}

function formatCase(command: Command): string {
  const options = optionsOf(command).map(({ name }) => `--${name}`);
  const last = command.arguments.at(-1);
  const completes = last?.completes;
  const set = completes === undefined ? '' : ` ${assignment(completes)}`;
  return `    '${command.name}') options='${options.join(' ')}'${set} ;;`;
}

/** After an option that takes a value, the value is completed and nothing else. */
function formatValueCases(command: Command): string[] {
  return command.options
    .filter(({ value }) => value !== undefined)
    .map(
      ({ name, completes }) =>
        `    '${command.name} --${name}') ${completes ? assignment(completes) : 'kind= words='} ;;`,
    );
}

function assignment(completes: Completion): string {
  return typeof completes === 'string' ? `kind=${completes}` : `kind= words='${completes.join(' ')}'`;
}
