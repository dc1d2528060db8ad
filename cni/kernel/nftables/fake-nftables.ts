// An nf_tables in memory, for the tests of everything above: tables, chains, rules, sets and elements, as far as the
// messages of this folder go. Batches are all or nothing, errors are the kernel's. What it does not know it refuses.

import { EEXIST, EINVAL, ENOENT, EOPNOTSUPP } from '../errno.ts';
import { acknowledge, done, type FakeReply, FakeTransport } from '../netlink/fake-transport.ts';
import {
  decodeMessages,
  encodeRequest,
  type Message,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLMSG_HDRLEN,
} from '../netlink/message.ts';
import { Attributes } from '../netlink/reader.ts';
import { align4, MessageWriter } from '../netlink/writer.ts';
import { NftablesConnection } from './connection.ts';
import * as nft from './constants.ts';
import { NFTA_EXPR_NAME } from './expressions/expression.ts';
import { attributesOf, nftType, writeHeader } from './message.ts';
import { decodeComment, ELEMENT_COMMENT } from './userdata.ts';

interface FakeElement {
  readonly bytes: Uint8Array;
  readonly key: Uint8Array;
  readonly keyEnd: Uint8Array;
  readonly data: Uint8Array | undefined;
  readonly comment: string | undefined;
}
interface FakeSet {
  readonly payload: Uint8Array;
  readonly fieldLengths: readonly number[];
  /** Of a map. */
  readonly dataLength: number | undefined;
  elements: FakeElement[];
}
interface FakeTable {
  readonly payload: Uint8Array;
  readonly chains: Map<string, { payload: Uint8Array; rules: Uint8Array[] }>;
  readonly sets: Map<string, FakeSet>;
}
/** Tables by their names; those of another family than inet have its number before the name. */
type FakeState = Map<string, FakeTable>;

export class FakeNftables {
  state: FakeState = new Map();
  generation = 1;
  /** The questions so far: batches that were sent, whether they succeeded or not, and single questions. */
  readonly asked = { batches: 0, questions: 0 };
  /** Whether it says how many elements a set has, as newer kernels do. */
  tellsElementCounts = false;
  /** The parts that the kernel lacks: `nf_tables`, kinds of expressions (`nat`), types of chains (`chain nat`). */
  readonly lacks = new Set<string>();
  /** Called before a batch is looked at: the place for a test to be somebody else who changes the ruleset. */
  beforeBatch: () => void = () => undefined;
  readonly connection = new NftablesConnection(new FakeNfnetlink((request) => this.#respond(request)));

  #draft: FakeState | undefined;
  #answers: FakeReply[] = [];
  /** The errno a batch is refused with, until its end. */
  #refusal = 0;

  /** Elements of a set: their keys in hexadecimal and their comments. */
  elementsOf(tableName: string, setName: string): Record<string, string | undefined> {
    const elements = this.state.get(tableName)?.sets.get(setName)?.elements ?? [];
    return Object.fromEntries(elements.map(({ key, comment }) => [Buffer.from(key).toString('hex'), comment]));
  }

  #respond(request: Message): FakeReply[] {
    if (request.type === nft.NFNL_MSG_BATCH_BEGIN) return this.#begin(request);
    if (request.type === nft.NFNL_MSG_BATCH_END) return this.#end();
    if (request.type === END_OF_REHEARSAL) {
      this.#refusal ||= EINVAL;
      return this.#end();
    }
    if (this.#draft) return this.#operate(request, this.#draft);
    if (this.#refusal !== 0) return [];
    this.asked.questions++;
    if (this.lacks.has('nf_tables')) return [acknowledge(EINVAL)];
    return this.#answer(request);
  }

  #begin(request: Message): FakeReply[] {
    this.asked.batches++;
    this.beforeBatch();
    if (this.lacks.has('nf_tables')) {
      this.#refusal = EOPNOTSUPP;
      return [acknowledge(EOPNOTSUPP)];
    }
    const wanted = attributesOf(request).be32(nft.NFNL_BATCH_GENID);
    if (wanted !== undefined && wanted !== this.generation) {
      this.#refusal = nft.ERESTART;
      return [acknowledge(nft.ERESTART)];
    }
    this.#draft = structuredClone(this.state);
    this.#answers = [];
    return [];
  }

  #operate(request: Message, draft: FakeState): FakeReply[] {
    const missing = offsetOfMissing(request, this.lacks);
    if (missing !== undefined) {
      const offset = new MessageWriter().attributeU32(NLMSGERR_ATTR_OFFS, missing).finish();
      this.#answers.push({ ...acknowledge(ENOENT, offset), sequence: request.sequence });
      this.#refusal = ENOENT;
      return [];
    }
    const errno = applyTo(draft, request);
    if (errno !== 0 || request.flags & NLM_F_ACK) {
      this.#answers.push({ ...acknowledge(errno), sequence: request.sequence });
    }
    if (errno !== 0) this.#refusal = errno;
    return [];
  }

  #end(): FakeReply[] {
    if (this.#draft && this.#refusal === 0) {
      this.state = this.#draft;
      this.generation++;
    }
    const answers = this.#draft ? this.#answers : [];
    this.#draft = undefined;
    this.#refusal = 0;
    return answers;
  }

