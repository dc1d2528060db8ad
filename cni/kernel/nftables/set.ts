// Named sets and maps: keys that rules look up in constant time, and that come and go without a change to any rule. The
// elements of a map have a value as well, which the look-up gives to the rule.

import { isErrno } from '../errno.ts';
import { type Operation, understand } from '../netlink/connection.ts';
import { type Message, NLM_F_CREATE } from '../netlink/message.ts';
import {
  NFT_MSG_GETSET,
  NFT_MSG_NEWSET,
  NFT_SET_ANONYMOUS,
  NFT_SET_CONCAT,
  NFT_SET_INTERVAL,
  NFT_SET_MAP,
  NFTA_LIST_ELEM,
  NFTA_SET_COUNT,
  NFTA_SET_DATA_LEN,
  NFTA_SET_DATA_TYPE,
  NFTA_SET_DESC,
  NFTA_SET_DESC_CONCAT,
  NFTA_SET_FIELD_LEN,
  NFTA_SET_FLAGS,
  NFTA_SET_ID,
  NFTA_SET_KEY_LEN,
  NFTA_SET_KEY_TYPE,
  NFTA_SET_NAME,
  NFTA_SET_TABLE,
  NFTA_SET_USERDATA,
} from './constants.ts';
import { type DataType, keyLength, keyType } from './key.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { attributesOf, nftType, writeHeader } from './message.ts';
import { describeTable, type Table } from './table.ts';
import { encodeComment, HOST_ORDER_KEY, SET_COMMENT } from './userdata.ts';

export interface NamedSet {
  readonly table: Table;
  readonly name: string;
  readonly key: readonly DataType[];
  /** Whether a field of an element may be a range. Only for keys of two and more fields; Linux 5.6. */
  readonly interval: boolean;
  /** What an element's value consists of. Makes the set a map. */
  readonly data?: readonly DataType[];
  /** Says what the set is for; nft shows it. At most COMMENT_MAX_BYTES. */
  readonly comment: string;
}

/** Name a set in an error: `set sources of table inet podlink`. */
function describeSet({ table, name }: NamedSet): string {
  return `set ${name} of ${describeTable(table)}`;
}

/**
 * Add a set; nothing changes when the same one is there. EEXIST when it is there with another key (Linux 6.3, older
 * kernels keep the other silently).
 *
 * `id` is any number that no other set of the batch has: the kernel insists on one, for sets whose name it chooses.
 */
export function addSet(set: NamedSet, id: number): Operation {
  return operation({ verb: 'add', type: NFT_MSG_NEWSET, flags: NLM_F_CREATE }, set, encodeSet(set, id));
}

/** Do nothing to a set that is there, and fail the batch with ENOENT when it is not. */
export function expectSet(set: NamedSet, id: number): Operation {
  return operation({ verb: 'find', type: NFT_MSG_NEWSET }, set, encodeSet(set, id));
}

/** Ask for a set, without its elements. ENOENT when it is not there. */
export function getSet(set: NamedSet): Operation {
  const payload = writeHeader(set.table.family)
    .attributeString(NFTA_SET_TABLE, set.table.name)
    .attributeString(NFTA_SET_NAME, set.name)
    .finish();
  return operation({ verb: 'get', type: NFT_MSG_GETSET }, set, payload);
}

/**
 * All named sets of a table, whoever has made them, without the types of their fields: the kernel finds and deletes
 * elements by the bytes of their keys. None when there is no such table.
 */
export function listSets(nft: { dump(operation: Operation): Message[] }, table: Table): NamedSet[] {
  const operation = `list the sets of ${describeTable(table)}`;
  const payload = writeHeader(table.family).attributeString(NFTA_SET_TABLE, table.name).finish();
  try {
    return nft
      .dump({ operation, type: nftType(NFT_MSG_GETSET), flags: 0, payload })
      .flatMap((message) => understand({ operation }, () => readSet(table, message)));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function readSet(table: Table, message: Message): NamedSet[] {
  const attributes = attributesOf(message);
  const [ofTable, name = ''] = [attributes.string(NFTA_SET_TABLE), attributes.string(NFTA_SET_NAME)];
  const flags = attributes.be32(NFTA_SET_FLAGS) ?? 0;
  if (ofTable !== table.name || (flags & NFT_SET_ANONYMOUS) !== 0) return [];
  return [{ table, name, key: [], interval: (flags & NFT_SET_INTERVAL) !== 0, comment: '' }];
}

/**
 * How many elements the answer to getSet() tells of: 0 without an answer, when there is no such set; undefined where the
 * kernel tells no number. Throws MalformedMessageError.
 */
export function readElementCount(answer: Message | undefined): number | undefined {
  return answer ? attributesOf(answer).be32(NFTA_SET_COUNT) : 0;
}

/** Write a set with its comment; addSet() asks for it with an ID. */
export function encodeSet(set: NamedSet, id?: number): Uint8Array {
  const { key, comment } = set;
  const order = key.length === 1 && key[0]?.isHostOrder ? HOST_ORDER_KEY : new Uint8Array();
  const userdata = Buffer.concat([order, encodeComment(SET_COMMENT, comment)]);
  return writeDefinition(set, id).attributeBytes(NFTA_SET_USERDATA, userdata).finish();
}

/**
 * The definition of a set, which the kernel must answer to getSet().
 *
 * Without the user data: nft writes its own when it loads what it has listed (types and byte order of the fields, for
 * its next listing), and no packet meets them.
 */
export function encodeSetDefinition(set: NamedSet): Uint8Array {
  return writeDefinition(set).finish();
}

function writeDefinition(set: NamedSet, id?: number): MessageWriter {
  const { table, name, key, interval, data } = set;
  // Ranges of a single field are two elements each, in another kind of set (nft_set_rbtree): not needed so far.
  if (interval && key.length < 2) throw new RangeError(`Cannot describe ${describeSet(set)}: ranges need two fields`);
  const flags = (interval ? NFT_SET_INTERVAL | NFT_SET_CONCAT : 0) | (data ? NFT_SET_MAP : 0);
  const writer = writeHeader(table.family)
    .attributeString(NFTA_SET_TABLE, table.name)
    .attributeString(NFTA_SET_NAME, name)
    .attributeBe32(NFTA_SET_FLAGS, flags)
    .attributeBe32(NFTA_SET_KEY_TYPE, keyType(key))
    .attributeBe32(NFTA_SET_KEY_LEN, keyLength(key));
  if (data) {
    writer.attributeBe32(NFTA_SET_DATA_TYPE, keyType(data)).attributeBe32(NFTA_SET_DATA_LEN, keyLength(data));
  }
  if (id !== undefined) writer.attributeBe32(NFTA_SET_ID, id);
  // Single keys are hashed as they are, whatever their fields; only ranges are compared field by field.
  if (interval) {
    writer.nested(NFTA_SET_DESC, (description) =>
      description.nested(NFTA_SET_DESC_CONCAT, (fields) => {
        for (const { bytes } of key) {
          fields.nested(NFTA_LIST_ELEM, (field) => field.attributeBe32(NFTA_SET_FIELD_LEN, bytes));
        }
      }),
    );
  }
  return writer;
}

function operation(
  { verb, type, flags = 0 }: { readonly verb: string; readonly type: number; readonly flags?: number },
  set: NamedSet,
  payload: Uint8Array,
): Operation {
  return { operation: `${verb} ${describeSet(set)}`, type: nftType(type), flags, payload };
}
