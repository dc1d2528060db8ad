// A server that goes on listening while many clients ask, all at the same time: for cases with tables of them.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './namespace.ts';

const END = fileURLToPath(new URL('./standing-server-end.ts', import.meta.url));
const SERVER_PORT = 7777;
const ANSWER_TIMEOUT_MS = 5000;

export interface Question {
  readonly from: Namespace;
  readonly address: string;
  /** Where the server listens when absent. */
  readonly port?: number;
  /** tcp when absent. */
  readonly protocol?: 'tcp' | 'udp';
  /** 5 s when absent. */
  readonly timeoutMs?: number;
}

export interface Answer {
  /** The client's address as the server saw it; empty when there was no answer. */
  readonly seenFrom: string;
  /** Why there was no answer. */
  readonly reason: string;
}

/** Listen on both protocols of each address as long as `work` runs. Throws Error when that cannot be. */
export async function whileServing<Value>(
  namespace: Namespace,
  addresses: readonly string[],
  work: () => Promise<Value> | Value,
): Promise<Value> {
  const args = [...namespace.enterArgs(), process.execPath, END, 'serve', String(SERVER_PORT), ...addresses];
  const server = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(server, 'exit');
  try {
    await Promise.race([once(server.stdout, 'data'), exited]);
    if (server.exitCode !== null) throw new Error(`Cannot listen on ${addresses.join(', ')} in ${namespace.name}`);
    return await work();
  } finally {
    server.kill('SIGKILL');
    await exited;
  }
}

/** Ask all the questions. The answers are in their order. */
export function askAll(questions: readonly Question[]): Answer[] {
  const answers: Answer[] = [];
  const indexes = Map.groupBy(questions.keys(), (i) => questions[i]?.from);
  for (const [from, own] of indexes) {
    const list = own.map((i) => {
      const { from: _, ...question } = questions[i] as Question;
      return { port: SERVER_PORT, protocol: 'tcp', timeoutMs: ANSWER_TIMEOUT_MS, ...question };
    });
    const replies = JSON.parse(from?.mustRun(process.execPath, [END, 'ask', JSON.stringify(list)]) ?? '[]') as Answer[];
    own.forEach((i, at) => {
      answers[i] = replies[at] as Answer;
    });
  }
  return answers;
}