  #describeSet(set: FakeSet | undefined): Uint8Array | undefined {
    if (!set || !this.tellsElementCounts) return set?.payload;
    const writer = new MessageWriter().bytes(set.payload).pad();
    return writer.attributeBe32(nft.NFTA_SET_COUNT, set.elements.length).finish();
  }

  #answer(request: Message): FakeReply[] {
    const attributes = attributesOf(request);
    const table = this.state.get(tableKey(request));
    const found = (payload: Uint8Array | undefined, message: number): FakeReply[] =>
      payload
        ? [{ type: nftType(message), payload }, ...(request.flags & NLM_F_ACK ? [acknowledge()] : [])]
        : [acknowledge(ENOENT)];
    switch (request.type & 0xff) {
      case nft.NFT_MSG_GETGEN:
        return found(writeHeader(0).attributeBe32(nft.NFTA_GEN_ID, this.generation).finish(), nft.NFT_MSG_NEWGEN);
      case nft.NFT_MSG_GETTABLE:
        return found(table?.payload, nft.NFT_MSG_NEWTABLE);
      case nft.NFT_MSG_GETCHAIN:
        return found(table?.chains.get(attributes.string(nft.NFTA_CHAIN_NAME) ?? '')?.payload, nft.NFT_MSG_NEWCHAIN);
      case nft.NFT_MSG_GETSET:
        if (request.flags & NLM_F_DUMP) {
          const sets = [...(table?.sets.values() ?? [])];
          return [...sets.map(({ payload }) => ({ type: nftType(nft.NFT_MSG_NEWSET), payload })), done()];
        }
        return found(
          this.#describeSet(table?.sets.get(attributes.string(nft.NFTA_SET_NAME) ?? '')),
          nft.NFT_MSG_NEWSET,
        );
      case nft.NFT_MSG_GETRULE: {
        const chain = attributes.string(nft.NFTA_RULE_CHAIN);
        const chains = [...(table?.chains ?? [])].filter(([name]) => chain === undefined || name === chain);
        const rules = chains.flatMap(([, one]) => one.rules);
        return [...rules.map((payload) => ({ type: nftType(nft.NFT_MSG_NEWRULE), payload })), done()];
      }
      case nft.NFT_MSG_GETSETELEM: {
        const set = table?.sets.get(attributes.string(nft.NFTA_SET_ELEM_LIST_SET) ?? '');
        const [element] = elementsOf(attributes);
        if (!element) {
          const all = set?.elements.map(({ bytes }) => ({ type: nftType(nft.NFT_MSG_NEWSETELEM), payload: bytes }));
          return all ? [...all, done()] : [acknowledge(ENOENT)];
        }
        const { key } = element;
        return found(set?.elements.find((element) => contains(set, element, key))?.bytes, nft.NFT_MSG_NEWSETELEM);
      }
      default:
        return [acknowledge(EINVAL)];
    }
  }
}

