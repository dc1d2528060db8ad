// Cases that share one machine with a real runtime on it. After each that passes, everything a pod consists of must be
// gone; after one that fails it is taken away by force, so that the next can be judged.

import { suite } from 'uvu';
import { mustBeEmpty } from '../harness/verdict.ts';
import { AGAINST_REFERENCE } from '../harness/plugin.ts';
import { skip } from '../suite/skip.ts';

/** A machine with a runtime. */
export interface RuntimeMachine {
  /** What pods have left, one line each. */
  findLeftovers(): string[];
  /** Take all pods away, whatever state they are in. */
  reset(): Promise<void>;
  /** Stop the runtime and remove everything. */
  remove(): Promise<void>;
}

export interface RuntimeCases<Machine> {
  test(title: string, body: (machine: Machine) => Promise<void>): void;
  run(): void;
}

/**
 * Open a group of cases. `start` runs before the first of them; when the runtime cannot run, each of them fails with
 * the reason.
 */
export function runtimeCases<Machine extends RuntimeMachine>(
  name: string,
  start: () => Promise<Machine>,
): RuntimeCases<Machine> {
  const group = suite(name);
  let started: Promise<Machine> | undefined;
  group.after(async () => {
    const machine = await started?.catch(() => undefined); // each case has reported why
    await machine?.remove();
  });
  return {
    test(title, body) {
      group(title, async () => {
        if (AGAINST_REFERENCE) {
          skip(title, 'the reference plugins have no modes');
          return;
        }
        started ??= start();
        const machine = await started;
        try {
          await body(machine);
          mustBeEmpty(machine.findLeftovers(), 'Left behind');
        } catch (error) {
          await machine.reset();
          throw error;
        }
      });
    },
    run: () => group.run(),
  };
}

/** What a call that must fail says. Throws Error when it succeeds. */
export async function failureOf(call: Promise<unknown>): Promise<string> {
  const failure = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure === undefined) throw new Error('The call succeeds, and must fail');
  return failure instanceof Error ? failure.message : String(failure);
}
