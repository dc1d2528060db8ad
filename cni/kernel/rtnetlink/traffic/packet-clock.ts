// The clock of packet scheduling: struct tc_tbf_qopt and struct tc_htb_opt tell a burst as the time it takes at the
// rate, in ticks of this clock.
//
// Source: psched_show() in net/sched/sch_api.c, which writes four numbers in hexadecimal: nanoseconds a microsecond,
// nanoseconds a tick, and two about other clocks (v6.12).

import { readFileSync } from 'node:fs';

const FILE = '/proc/net/psched';

/** The longest time that fits the 32 bits of the wire. */
export const MAX_TICKS = 0xffffffff;

/** Read how many nanoseconds a tick has: 64 since Linux 2.6.31. Throws RangeError when the file tells no such number. */
export function nanosecondsPerTick(read: () => string = () => readFileSync(FILE, 'latin1')): number {
  const [perMicrosecond = NaN, perTick = NaN] = read()
    .split(/\s+/)
    .map((word) => Number.parseInt(word, 16));
  const nanoseconds = (1000 * perTick) / perMicrosecond;
  if (!(nanoseconds > 0) || !Number.isFinite(nanoseconds)) throw new RangeError(`Cannot read the clock in ${FILE}`);
  return nanoseconds;
}

/** Tell a burst in ticks: how long it takes at the rate, but never more than MAX_TICKS. */
export function burstTicks(burstBytes: number, bytesPerSecond: number, tickNs: number): number {
  return Math.min(Math.floor((burstBytes * 1e9) / bytesPerSecond / tickNs), MAX_TICKS);
}