/** Marks the end of a datagram whose batch has none. */
const END_OF_REHEARSAL = 0x7fff;
const NLMSGERR_ATTR_OFFS = 2;
const CHAIN = 'chain ';

class FakeNfnetlink extends FakeTransport {
  override send(datagram: Uint8Array): void {
    const messages = decodeMessages(datagram);
    const isBatch = messages[0]?.type === nft.NFNL_MSG_BATCH_BEGIN;
    const isWhole = messages.at(-1)?.type === nft.NFNL_MSG_BATCH_END;
    const end = encodeRequest({ type: END_OF_REHEARSAL, flags: 0, payload: writeHeader(0).finish() }, 0);
    super.send(isBatch && !isWhole ? Buffer.concat([datagram, end]) : datagram);
  }
}

/** The offset, from the start of the request, of what the kernel would not find: an expression, or a chain's type. */
function offsetOfMissing({ type, payload }: Message, lacks: ReadonlySet<string>): number | undefined {
  const isChain = type === nftType(nft.NFT_MSG_NEWCHAIN);
  if (!isChain && type !== nftType(nft.NFT_MSG_NEWRULE)) return undefined;
  for (const lack of lacks) {
    if (lack.startsWith(CHAIN) !== isChain) continue;
    const name = isChain ? lack.slice(CHAIN.length) : lack;
    const attribute = new MessageWriter().attributeString(isChain ? nft.NFTA_CHAIN_TYPE : NFTA_EXPR_NAME, name);
    const at = Buffer.from(payload).indexOf(attribute.finish());
    // The attribute of an expression has its name as the first one within.
    if (at >= 0) return NLMSG_HDRLEN + at - (isChain ? 0 : 4);
  }
  return undefined;
}

/** Two tables of one name but of different families are two tables. */
function tableKey(request: Message): string {
  const [family] = request.payload;
  const name = attributesOf(request).string(1) ?? '';
  return family === nft.NFPROTO_INET ? name : `${family} ${name}`;
}

/** Carry out one operation of a batch. Returns its errno, 0 for success. */
function applyTo(state: FakeState, request: Message): number {
  const { type, flags, payload } = request;
  const attributes = attributesOf(request);
  const name = tableKey(request);
  const table = state.get(name);
  const message = type & 0xff;
  if (message === nft.NFT_MSG_NEWTABLE) {
    if (!table) state.set(name, { payload, chains: new Map(), sets: new Map() });
    return 0;
  }
  if (!table) return ENOENT;
  switch (message) {
    case nft.NFT_MSG_DELTABLE:
      state.delete(name);
      return 0;
    case nft.NFT_MSG_NEWCHAIN:
    case nft.NFT_MSG_DELCHAIN: {
      const chain = attributes.string(nft.NFTA_CHAIN_NAME) ?? '';
      if (message === nft.NFT_MSG_DELCHAIN) return table.chains.delete(chain) ? 0 : ENOENT;
      if (!table.chains.has(chain)) table.chains.set(chain, { payload, rules: [] });
      return 0;
    }
    case nft.NFT_MSG_NEWRULE:
    case nft.NFT_MSG_DELRULE: {
      const chain = table.chains.get(attributes.string(nft.NFTA_RULE_CHAIN) ?? '');
      if (!chain) return ENOENT;
      chain.rules = message === nft.NFT_MSG_NEWRULE ? [...chain.rules, payload] : [];
      return 0;
    }
    case nft.NFT_MSG_NEWSET: {
      const set = attributes.string(nft.NFTA_SET_NAME) ?? '';
      if (table.sets.has(set)) return 0;
      if (!(flags & NLM_F_CREATE)) return ENOENT;
      table.sets.set(set, {
        payload,
        fieldLengths: fieldLengthsOf(attributes),
        dataLength: attributes.be32(nft.NFTA_SET_DATA_LEN),
        elements: [],
      });
      return 0;
    }
    case nft.NFT_MSG_NEWSETELEM:
    case nft.NFT_MSG_DELSETELEM: {
      const set = table.sets.get(attributes.string(nft.NFTA_SET_ELEM_LIST_SET) ?? '');
      if (!set) return ENOENT;
      const elements = elementsOf(attributes);
      if (elements.length === 0) return EINVAL;
      for (const fields of elements) {
        // A list of one has the bytes of the message: what the kernel would answer about that element.
        const element = { bytes: elements.length === 1 ? payload : encodeAnswer(attributes, fields), ...fields };
        const errno = message === nft.NFT_MSG_NEWSETELEM ? addTo(set, element, flags) : deleteFrom(set, element);
        if (errno !== 0) return errno;
      }
      return 0;
    }
    default:
      return EINVAL;
  }
}

