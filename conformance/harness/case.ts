// A conformance case: a title, what the reference plugins do in it, and a body that gets a fresh host.

import { inspect } from 'node:util';
import { suite } from 'uvu';
import { skip } from '../suite/skip.ts';
import { Host } from './host.ts';
import { AGAINST_REFERENCE } from './plugin.ts';

/**
 * What the reference plugins do in the case.
 *
 * `differs` explains why ours is right; run against the reference the case must then fail with a text that `seen`
 * matches, else the explanation is untrue. `absent` names what the reference does not have at all.
 */
export type Reference = 'same' | { readonly differs: string; readonly seen: RegExp } | { readonly absent: string };

export type Body = (host: Host) => void | Promise<void>;

export interface Cases {
  test(title: string, reference: Reference, body: Body): void;
  run(): void;
}

/** Open a group of cases, one for each file. With `shared`, all of them get one and the same host. */
export function cases(name: string, options: { shared?: boolean } = {}): Cases {
  const group = suite(name);
  let shared: Host | undefined;
  if (options.shared) group.after(() => shared?.remove());
  const withHost = async (body: Body): Promise<void> => {
    if (options.shared) {
      shared ??= new Host();
      await body(shared);
      return;
    }
    const host = new Host();
    try {
      await body(host);
    } finally {
      host.remove();
    }
  };
  return {
    test(title, reference, body) {
      group(title, async () => {
        if (!AGAINST_REFERENCE || reference === 'same') await withHost(body);
        else if ('absent' in reference) skip(title, `the reference has no such thing: ${reference.absent}`);
        else await mustDiffer(reference.seen, () => withHost(body));
      });
    },
    run: () => group.run(),
  };
}

async function mustDiffer(seen: RegExp, body: () => Promise<void>): Promise<void> {
  let failure: unknown;
  try {
    await body();
  } catch (error) {
    failure = error;
  }
  if (failure === undefined) throw new Error('The reference passes, though the case says that it differs');
  const text = textOf(failure);
  if (!seen.test(text)) throw new Error(`The reference fails in another way than ${seen}: ${text}`, { cause: failure });
}

/** All that an assertion says: uvu keeps what it compared beside the message. */
function textOf(failure: unknown): string {
  const { message, actual, expects } = failure as { message?: string; actual?: unknown; expects?: unknown };
  return [message ?? String(failure), inspect(actual, { depth: 6 }), inspect(expects, { depth: 6 })].join('\n');
}
