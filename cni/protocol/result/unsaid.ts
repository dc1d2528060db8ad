// Which parts of a result its version has no place for. CHECK must not miss them in a prevResult (result-shapes.ts has
// all shapes).

import { compareVersions, type SupportedVersion } from '../version.ts';

export interface Unsaid {
  /** Up to 0.2.0: the interfaces, which of them an address is on, and all addresses of a family but one. */
  readonly interfaces: boolean;
  /** Up to 1.0.0: all of a route but destination and gateway. */
  readonly routeAttributes: boolean;
}

export function unsaidIn(version: SupportedVersion): Unsaid {
  return {
    interfaces: compareVersions(version, '0.3.0') < 0,
    routeAttributes: compareVersions(version, '1.1.0') < 0,
  };
}
