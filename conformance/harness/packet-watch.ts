// Packets that arrive somewhere, counted by nft as a referee of its own.

import type { Namespace } from './namespace.ts';

let count = 0;

/** Count the packets that match from now on as they come to a namespace, before any other rule. Tells the number. */
export function watchArrivals(namespace: Namespace, match: string): () => number {
  const table = `watch${++count}`;
  const rules = `table inet ${table} { chain in { type filter hook prerouting priority -500; ${match} counter; }; }`;
  namespace.mustRun('nft', ['-f', '-'], { input: rules });
  return () => {
    const listed = namespace.mustRun('nft', ['list', 'table', 'inet', table]);
    const packets = /counter packets (\d+)/.exec(listed)?.[1];
    if (packets === undefined) throw new Error(`There is no counter in ${listed}`);
    return Number(packets);
  };
}
