// Elements of named sets and maps: the state of single attachments, with its owner in the comment.

import { EINVAL, ENOENT, isErrno } from '../errno.ts';
import { type Operation, understand } from '../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_EXCL } from '../netlink/message.ts';
import { Attributes, MalformedMessageError } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { generationQuery, type NftablesConnection, readGeneration } from './connection.ts';
import {
  NFT_MSG_DELSETELEM,
  NFT_MSG_GETSETELEM,
  NFT_MSG_NEWSETELEM,
  NFTA_DATA_VALUE,
  NFTA_LIST_ELEM,
  NFTA_SET_ELEM_DATA,
  NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM_KEY_END,
  NFTA_SET_ELEM_LIST_ELEMENTS,
  NFTA_SET_ELEM_LIST_SET,
  NFTA_SET_ELEM_LIST_TABLE,
  NFTA_SET_ELEM_USERDATA,
} from './constants.ts';
import { formatKey } from './key.ts';
import { attributesOf, nftType, writeHeader } from './message.ts';
import type { NamedSet } from './set.ts';
import { COMMENT_MAX_BYTES, decodeComment, ELEMENT_COMMENT, encodeComment } from './userdata.ts';

export interface Element {
  readonly set: NamedSet;
  /** encodeKey() of the fields; with an interval of their first values. */
  readonly key: Uint8Array;
  /** encodeKey() of the last values. Present exactly when the set has intervals. */
  readonly keyEnd?: Uint8Array;
  /** encodeKey() of the value's fields. Present in a map, except where only the key matters. */
  readonly data?: Uint8Array;
  /** At most COMMENT_MAX_BYTES. */
  readonly comment?: string;
}

/** Show an element's key, and its value: `10.0.0.5 . 10.0.0.0-10.0.255.255`, `tcp . 8080 : 10.0.0.5 . 80`. */
export function describeElement({ set, key, keyEnd, data }: Element): string {
  const text = formatKey(set.key, key, keyEnd);
  return set.data && data ? `${text} : ${formatKey(set.data, data)}` : text;
}

/** Whether two elements of one set have the same key and value; who they belong to does not count. */
export function isSameElement(a: Element, b: Element): boolean {
  return isSameBytes(a.key, b.key) && isSameBytes(a.keyEnd, b.keyEnd) && isSameBytes(a.data, b.data);
}

/** Text that two elements have in common exactly when they are of one set and have the same key. */
export function placeName({ set, key, keyEnd = key }: Element): string {
  return `${set.table.family} ${set.name} ${bytesAsText(key)} ${bytesAsText(keyEnd)}`;
}

function bytesAsText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Each place once: the first of the elements that are for it. */
export function withoutRepetition<Item extends Element>(elements: readonly Item[]): Item[] {
  const byPlace = new Map<string, Item>();
  for (const element of elements) {
    const place = placeName(element);
    if (!byPlace.has(place)) byPlace.set(place, element);
  }
  return [...byPlace.values()];
}

function isSameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0);
}

/**
 * Add an element that must not be there: EEXIST when its key is, or when an interval overlaps one that is.
 *
 * Without that condition the kernel would keep the old element, with its old comment, and report success.
 */
export function addElement(element: Element): Operation {
  return addition([element]);
}

/** Delete an element, found by its key. ENOENT when it is not there; an interval must be the whole one. */
export function deleteElement(element: Element): Operation {
  return deletion([element]);
}

/**
 * Add elements as addElement() does, as many of one set in a message as it holds: 50,000 ports in messages of their own
 * are more than a socket sends, and so are their errors where the set is missing.
 */
export function addElements(elements: readonly Element[]): Operation[] {
  return divide(elements).map(addition);
}

/** Delete elements as deleteElement() does, as many of one set in a message as it holds. */
export function deleteElements(elements: readonly Element[]): Operation[] {
  return divide(elements).map(deletion);
}

function addition(group: ElementGroup): Operation {
  return {
    get operation() {
      return `add ${describeGroup(group)} to set ${group[0].set.name}`;
    },
    type: nftType(NFT_MSG_NEWSETELEM),
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeElements(group),
  };
}

