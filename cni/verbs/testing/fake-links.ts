// The links of a node in memory, behind rtnetlink's messages: as much of them as removing an attachment needs.

import { ENODEV } from '../../kernel/errno.ts';
import { AF_BRIDGE } from '../../kernel/netlink/address-bytes.ts';
import { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { acknowledge, done, type FakeReply, FakeTransport } from '../../kernel/netlink/fake-transport.ts';
import { type Message, NLM_F_DUMP } from '../../kernel/netlink/message.ts';
import { Attributes, ByteReader } from '../../kernel/netlink/reader.ts';
import { MessageWriter } from '../../kernel/netlink/writer.ts';
import {
  encodeLink,
  IFLA_GROUP,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
} from '../../kernel/rtnetlink/link/link.ts';

export interface FakeLink {
  readonly name: string;
  readonly kind: string;
  readonly alias?: string;
  /** Of the bridge that it is a port of. */
  readonly masterIndex?: number;
}

/** A change that somebody asks for. Links that go in one request go in one change. */
export type LinkChange = 'port off' | 'links gone';

export class FakeLinks {
  /** Called before a change is made. */
  before: (change: LinkChange) => void = () => undefined;
  /** The errno that a change is refused with. */
  readonly refusals = new Map<LinkChange, number>();
  readonly route = new NetlinkConnection(new FakeTransport((request) => this.#answer(request)));
  readonly #links = new Map<number, FakeLink>();
  readonly #groups = new Map<number, number>();
  #lastIndex = 0;

  add(link: FakeLink): void {
    this.#links.set(++this.#lastIndex, link);
  }

  /** Take a link away without a request. `alias`: only where it has that one. */
  lose(name: string, alias?: string): void {
    const index = this.#find(0, name);
    if (index === undefined) return;
    if (alias === undefined || this.#links.get(index)?.alias === alias) this.#links.delete(index);
  }

  get names(): string[] {
    return Array.from(this.#links.values(), ({ name }) => name).sort();
  }

  #answer(request: Message): FakeReply[] {
    const { type, flags, payload } = request;
    if (type === RTM_GETLINK && (flags & NLM_F_DUMP) === NLM_F_DUMP) {
      return [...Array.from(this.#links, ([index, link]) => describe(index, link)), done()];
    }
    const attributes = new Attributes(payload.subarray(16));
    if (type === RTM_DELLINK && attributes.has(IFLA_GROUP)) {
      const group = attributes.u32(IFLA_GROUP);
      return this.#change('links gone', () => {
        for (const [index, of] of this.#groups) if (of === group) this.#links.delete(index);
      });
    }
    const index = this.#find(new ByteReader(payload).skip(4).s32(), attributes.string(IFLA_IFNAME));
    const link = index === undefined ? undefined : this.#links.get(index);
    if (index === undefined || !link) return [acknowledge(ENODEV)];
    if (type === RTM_GETLINK) return [describe(index, link)];
    if (type === RTM_DELLINK) return this.#change('links gone', () => this.#links.delete(index));
    if (type !== RTM_SETLINK) throw new Error(`Cannot answer a request of type ${type}`);
    if (payload[0] === AF_BRIDGE) return this.#change('port off', () => undefined);
    this.#groups.set(index, attributes.u32(IFLA_GROUP) ?? 0);
    return [acknowledge()];
  }

  #find(index: number, name: string | undefined): number | undefined {
    if (name === undefined) return index;
    return [...this.#links].find(([, link]) => link.name === name)?.[0];
  }

  #change(change: LinkChange, make: () => void): FakeReply[] {
    this.before(change);
    const errno = this.refusals.get(change) ?? 0;
    if (errno === 0) make();
    return [acknowledge(errno)];
  }
}

function describe(index: number, { name, kind, alias, masterIndex }: FakeLink): FakeReply {
  const writer = encodeLink(new MessageWriter(), index, {
    name,
    ...(alias !== undefined && { alias }),
    ...(masterIndex !== undefined && { masterIndex }),
  });
  writer.nested(IFLA_LINKINFO, (info) => info.attributeString(IFLA_INFO_KIND, kind));
  return { type: RTM_NEWLINK, payload: writer.finish() };
}