function addTo(set: FakeSet, element: FakeElement, flags: number): number {
  if (element.data?.length !== set.dataLength) return EINVAL;
  const overlaps = set.elements.some((other) => contains(set, other, element.key) || contains(set, element, other.key));
  if (overlaps) return flags & NLM_F_EXCL ? EEXIST : 0;
  set.elements.push(element);
  return 0;
}

function deleteFrom(set: FakeSet, { key, keyEnd }: FakeElement): number {
  const i = set.elements.findIndex((one) => isEqual(one.key, key) && isEqual(one.keyEnd, keyEnd));
  if (i < 0) return ENOENT;
  set.elements.splice(i, 1);
  return 0;
}

type ElementFields = Omit<FakeElement, 'bytes'> & { readonly payload: Uint8Array };

function elementsOf(attributes: Attributes): ElementFields[] {
  const list = attributes.nested(nft.NFTA_SET_ELEM_LIST_ELEMENTS)?.all ?? [];
  return list.flatMap(({ payload }) => {
    const element = new Attributes(payload);
    const key = element.nested(nft.NFTA_SET_ELEM_KEY)?.bytes(nft.NFTA_DATA_VALUE);
    if (!key) return [];
    const keyEnd = element.nested(nft.NFTA_SET_ELEM_KEY_END)?.bytes(nft.NFTA_DATA_VALUE) ?? key;
    const data = element.nested(nft.NFTA_SET_ELEM_DATA)?.bytes(nft.NFTA_DATA_VALUE);
    const userdata = element.bytes(nft.NFTA_SET_ELEM_USERDATA);
    return { payload, key, keyEnd, data, comment: userdata && decodeComment(ELEMENT_COMMENT, userdata) };
  });
}

/** The message that tells of one element alone. */
function encodeAnswer(attributes: Attributes, { payload }: ElementFields): Uint8Array {
  return writeHeader(0)
    .attributeString(nft.NFTA_SET_ELEM_LIST_TABLE, attributes.string(nft.NFTA_SET_ELEM_LIST_TABLE) ?? '')
    .attributeString(nft.NFTA_SET_ELEM_LIST_SET, attributes.string(nft.NFTA_SET_ELEM_LIST_SET) ?? '')
    .nested(nft.NFTA_SET_ELEM_LIST_ELEMENTS, (list) =>
      list.nested(nft.NFTA_LIST_ELEM, (element) => element.bytes(payload)),
    )
    .finish();
}

function fieldLengthsOf(attributes: Attributes): number[] {
  const fields = attributes.nested(nft.NFTA_SET_DESC)?.nested(nft.NFTA_SET_DESC_CONCAT)?.all;
  const lengths = fields?.map(({ payload }) => new DataView(payload.buffer, payload.byteOffset + 4).getUint32(0));
  return lengths ?? [attributes.be32(nft.NFTA_SET_KEY_LEN) ?? 0];
}

/** Whether every field of the key lies within the element's. */
function contains({ fieldLengths }: FakeSet, element: FakeElement, key: Uint8Array): boolean {
  let offset = 0;
  return fieldLengths.every((length) => {
    const [from, to, value] = [element.key, element.keyEnd, key].map((k) => k.subarray(offset, offset + length));
    offset += align4(length);
    return from && to && value && Buffer.compare(from, value) <= 0 && Buffer.compare(value, to) <= 0;
  });
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
