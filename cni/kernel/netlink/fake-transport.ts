// A scripted stand-in for the kernel, for the tests of everything above netlink.

import { decodeMessages, type Message, NLMSG_DONE, NLMSG_ERROR } from './message.ts';
import type { Transport } from './transport.ts';
import { MessageWriter } from './writer.ts';

/** Answers one request with messages; `sequence` and `portId` of what it returns are filled in from the request. */
export type Responder = (request: Message) => readonly FakeReply[];

export interface FakeReply {
  readonly type: number;
  readonly flags?: number;
  readonly payload?: Uint8Array;
  /** Answer to another request than this one. */
  readonly sequence?: number;
}

/** An NLMSG_ERROR reply: errno 0 acknowledges. `attributes` follow the request's header, with NLM_F_ACK_TLVS in `flags`. */
export function acknowledge(errno = 0, attributes: Uint8Array = new Uint8Array(), flags = 0x300): FakeReply {
  const payload = new MessageWriter().s32(-errno).bytes(new Uint8Array(16)).bytes(attributes).finish();
  return { type: NLMSG_ERROR, flags, payload };
}

/** The NLMSG_DONE that ends a dump. */
export function done(errno = 0, flags = 0): FakeReply {
  return { type: NLMSG_DONE, flags, payload: new MessageWriter().s32(-errno).finish() };
}

/** A transport that remembers every request and lets `respond` answer each; replies arrive one datagram each. */
export class FakeTransport implements Transport {
  readonly requests: Message[] = [];
  readonly #respond: Responder;
  readonly #datagrams: Uint8Array[] = [];
  isClosed = false;

  constructor(respond: Responder = () => [acknowledge()]) {
    this.#respond = respond;
  }

  send(datagram: Uint8Array): void {
    for (const request of decodeMessages(datagram.slice())) {
      this.requests.push(request);
      for (const reply of this.#respond(request)) this.#datagrams.push(encodeReply(reply, request.sequence));
    }
  }

  receive(): Uint8Array {
    const datagram = this.#datagrams.shift();
    if (!datagram) throw new Error('Cannot receive: the test scripted no further reply');
    return datagram;
  }

  close(): void {
    this.isClosed = true;
  }
}

function encodeReply(reply: FakeReply, sequence: number): Uint8Array {
  const payload = reply.payload ?? new Uint8Array();
  return new MessageWriter()
    .u32(16 + payload.length)
    .u16(reply.type)
    .u16(reply.flags ?? 0)
    .u32(reply.sequence ?? sequence)
    .u32(0)
    .bytes(payload)
    .pad()
    .finish();
}
