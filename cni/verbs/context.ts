// What a verb needs of the process and the node, opened when it is first used.

import { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { NETLINK_ROUTE, openTransport } from '../kernel/netlink/transport.ts';
import { type NftablesConnection, openNftables } from '../kernel/nftables/connection.ts';
import type { Host } from '../attachment/attachment.ts';
import type { Environment } from '../protocol/request.ts';
import { Stopwatch } from './log/stopwatch.ts';

const DEFAULT_RUN_DIR = '/run/podlink';

export class Context implements Host {
  readonly env: Environment;
  /** Records and locks; PODLINK_RUN_DIR moves it. */
  readonly runDir: string;
  readonly warn: (message: string) => void;
  readonly #stopwatch: Stopwatch;
  #route: NetlinkConnection | undefined;
  #nft: NftablesConnection | undefined;

  constructor(env: Environment, warn: (message: string) => void, stopwatch = new Stopwatch()) {
    this.env = env;
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
