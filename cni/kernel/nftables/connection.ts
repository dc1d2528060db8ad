// The way to nf_tables: changes in batches, questions one by one.

import { EAGAIN, EBADMSG, EMSGSIZE, ENOBUFS, ErrnoError, ETIMEDOUT } from '../errno.ts';
import { NetlinkConnection, type Operation, understand } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/error.ts';
import { decodeAcknowledgement, decodeMessages, type Message, NLMSG_ERROR } from '../netlink/message.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { NETLINK_NETFILTER, openTransport, type Transport } from '../netlink/transport.ts';
import { inNetns, type Netns } from '../netns.ts';
import { type Batch, encodeBatch } from './batch.ts';
import { ERESTART, NFT_MSG_GETGEN, NFTA_GEN_ID } from './constants.ts';
import { attributesOf, nftType, writeHeader } from './message.ts';

/**
 * Batches count from here and questions from 1, on the same socket: an answer that was left unread by the one is
 * nothing to the other.
 */
const FIRST_BATCH_SEQUENCE = 0x8000_0000;

const AF_UNSPEC = 0;

/** Open nf_tables in the given namespace, or in the calling thread's own. Close it after use. */
export function openNftables(netns?: Netns): NftablesConnection {
  const transport = netns ? inNetns(netns, () => openTransport(NETLINK_NETFILTER)) : openTransport(NETLINK_NETFILTER);
  return new NftablesConnection(transport);
}

export class NftablesConnection {
  readonly #transport: Transport;
  readonly #questions: NetlinkConnection;
  #sequence = FIRST_BATCH_SEQUENCE;
  #hasLostAnswers = false;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.#questions = new NetlinkConnection(transport);
  }

  /**
   * Carry out operations, all or none. None given, nothing is sent.
   *
   * Throws NetlinkError that names the first operation which the kernel refused; ERESTART when `generation` is given
   * and no longer that of the ruleset (isOutdated()); EMSGSIZE for a batch larger than the socket's send buffer (about
   * 1,500 elements with the 208 KiB of net.core.wmem_default).
   *
   * When a batch fails so often that the errors do not fit the receive buffer (some 250 times), the kernel sends
   * nothing more to the socket until all of them are read, and there is no telling when they are. The connection then
   * has to be opened anew: everything asked of it afterwards fails with ENOBUFS.
   */
  commit(operations: readonly Operation[], generation?: number): void {
    const [first] = operations;
    if (!first) return;
    this.#assertUsable(first);
    const batch = encodeBatch(operations, this.#sequence, generation);
    this.#sequence = batch.lastSequence + 1;
    const action = `commit a batch of ${operations.length} operations (first: ${first.operation})`;
    try {
      this.#transport.send(batch.datagram);
    } catch (error) {
      if (!(error instanceof ErrnoError) || error.errno !== EMSGSIZE) throw error;
      const text = `its ${batch.datagram.length} bytes are more than the socket's send buffer holds`;
      throw new NetlinkError(action, { errno: EMSGSIZE, text });
    }
    const failure = this.#readFailure(batch, operations, action);
    if (failure) throw failure;
  }

  /** Ask for one object. Throws NetlinkError, ENOENT when it is not there. */
  execute(operation: Operation): Message[] {
    this.#assertUsable(operation);
    return this.#questions.execute(operation);
  }

  /** Ask for all objects of a kind. */
  dump(operation: Operation): Message[] {
    this.#assertUsable(operation);
    return this.#questions.dump(operation);
  }

  /** The number of the ruleset's current state: every batch that anyone commits makes it another. */
  getGeneration(): number {
    const operation = 'get the generation of the ruleset';
    const payload = writeHeader(AF_UNSPEC).finish();
    const [message] = this.execute({ operation, type: nftType(NFT_MSG_GETGEN), flags: 0, payload });
    const generation = message && understand({ operation }, () => attributesOf(message).be32(NFTA_GEN_ID));
    if (generation === undefined) throw new NetlinkError(operation, { errno: EBADMSG });
    return generation;
  }

  close(): void {
    this.#transport.close();
  }

  #assertUsable({ operation }: Operation): void {
    if (!this.#hasLostAnswers) return;
    throw new NetlinkError(operation, { errno: ENOBUFS, text: 'the connection is full of errors of an earlier batch' });
  }

  /**
   * Read the answers to a batch, see batch.ts, up to the one for the last operation. An error for the begin message
   * ends the reading at once: another answer may follow it or not, and if so is passed over by whoever reads next.
   */
  #readFailure(batch: Batch, operations: readonly Operation[], action: string): NetlinkError | undefined {
    let failure: NetlinkError | undefined;
    for (;;) {
      const messages = this.#receive(action);
      if (messages === undefined) {
        // The receive buffer is full of errors. They are kept in order, so the first is still there, the last is not.
        this.#hasLostAnswers = true;
        continue;
      }
      for (const message of messages) {
        const i = message.sequence - batch.firstSequence - 1;
        if (message.type !== NLMSG_ERROR || i < -1 || i >= operations.length) continue;
        const operation = operations[i]?.operation ?? action;
        const acknowledgement = understand({ operation }, () => decodeAcknowledgement(message));
        if (acknowledgement.errno !== 0) failure ??= new NetlinkError(operation, acknowledgement);
        if (i === -1 || i === operations.length - 1 || (this.#hasLostAnswers && failure)) return failure;
      }
    }
  }

  /** One datagram's messages; undefined when the kernel says that it had to drop some. */
  #receive(action: string): Message[] | undefined {
    try {
      return decodeMessages(this.#transport.receive());
    } catch (error) {
      if (error instanceof MalformedMessageError) {
        throw new NetlinkError(action, { errno: EBADMSG, text: error.message });
      }
      if (!(error instanceof ErrnoError)) throw error;
      if (error.errno === ENOBUFS) return undefined;
      if (error.errno !== EAGAIN) throw error;
      throw new NetlinkError(action, { errno: ETIMEDOUT, text: 'the kernel did not answer' });
    }
  }
}

/** Whether a batch was refused because the ruleset is no longer of the generation it was made for. */
export function isOutdated(error: unknown): boolean {
  return error instanceof NetlinkError && error.errno === ERESTART;
}
