// Child processes that run a piece of this program, for tests of what happens between processes.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Child {
  readonly process: ChildProcess;
  /** Wait for a line on its stdout that contains the text. Throws when it ends without. */
  line(text: string): Promise<void>;
  /** Wait for its end. */
  ended(): Promise<Ended>;
}

/** The arguments that make this Node run a TypeScript module from text. */
export function nodeArguments(source: string): string[] {
  return ['--no-warnings', '--input-type=module-typescript', '--eval', source];
}

/** Run a TypeScript module from text. It imports our modules by the URLs that `import.meta.resolve()` gives. */
export function startModule(source: string): Child {
  return start(process.execPath, nodeArguments(source));
}

/** Run a program. */
export function start(program: string, args: readonly string[]): Child {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const closed = once(child, 'close');
  return {
    process: child,
    async line(text) {
      while (
        !stdout
          .split('\n')
          .slice(0, -1)
          .some((line) => line.includes(text))
      ) {
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`Cannot find "${text}" in what the child printed: ${stdout}${stderr}`);
        }
        await Promise.race([once(child.stdout, 'data'), closed]);
      }
    },
    async ended() {
      await closed;
      return { code: child.exitCode, signal: child.signalCode, stdout, stderr };
    },
  };
}
