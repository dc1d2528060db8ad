// The way to nf_tables: changes in batches, questions one by one.
//
// A kernel without nf_tables has an empty ruleset: questions find nothing there, and a removal has nothing to do. Only a
// change is refused, and whoever asks for the generation is told.

import {
  EAGAIN,
  EBADMSG,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  ENOENT,
  EOPNOTSUPP,
  EPROTONOSUPPORT,
  ErrnoError,
  ETIMEDOUT,
} from '../errno.ts';
import { NetlinkConnection, type Operation, understand } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/error.ts';
import {
  decodeAcknowledgement,
  decodeMessages,
  encodeRequest,
  type Message,
  NLMSG_ERROR,
  NLMSG_NOOP,
} from '../netlink/message.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { NETLINK_NETFILTER, openTransport, type Transport } from '../netlink/transport.ts';
import { inNetns, type Netns } from '../netns.ts';
import { absentTransport } from './absent-transport.ts';
import { type Batch, encodeBatch, encodeRehearsal } from './batch.ts';
import { ERESTART, NFT_MSG_GETGEN, NFTA_GEN_ID } from './constants.ts';
import { describeRefusal, MissingKernelPartError, NF_TABLES } from './kernel-part.ts';
import { attributesOf, nftType, writeHeader } from './message.ts';

/**
 * Batches count from here, questions that are sent together from there and single ones from 1, on the same socket: an
 * answer that was left unread by the one is nothing to the others.
 */
const FIRST_BATCH_SEQUENCE = 0x8000_0000;
const FIRST_QUESTION_SEQUENCE = 0x4000_0000;

/**
 * The kernel answers all questions of a datagram before any answer is read. Each takes 4.3 KB of the receive buffer, which
 * has 208 KiB unless the node's net.core.rmem_default is less.
 */
const QUESTIONS_AT_ONCE = 16;

/** More questions than these are worth two system calls for a larger buffer, which then holds the answers to as many as follow. */
const FEW_QUESTIONS = 64;
const MANY_QUESTIONS_AT_ONCE = 1024;

/** Operations of a batch whose errors fit that buffer; and what of it certainly fits the send buffer. */
const SMALL_BATCH = 64;
const SMALL_BATCH_BYTES = 65_536;

/** Of a refused batch the kernel may report every message, some 800 bytes each. A limit, not an allocation. */
const LARGE_BUFFER_BYTES = 8 * 1024 * 1024;

const AF_UNSPEC = 0;

const ABSENT = [ENOENT];
const UNANSWERED = { errno: EBADMSG, text: 'acknowledged instead of answered' };

const GET_GENERATION = 'get the generation of the ruleset';

/** What an error begins with. Of an operation it is put into words only for an error: see element.ts. */
type Action = Pick<Operation, 'operation'>;

/** Open nf_tables in the given namespace, or in the calling thread's own. Close it after use. */
export function openNftables(netns?: Netns): NftablesConnection {
  return new NftablesConnection(netns ? inNetns(netns, openNfnetlink) : openNfnetlink());
}

function openNfnetlink(): Transport {
  try {
    return openTransport(NETLINK_NETFILTER);
  } catch (error) {
    if (!(error instanceof ErrnoError) || error.errno !== EPROTONOSUPPORT) throw error;
    return absentTransport();
  }
}

