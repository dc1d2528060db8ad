// The entries of one list of port mappings against each other. Runtimes and Compose files name a port more than once: for
// all addresses and for one of them, or for 0.0.0.0 and for "::". Those that say the same are one claim, those that
// contradict each other are refused. The work grows with the number of entries, of which a range of ports has thousands.

import { FieldError } from '../../protocol/fields.ts';
import { describePorts, type PortClaim, type SinglePortClaim } from './portmap-claim.ts';

/** The addresses that a port of the host, of one family and protocol, is claimed for: all, or single ones. */
interface ClaimsOfPort {
  forAll: SinglePortClaim | undefined;
  byAddress: Map<string, SinglePortClaim> | undefined;
}

/**
 * Make one claim of those that lead the same port to the same port of the container; what is claimed for all addresses is
 * not claimed for one of them again. Throws FieldError, which names both, for two that lead to different ports.
 */
export function mergeClaims(claims: readonly SinglePortClaim[]): SinglePortClaim[] {
  const ports = new Map<number, ClaimsOfPort>();
  for (const claim of claims) {
    const key = (claim.family * 256 + claim.protocol) * 65_536 + claim.firstPort;
    const found = ports.get(key);
    if (found) addTo(found, claim);
    else ports.set(key, addTo({ forAll: undefined, byAddress: undefined }, claim));
  }
  const merged: SinglePortClaim[] = [];
  for (const { forAll, byAddress } of ports.values()) {
    if (forAll) merged.push(forAll);
    else if (byAddress) merged.push(...byAddress.values());
  }
  return merged;
}

function addTo(port: ClaimsOfPort, claim: SinglePortClaim): ClaimsOfPort {
  const { hostIp } = claim;
  const { forAll, byAddress } = port;
  if (forAll) {
    port.forAll = merge(forAll, claim);
  } else if (hostIp === undefined) {
    port.forAll = claim;
    for (const earlier of byAddress?.values() ?? []) {
      port.forAll = { ...claim, isForBoth: merge(earlier, claim).isForBoth && port.forAll.isForBoth };
    }
    port.byAddress = undefined;
  } else {
    port.byAddress ??= new Map();
    const earlier = port.byAddress.get(hostIp);
    port.byAddress.set(hostIp, earlier ? merge(earlier, claim) : claim);
  }
  return port;
}

function merge(earlier: SinglePortClaim, claim: SinglePortClaim): SinglePortClaim {
  if (earlier.containerPort === claim.containerPort) {
    return { ...earlier, isForBoth: earlier.isForBoth && claim.isForBoth };
  }
  throw new FieldError(
    claim.path,
    `host port ${describePorts(claim)} cannot lead to port ${claim.containerPort}: "${earlier.path}" leads ${describePorts(earlier)} to port ${earlier.containerPort}`,
  );
}

/**
 * How many ranges a list may have before short ones, of fewer ports than these, are left as single ports: to find one of N
 * ranges is cheap, but to add or delete one takes the kernel longer the more there are (DEL of 44,000: 24 s).
 */
const MAX_RANGES = 256;
const SHORT_RANGE = 16;

/** Make one claim of ports that follow each other and keep their number. */
export function joinPorts(claims: readonly SinglePortClaim[]): PortClaim[] {
  const runs: [SinglePortClaim, ...SinglePortClaim[]][] = [];
  for (const claim of claims.toSorted(compareClaims)) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run && last && isContinuedBy(last, claim)) run.push(claim);
    else runs.push([claim]);
  }
  const hasMany = runs.filter(({ length }) => length > 1).length > MAX_RANGES;
  return runs.flatMap((run): PortClaim[] => {
    const [first] = run;
    if (run.length === 1 || (hasMany && run.length < SHORT_RANGE)) return run;
    return [{ ...first, lastPort: first.firstPort + run.length - 1, containerPort: undefined }];
  });
}

/** Any order will do that keeps the ports of one address together. Not localeCompare(): its first use takes ICU 13 ms. */
function compareClaims(a: PortClaim, b: PortClaim): number {
  const [hostA = '', hostB = ''] = [a.hostIp, b.hostIp];
  return (
    a.family - b.family ||
    a.protocol - b.protocol ||
    Number(hostA > hostB) - Number(hostA < hostB) ||
    a.firstPort - b.firstPort
  );
}

function isContinuedBy(claim: SinglePortClaim, next: SinglePortClaim): boolean {
  return (
    claim.containerPort === claim.firstPort &&
    next.containerPort === next.firstPort &&
    next.firstPort === claim.lastPort + 1 &&
    next.family === claim.family &&
    next.protocol === claim.protocol &&
    next.hostIp === claim.hostIp &&
    next.isForBoth === claim.isForBoth
  );
}