function deletion([first, ...others]: ElementGroup): Operation {
  const group: ElementGroup = [bare(first), ...others.map(bare)];
  return {
    get operation() {
      return `delete ${describeGroup(group)} from set ${first.set.name}`;
    },
    type: nftType(NFT_MSG_DELSETELEM),
    flags: 0,
    payload: encodeList(group),
  };
}

/** The part of an element that the kernel finds it by. */
function bare({ set, key, keyEnd }: Element): Element {
  return { set, key, ...(keyEnd && { keyEnd }) };
}

/** Elements of one set. */
type ElementGroup = readonly [Element, ...Element[]];

function describeGroup([first, ...others]: ElementGroup): string {
  const element = `element ${describeElement(first)}`;
  return others.length === 0 ? element : `${element} and ${others.length} more`;
}

/** An attribute has at most 64 KiB. */
const MAX_LIST_BYTES = 60_000;
/** Bytes that the attributes of an element, its comment included, add to its key and value at the most. */
const MAX_ELEMENT_FRAME_BYTES = 44 + COMMENT_MAX_BYTES;

function divide(elements: readonly Element[]): ElementGroup[] {
  const groups: [Element, ...Element[]][] = [];
  for (const [, ofSet] of Map.groupBy(elements, ({ set }) => set)) {
    let left = 0;
    for (const element of ofSet) {
      const { key, keyEnd, data } = element;
      const bytes = MAX_ELEMENT_FRAME_BYTES + key.length + (keyEnd?.length ?? 0) + (data?.length ?? 0);
      const group = groups.at(-1);
      if (!group || bytes > left) {
        groups.push([element]);
        left = MAX_LIST_BYTES - bytes;
      } else {
        group.push(element);
        left -= bytes;
      }
    }
  }
  return groups;
}

/**
 * Find the element with a key, or the one whose interval contains it, without listing the set.
 *
 * Undefined when there is none, nor a set, nor a table.
 */
export function findElement(nft: NftablesConnection, set: NamedSet, key: Uint8Array): Element | undefined {
  const query = elementQuery({ set, key });
  // ENOENT is the kernel's answer for any of the three.
  const [answer] = nft.askAll([query]);
  return readElementAt(set, query, answer);
}

/** Where an element may be. */
export type ElementPlace = Pick<Element, 'set' | 'key'>;

/** The question of findElement(), to be asked together with others. */
export function elementQuery({ set, key }: ElementPlace): Operation {
  return {
    get operation() {
      return `get element ${formatKey(set.key, key)} of set ${set.name}`;
    },
    type: nftType(NFT_MSG_GETSETELEM),
    flags: 0,
    payload: encodeList([set.interval ? { set, key, keyEnd: key } : { set, key }]),
  };
}

/** The element in the answer to elementQuery(). Throws NetlinkError EBADMSG. */
export function readElementAt(set: NamedSet, query: Operation, answer: Message | undefined): Element | undefined {
  return answer && understand(query, () => decodeElement(set, answer));
}

/**
 * The elements at several places, and the generation that the ruleset had just before they were looked at. Undefined where
 * findElement() finds none, and also where somebody has put a set of another type in the place of ours.
 *
 * All in one datagram: one by one, the six elements of a container with two mapped ports took 1.5 ms of a DEL.
 */
export function findElementsAt(
  nft: NftablesConnection,
  places: readonly ElementPlace[],
): { readonly generation: number; readonly elements: (Element | undefined)[] } {
  const queries = places.map(elementQuery);
  const [generation, ...answers] = nft.askAll([generationQuery(), ...queries], [ENOENT, EINVAL]);
  const elements = queries.map((query, i) => {
    const set = places[i]?.set;
    return set && readElementAt(set, query, answers[i]);
  });
  return { generation: readGeneration(generation), elements };
}

/**
 * List the elements of a set whose comment begins like this: none when there is no such set, nor table.
 *
 * The kernel hands over all elements, a few hundred in a message. A message without the text is not taken apart: of
 * 4,000 elements the search costs less than a millisecond.
 */