export class NftablesConnection {
  readonly #transport: Transport;
  readonly #questions: NetlinkConnection;
  #sequence = FIRST_BATCH_SEQUENCE;
  #questionSequence = FIRST_QUESTION_SEQUENCE;
  /** The size that the buffers were enlarged to, in bytes; 0 for the node's default. */
  #bufferBytes = 0;
  #hasLostAnswers = false;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.#questions = new NetlinkConnection(transport);
  }

  /**
   * Carry out operations, all or none. None given, nothing is sent.
   *
   * Throws NetlinkError that names the first operation which the kernel refused; ERESTART when `generation` is given
   * and no longer that of the ruleset (isOutdated()); EMSGSIZE for a batch larger than the socket's send buffer, where that
   * cannot be enlarged.
   *
   * When a batch fails so often that the errors do not fit the receive buffer (some 250 times), the kernel sends
   * nothing more to the socket until all of them are read, and there is no telling when they are. The connection then
   * has to be opened anew: everything asked of it afterwards fails with ENOBUFS.
   */
  commit(operations: readonly Operation[], generation?: number): void {
    const [first] = operations;
    if (!first) return;
    this.#assertUsable(first);
    const [failure] = this.#attempt(operations, encodeBatch(operations, this.#sequence, generation));
    if (failure) throw failure;
  }

  /**
   * Find out which operations the kernel would refuse in one batch, without a change to anything. Modules that they need
   * are loaded.
   */
  rehearse(operations: readonly Operation[]): NetlinkError[] {
    const [first] = operations;
    if (!first) return [];
    this.#assertUsable(first);
    return this.#attempt(operations, encodeRehearsal(operations, this.#sequence));
  }

  /** Send a batch. Returns what the kernel has against it, the first failure first. */
  #attempt(operations: readonly Operation[], batch: Batch): NetlinkError[] {
    this.#sequence = batch.lastSequence + 1;
    const [{ operation = '' } = {}] = operations;
    const action = { operation: `commit a batch of ${operations.length} operations (first: ${operation})` };
    if (operations.length > SMALL_BATCH || batch.datagram.length > SMALL_BATCH_BYTES) {
      this.#enlarge(Math.max(LARGE_BUFFER_BYTES, batch.datagram.length));
    }
    this.#sendBatch(batch, action);
    return this.#readFailures(batch, operations, action);
  }

  #sendBatch({ datagram }: Batch, { operation }: Action): void {
    try {
      this.#transport.send(datagram);
    } catch (error) {
      if (!(error instanceof ErrnoError) || error.errno !== EMSGSIZE) throw error;
      const text = `its ${datagram.length} bytes are more than the socket's send buffer holds`;
      throw new NetlinkError(operation, { errno: EMSGSIZE, text });
    }
  }

  /** Not for every connection: two system calls, which the few elements of an attachment do not need. */
  #enlarge(bytes: number): void {
    if (this.#bufferBytes >= bytes) return;
    this.#transport.enlarge?.(bytes);
    this.#bufferBytes = bytes;
  }

  /** Ask for one object. Throws NetlinkError, ENOENT when it is not there. */
  execute(operation: Operation): Message[] {
    this.#assertUsable(operation);
    try {
      return this.#questions.execute(operation);
    } catch (error) {
      if (!this.#isWithoutNftables(error)) throw error;
      throw new MissingKernelPartError(operation.operation, NF_TABLES, ENOENT);
    }
  }

  /**
   * Ask for several objects, as many as possible in one datagram: the answers in the order of the questions, undefined
   * for an object that is not there. `absent`: the errnos that say so. Without nf_tables nothing is there.
   *
   * Throws NetlinkError of the first question that was refused for another reason, when all have been answered.
   */
  askAll(questions: readonly Operation[], absent: readonly number[] = ABSENT): (Message | undefined)[] {
    const answers: (Message | undefined)[] = [];
    if (questions.length > FEW_QUESTIONS) this.#enlarge(LARGE_BUFFER_BYTES);
    const atOnce = this.#bufferBytes > 0 ? MANY_QUESTIONS_AT_ONCE : QUESTIONS_AT_ONCE;
    for (let i = 0; i < questions.length; i += atOnce) {
      for (const answer of this.#askTogether(questions.slice(i, i + atOnce), absent)) answers.push(answer);
    }
    return answers;
  }

  /** Whether a question was refused because there is nobody to answer it. */
  #isWithoutNftables(error: unknown): boolean {
    if (!(error instanceof NetlinkError) || error.errno !== EINVAL) return false;
    try {
      return this.#askTogether([generationQuery()], [EINVAL])[0] === undefined;
    } catch (refusal) {
      if (refusal instanceof NetlinkError) return false; // somebody answered
      throw refusal;
    }
  }

  /** Without acknowledgements: an object or an error is answer enough, and each would have to be received. */
  #askTogether(questions: readonly Operation[], absent: readonly number[]): (Message | undefined)[] {
    const [action] = questions;
    if (!action) return [];
    this.#assertUsable(action);
    const first = this.#questionSequence;
    this.#questionSequence += questions.length;
    this.#transport.send(Buffer.concat(questions.map((question, i) => encodeRequest(question, first + i))));
    const answers: (Message | undefined)[] = questions.map(() => undefined);
    const unanswered = new Set(questions.keys());
    let failure: NetlinkError | undefined;
    while (unanswered.size > 0) {
      const messages = this.#receive(action);
      if (messages === undefined) {
        this.#hasLostAnswers = true;
        throw new NetlinkError(action.operation, { errno: ENOBUFS, text: 'the kernel lost answers' });
      }
      for (const message of messages) {
        const i = message.sequence - first;
        const question = questions[i];
        if (!question || message.type === NLMSG_NOOP || !unanswered.delete(i)) continue;
        if (message.type !== NLMSG_ERROR) {
          answers[i] = message;
          continue;
        }
        const refusal = understand(question, () => decodeAcknowledgement(message));
        if (absent.includes(refusal.errno)) continue;
        failure ??= new NetlinkError(question.operation, refusal.errno === 0 ? UNANSWERED : refusal);
      }
    }
    if (failure && !this.#isWithoutNftables(failure)) throw failure;
    return answers;
  }

  /** Ask for all objects of a kind. */
  dump(operation: Operation): Message[] {
    this.#assertUsable(operation);
    try {
      return this.#questions.dump(operation);
    } catch (error) {
      if (!this.#isWithoutNftables(error)) throw error;
      return [];
    }
  }

  /**
   * The number of the ruleset's current state: every batch that anyone commits makes it another. Throws
   * MissingKernelPartError without nf_tables.
   */
  getGeneration(): number {
    const [answer] = this.#askTogether([generationQuery()], [EINVAL]);
    if (!answer) throw new MissingKernelPartError(GET_GENERATION, NF_TABLES, EOPNOTSUPP);
    return readGeneration(answer);
  }

  close(): void {
    this.#transport.close();
  }

  #assertUsable(action: Action): void {
    if (!this.#hasLostAnswers) return;
    throw new NetlinkError(action.operation, {
      errno: ENOBUFS,
      text: 'the connection is full of errors of an earlier batch',
    });
  }

  /**
   * Read the answers to a batch, see batch.ts, up to the one for the last operation. An error for the begin message
   * ends the reading at once: another answer may follow it or not, and if so is passed over by whoever reads next.
   */
  #readFailures(batch: Batch, operations: readonly Operation[], action: Action): NetlinkError[] {
    const failures: NetlinkError[] = [];
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
        const about = operations[i];
        const acknowledgement = understand(about ?? action, () => decodeAcknowledgement(message));
        if (acknowledgement.errno !== 0) failures.push(describeRefusal(about ?? action, about, acknowledgement));
        if (i === -1 || i === operations.length - 1 || (this.#hasLostAnswers && failures.length > 0)) return failures;
      }
    }
  }

  /** One datagram's messages; undefined when the kernel says that it had to drop some. */
  #receive(action: Action): Message[] | undefined {
    try {
      return decodeMessages(this.#transport.receive());
    } catch (error) {
      if (error instanceof MalformedMessageError) {
        throw new NetlinkError(action.operation, { errno: EBADMSG, text: error.message });
      }
      if (!(error instanceof ErrnoError)) throw error;
      if (error.errno === ENOBUFS) return undefined;
      if (error.errno !== EAGAIN) throw error;
      throw new NetlinkError(action.operation, { errno: ETIMEDOUT, text: 'the kernel did not answer' });
    }
  }
}

/** The question for the generation of the ruleset, to be asked together with others: the first of them. */
export function generationQuery(): Operation {
  const payload = writeHeader(AF_UNSPEC).finish();
  return { operation: GET_GENERATION, type: nftType(NFT_MSG_GETGEN), flags: 0, payload };
}

/**
 * The generation in the answer to generationQuery(), 0 without one: a kernel without nf_tables, which refuses every batch.
 * Throws NetlinkError EBADMSG.
 */
export function readGeneration(answer: Message | undefined): number {
  if (!answer) return 0;
  const generation = understand({ operation: GET_GENERATION }, () => attributesOf(answer).be32(NFTA_GEN_ID));
  if (generation === undefined) throw new NetlinkError(GET_GENERATION, { errno: EBADMSG });
  return generation;
}

/** Whether a batch was refused because the ruleset is no longer of the generation it was made for. */
export function isOutdated(error: unknown): boolean {
  return error instanceof NetlinkError && error.errno === ERESTART;
}
