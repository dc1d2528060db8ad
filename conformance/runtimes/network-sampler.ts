// Watches the network namespace it is started in, at a fixed interval:
// links that run, their addresses, IPv4 and IPv6 routes, the local table. network-watch.ts starts it.
//
//   network-sampler.ts INTERVAL_MS     prints "ready", samples until standard input ends, then prints one JSON document:
//                                  { samples, longestGapMs, changes: ["- line", "+ line", ...] }

import { readFileSync } from 'node:fs';
import { constants, networkInterfaces, setPriority } from 'node:os';

const intervalMs = Number(process.argv[2]);
const changes: string[] = [];
let samples = 0;
let longestGapMs = 0;
let last = performance.now();
let state = look();

function look(): Set<string> {
  const lines = Object.entries(networkInterfaces()).flatMap(([link, entries]) =>
    (entries ?? []).map((entry) => `address ${link} ${entry.cidr} ${entry.mac}`),
  );
  for (const [file, counters] of [
    ['route', [4, 5]],
    ['ipv6_route', [6, 7]],
    ['fib_trie', []],
    ['if_inet6', []],
  ] as const) {
    for (const line of readFileSync(`/proc/self/net/${file}`, 'utf8').split('\n')) {
      const columns = line.trim().split(/\s+/);
      lines.push(`${file} ${columns.filter((_, i) => !counters.some((counter) => counter === i)).join(' ')}`);
    }
  }
  return new Set(lines);
}

function sample(): void {
  const now = look();
  const time = performance.now();
  samples += 1;
  longestGapMs = Math.max(longestGapMs, time - last);
  last = time;
  for (const line of state) if (!now.has(line)) changes.push(`- ${line}`);
  for (const line of now) if (!state.has(line)) changes.push(`+ ${line}`);
  state = now;
}

// Containers that are being started must not keep it from looking.
setPriority(constants.priority.PRIORITY_HIGHEST);
setInterval(sample, intervalMs);
process.stdin.resume().on('end', () => {
  sample();
  process.stdout.write(JSON.stringify({ samples, longestGapMs, changes }), () => process.exit(0));
});
process.stdout.write('ready\n');
