// Requests and their answers over a transport: one request and its acknowledgement, several in one datagram, dumps.

import { monotonicMs } from '../clock.ts';
import { EAGAIN, EBADMSG, EBUSY, EINTR, ErrnoError, ETIMEDOUT } from '../errno.ts';
import { NetlinkError } from './error.ts';
import {
  decodeAcknowledgement,
  decodeDone,
  decodeMessages,
  encodeRequest,
  type Message,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  type Request,
} from './message.ts';
import { MalformedMessageError } from './reader.ts';
import type { Transport } from './transport.ts';

/** A request and the words that an error about it begins with, e.g. `add link "cni0"`. */
export interface Operation extends Request {
  readonly operation: string;
  /** It asks for one object, which is answer enough: without an acknowledgement behind it there is one less to receive. */
  readonly isQuery?: boolean;
}

/** What the kernel said to one of several requests. */
export interface Answer {
  /** All that came before the acknowledgement. */
  readonly messages: Message[];
  readonly failure?: NetlinkError;
}

/**
 * In one datagram. The kernel answers all of it before anything is received: each answer takes some 800 bytes of a receive
 * buffer of 208 KiB (net.core.rmem_default, which may be less), and those that do not fit are lost with ENOBUFS.
 */
const MAX_REQUESTS = 32;

/** A dump of a million elements takes a few seconds. */
const DUMP_TIMEOUT_MS = 60_000;
/**
 * How often a dump is asked for again when the kernel says that its objects changed under it. Under a burst of pods
 * every other dump of links is interrupted; the reference plugins give up after 5 and use what they have
 * (https://github.com/containernetworking/plugins/issues/1121).
 */
const DUMP_ATTEMPTS = 30;

export class NetlinkConnection {
  readonly #transport: Transport;
  #sequence = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Send one request and wait for its answer. Returns the messages that came before the acknowledgement: the object, for
   * a GET.
   *
   * Throws NetlinkError with the kernel's errno and words; EBADMSG when the answer cannot be understood, ETIMEDOUT when
   * none comes.
   */
  execute(operation: Operation): Message[] {
    return this.executeAll([operation])[0] ?? [];
  }

  /**
   * Send several requests, as many in one datagram as its answers fit, and wait for all answers. The kernel carries them
   * out in order and does not stop at one that fails; the first failure is thrown, when all have been answered.
   */
  executeAll(operations: readonly Operation[]): Message[][] {
    const answers = this.attemptAll(operations);
    const failed = answers.find(({ failure }) => failure !== undefined);
    if (failed?.failure) throw failed.failure;
    return answers.map(({ messages }) => messages);
  }

  /**
   * Like executeAll(), and say of each request what became of it. Throws NetlinkError only when answers do not come, or
   * cannot be understood.
   */
  attemptAll(operations: readonly Operation[]): Answer[] {
    const answers: Answer[] = [];
    for (let i = 0; i < operations.length; i += MAX_REQUESTS) {
      answers.push(...this.#attemptTogether(operations.slice(i, i + MAX_REQUESTS)));
    }
    return answers;
  }

  #attemptTogether(operations: readonly Operation[]): Answer[] {
    const first = this.#sequence + 1;
    this.#send(
      operations.map(({ type, flags, payload, isQuery }) => ({
        type,
        flags: isQuery ? flags : flags | NLM_F_ACK,
        payload,
      })),
    );
    const answers = operations.map((): Answer & { failure?: NetlinkError } => ({ messages: [] }));
    const unanswered = new Set(operations.keys());
    while (unanswered.size > 0) {
      const [next] = unanswered;
      for (const message of this.#receive(operations[next ?? 0])) {
        const i = message.sequence - first;
        const [operation, answer] = [operations[i], answers[i]];
        if (operation === undefined || answer === undefined) continue; // the late answer to a request that was given up
        if (message.type !== NLMSG_ERROR) {
          answer.messages.push(message);
          if (operation.isQuery) unanswered.delete(i);
          continue;
        }
        const acknowledgement = understand(operation, () => decodeAcknowledgement(message));
        if (unanswered.delete(i) && acknowledgement.errno !== 0) {
          answer.failure = new NetlinkError(operation.operation, acknowledgement);
        }
      }
    }
    return answers;
  }

  /**
   * Ask for all objects of a kind. Repeats the dump when the kernel says that it was interrupted by a change
   * (NLM_F_DUMP_INTR), so that what is returned is one consistent picture.
   *
   * Throws NetlinkError; EBUSY when the objects kept changing.
   */
  dump(operation: Operation): Message[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const messages = this.#dumpOnce(operation);
      if (messages) return messages;
    }
    throw new NetlinkError(operation.operation, {
      errno: EBUSY,
      text: `interrupted by changes ${DUMP_ATTEMPTS} times in a row`,
    });
  }

  close(): void {
    this.#transport.close();
  }

  /** One dump; undefined when it was interrupted. Always reads to the end, so that the socket is clean for the next. */
  #dumpOnce(operation: Operation): Message[] | undefined {
    this.#send([{ ...operation, flags: operation.flags | NLM_F_DUMP }]);
    const messages: Message[] = [];
    let isInterrupted = false;
    for (const deadline = monotonicMs() + DUMP_TIMEOUT_MS; monotonicMs() < deadline; ) {
      for (const message of this.#receive(operation)) {
        if (message.sequence !== this.#sequence) continue;
        if (message.flags & NLM_F_DUMP_INTR) isInterrupted = true;
        if (message.type === NLMSG_ERROR) {
          const refusal = understand(operation, () => decodeAcknowledgement(message));
          if (refusal.errno !== 0) throw new NetlinkError(operation.operation, refusal);
          throw new NetlinkError(operation.operation, { errno: EBADMSG, text: 'acknowledged instead of answered' });
        }
        if (message.type === NLMSG_DONE) {
          const end = understand(operation, () => decodeDone(message));
          if (end.errno === EINTR) return undefined;
          if (end.errno !== 0) throw new NetlinkError(operation.operation, end);
          return isInterrupted ? undefined : messages;
        }
        messages.push(message);
      }
    }
    throw new NetlinkError(operation.operation, { errno: ETIMEDOUT, text: 'the answer does not end' });
  }

  #send(requests: readonly Request[]): void {
    const encoded = requests.map((request) => encodeRequest(request, ++this.#sequence));
    this.#transport.send(encoded.length === 1 && encoded[0] ? encoded[0] : Buffer.concat(encoded));
  }

  #receive(operation: Operation | undefined): Message[] {
    const { operation: action = 'read a reply' } = operation ?? {};
    try {
      const messages = decodeMessages(this.#transport.receive());
      if (messages.some(({ type }) => type === NLMSG_OVERRUN)) {
        throw new NetlinkError(action, { errno: EBADMSG, text: 'the kernel lost messages' });
      }
      return messages.filter(({ type }) => type !== NLMSG_NOOP);
    } catch (error) {
      if (error instanceof MalformedMessageError) {
        throw new NetlinkError(action, { errno: EBADMSG, text: error.message });
      }
      if (error instanceof ErrnoError && error.errno === EAGAIN) {
        throw new NetlinkError(action, { errno: ETIMEDOUT, text: 'the kernel did not answer' });
      }
      throw error;
    }
  }
}

/** Run a decoder; bytes it cannot read become a NetlinkError EBADMSG that names the operation. */
export function understand<Value>(operation: { operation: string }, decode: () => Value): Value {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof MalformedMessageError)) throw error;
    throw new NetlinkError(operation.operation, { errno: EBADMSG, text: error.message });
  }
}
