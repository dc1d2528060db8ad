// From a rate and a burst in bits to what the kernel's queues are told, in bytes.
//
// A burst passes at once when nothing has been sent for a while; it then takes the time burst/rate to earn it again.
//
// - Of more than a second of the rate it defeats the limit: the container has that much more than the limit for as long
//   as it lasts, and when the queue is full, packets wait in it for that long. Nobody asks for one: the kubelet and
//   CRI-O pass 2^31-1 or 4 GB because there is no annotation for it (https://github.com/kubernetes/kubernetes/issues/90838).
//   So it is treated as if there were none: a tenth of a second of the rate.
// - Below one packet of full size the queue would let no such packet pass, ever. (Those that are larger, because the
//   network card or the other end will cut them, tbf cuts itself.)
// - Below four milliseconds of the rate, a tick of most kernels, the limit is missed from below on a busy machine: at
//   80 Mbit/s TCP got 57 to 75 of the 76.5 Mbit/s there are with a burst of 1 ms, 73 to 76 with 2 ms, and 76.3 to 76.6
//   with 4 to 10 ms (kernel 6.18, two cores).

import type { BandwidthLimit } from './bandwidth-config.ts';

/** Frame bytes beside the MTU: Ethernet's header with a VLAN tag (include/uapi/linux/if_ether.h, if_vlan.h). */
const FRAME_OVERHEAD_BYTES = 18;

const MIN_BURST_SECONDS = 0.004;
const DEFAULT_BURST_SECONDS = 0.1;
const MAX_BURST_SECONDS = 1;

/** How long a packet may wait beyond what a burst makes up for: the reference's, so that its users see what they know. */
const LATENCY_SECONDS = 0.025;

/** Bursts and limits have 32 bits on the wire. */
const MAX_BYTES = 0xffffffff;

export interface BandwidthShape {
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
  /** Bytes that may wait; what comes beyond is dropped. */
  readonly limitBytes: number;
}

/** Tell the kernel's numbers for a limit on a link with this MTU, and say to `warn` if the burst is not the given one. */
export function shapeOf(limit: BandwidthLimit, mtu: number, warn: (message: string) => void): BandwidthShape {
  const bytesPerSecond = Math.floor(limit.bitsPerSecond / 8);
  const burstBytes = chooseBurst(limit, bytesPerSecond, mtu, warn);
  const limitBytes = Math.min(Math.ceil(bytesPerSecond * LATENCY_SECONDS) + burstBytes, MAX_BYTES);
  return { bytesPerSecond, burstBytes, limitBytes };
}

function chooseBurst(
  { burstBits, burstPath }: BandwidthLimit,
  bytesPerSecond: number,
  mtu: number,
  warn: (message: string) => void,
): number {
  const seconds = (count: number): number => Math.ceil(bytesPerSecond * count);
  const least = Math.max(mtu + FRAME_OVERHEAD_BYTES, seconds(MIN_BURST_SECONDS));
  const most = Math.max(least, seconds(MAX_BURST_SECONDS));
  const usual = Math.max(least, seconds(DEFAULT_BURST_SECONDS));
  if (burstBits === undefined) return Math.min(usual, MAX_BYTES);
  const given = Math.floor(burstBits / 8);
  const chosen = Math.min(given > most ? usual : Math.max(given, least), MAX_BYTES);
  if (chosen !== given) {
    const fault = given > chosen ? 'so much that the limit would not hold' : 'too little for the limit to be reached';
    warn(`"${burstPath}" of ${burstBits} bits is ${fault}: ${chosen * 8} bits are used instead`);
  }
  return chosen;
}
