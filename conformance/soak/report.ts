// What a soak has to say: with a failure also how to have it again, and what came before.

import type { SoakOutcome } from './soak-run.ts';

export function reportOf(outcome: SoakOutcome, seed: number): string {
  const { attachments, calls, kills, leaks, failures, history } = outcome;
  const answers = [...outcome.answers].sort().map(([answer, count]) => `${answer}: ${count}`);
  const isGood = leaks.length + failures.length === 0;
  const trouble = isGood
    ? []
    : [
        ...failures.map((failure) => `unexpected: ${failure}`),
        ...leaks.map((leak) => `left: ${leak}`),
        'the last calls:',
        ...history,
      ];
  return [
    ...trouble,
    `seed ${seed}; answers by code: ${answers.join(', ')}`,
    `attachments ${attachments}, calls ${calls}, kills ${kills}, leaks ${leaks.length}`,
  ].join('\n');
}
