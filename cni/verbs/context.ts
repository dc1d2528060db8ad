// The part of the process and the node that a verb needs, opened when it is first used.

import { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { NETLINK_ROUTE, openTransport } from '../kernel/netlink/transport.ts';
import { type NftablesConnection, openNftables } from '../kernel/nftables/connection.ts';
import type { Host } from '../attachment/attachment.ts';
import { FEATURES } from '../features/feature-registry.ts';
import type { Feature } from '../features/feature.ts';
import { findMode } from '../modes/mode-registry.ts';
import type { Mode } from '../modes/mode.ts';
import type { Environment } from '../protocol/request.ts';
import { Stopwatch } from './log/stopwatch.ts';

const DEFAULT_RUN_DIR = '/run/podlink';

/** The modes and features that verbs join. */
export interface Parts {
  findMode(name: string): Mode | undefined;
  readonly features: readonly Feature[];
}

/** Those that there are. */
const PARTS: Parts = { findMode, features: FEATURES };

export class Context implements Host {
  readonly env: Environment;
  /** Records and locks; PODLINK_RUN_DIR moves it. */
  readonly runDir: string;
  readonly warn: (message: string) => void;
  readonly parts: Parts;
  readonly #stopwatch: Stopwatch;
  #route: NetlinkConnection | undefined;
  #nft: NftablesConnection | undefined;

  /** `parts`: others than there are, for tests. */
  constructor(env: Environment, warn: (message: string) => void, stopwatch = new Stopwatch(), parts = PARTS) {
    this.env = env;
    this.parts = parts;
    // Without a slash at its end, behind which a symbolic link would be followed.
    this.runDir = env.PODLINK_RUN_DIR?.replace(/(?<=.)\/+$/, '') || DEFAULT_RUN_DIR;
    this.warn = warn;
    this.#stopwatch = stopwatch;
  }

  get route(): NetlinkConnection {
    this.#route ??= new NetlinkConnection(openTransport(NETLINK_ROUTE));
    return this.#route;
  }

  mark(phase: string): void {
    this.#stopwatch.mark(phase);
  }

  /**
   * nftables of the host. It stays open to the end of the call: closing it waits until the kernel has freed what was
   * deleted over it, some 10 ms, which are over by then if links are deleted in between.
   */
  get nft(): NftablesConnection {
    this.#nft ??= openNftables();
    return this.#nft;
  }

  /** Have nftables opened anew when it is next used: one whose answers got lost answers nothing more. */
  renewNft(): void {
    this.#nft?.close();
    this.#nft = undefined;
  }

  close(): void {
    this.#route?.close();
    this.#route = undefined;
    this.renewNft();
  }
}