export function listElements(nft: NftablesConnection, set: NamedSet, comment = ''): Element[] {
  const operation = `list the elements of set ${set.name}`;
  const payload = writeHeader(set.table.family)
    .attributeString(NFTA_SET_ELEM_LIST_TABLE, set.table.name)
    .attributeString(NFTA_SET_ELEM_LIST_SET, set.name)
    .finish();
  try {
    return nft
      .dump({ operation, type: nftType(NFT_MSG_GETSETELEM), flags: 0, payload })
      .filter((message) =>
        Buffer.from(message.payload.buffer, message.payload.byteOffset, message.payload.length).includes(comment),
      )
      .flatMap((message) => understand({ operation }, () => decodeElements(set, message)))
      .filter((element) => element.comment?.startsWith(comment) ?? comment === '');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Write one element, in the list that the kernel expects. Throws RangeError when it is not one of its set. */
export function encodeElement(element: Element): Uint8Array {
  return encodeElements([element]);
}

function encodeElements(group: ElementGroup): Uint8Array {
  for (const { set, data } of group) {
    if ((set.data === undefined) === (data === undefined)) continue;
    throw new RangeError(`Cannot write an element of set ${set.name}: it must ${set.data ? '' : 'not '}have a value`);
  }
  return encodeList(group);
}

/** The same, with values only where there are some: the key is enough to find or delete an element of a map. */
function encodeList(group: readonly Element[]): Uint8Array {
  const [first] = group;
  if (!first) throw new RangeError('Cannot write an empty list of elements');
  const { set } = first;
  return writeHeader(set.table.family)
    .attributeString(NFTA_SET_ELEM_LIST_TABLE, set.table.name)
    .attributeString(NFTA_SET_ELEM_LIST_SET, set.name)
    .nested(NFTA_SET_ELEM_LIST_ELEMENTS, (list) => {
      // Usually all have one owner.
      let [comment, userdata]: [string | undefined, Uint8Array | undefined] = [undefined, undefined];
      for (const element of group) {
        if (element.comment !== comment) {
          comment = element.comment;
          userdata = comment === undefined ? undefined : encodeComment(ELEMENT_COMMENT, comment);
        }
        writeElement(list, element, userdata);
      }
    })
    .finish();
}

function writeElement(
  list: MessageWriter,
  { set, key, keyEnd, data }: Element,
  userdata: Uint8Array | undefined,
): void {
  if (set.interval !== (keyEnd !== undefined)) {
    throw new RangeError(
      `Cannot write an element of set ${set.name}: it must ${set.interval ? '' : 'not '}have an end`,
    );
  }
  list.nested(NFTA_LIST_ELEM, (element) => {
    writeKey(element, NFTA_SET_ELEM_KEY, key);
    if (keyEnd) writeKey(element, NFTA_SET_ELEM_KEY_END, keyEnd);
    if (data) writeKey(element, NFTA_SET_ELEM_DATA, data);
    if (userdata) element.attributeBytes(NFTA_SET_ELEM_USERDATA, userdata);
  });
}

/** Read the first element of an NFT_MSG_NEWSETELEM. Throws MalformedMessageError when it has none, or another key. */
export function decodeElement(set: NamedSet, message: Message): Element {
  const [element] = decodeElements(set, message);
  if (!element) throw new MalformedMessageError(`An element of set ${set.name} has no key`);
  return element;
}

function decodeElements(set: NamedSet, message: Message): Element[] {
  const list = attributesOf(message).nested(NFTA_SET_ELEM_LIST_ELEMENTS)?.all ?? [];
  return list
    .filter(({ type }) => type === NFTA_LIST_ELEM)
    .map(({ payload }) => readElement(set, new Attributes(payload)));
}

function readElement(set: NamedSet, attributes: Attributes): Element {
  const key = readKey(attributes, NFTA_SET_ELEM_KEY);
  if (!key) throw new MalformedMessageError(`An element of set ${set.name} has no key`);
  const keyEnd = readKey(attributes, NFTA_SET_ELEM_KEY_END);
  const data = readKey(attributes, NFTA_SET_ELEM_DATA);
  const userdata = attributes.bytes(NFTA_SET_ELEM_USERDATA);
  const comment = userdata && decodeComment(ELEMENT_COMMENT, userdata);
  return { set, key, ...(keyEnd && { keyEnd }), ...(data && { data }), ...(comment !== undefined && { comment }) };
}

function writeKey(writer: MessageWriter, type: number, key: Uint8Array): void {
  writer.nested(type, (data) => data.attributeBytes(NFTA_DATA_VALUE, key));
}

function readKey(attributes: Attributes, type: number): Uint8Array | undefined {
  return attributes.nested(type)?.bytes(NFTA_DATA_VALUE);
}
