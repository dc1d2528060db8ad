// Sets of any table, asked for one key each: the kernel finds the element, or the interval, as it does for a packet.

import { EINVAL, ENOENT, EOPNOTSUPP } from '../../errno.ts';
import { type Operation, understand } from '../../netlink/connection.ts';
import { Attributes } from '../../netlink/reader.ts';
import type { NftablesConnection } from '../connection.ts';
import {
  NFT_MSG_GETSET,
  NFT_MSG_GETSETELEM,
  NFT_SET_CONCAT,
  NFT_SET_INTERVAL,
  NFTA_DATA_VALUE,
  NFTA_LIST_ELEM,
  NFTA_SET_ELEM_DATA,
  NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM_KEY_END,
  NFTA_SET_ELEM_LIST_ELEMENTS,
  NFTA_SET_ELEM_LIST_SET,
  NFTA_SET_ELEM_LIST_TABLE,
  NFTA_SET_FLAGS,
  NFTA_SET_KEY_LEN,
  NFTA_SET_NAME,
  NFTA_SET_TABLE,
} from '../constants.ts';
import { attributesOf, nftType, writeHeader } from '../message.ts';
import { describeTable, type Table } from '../table.ts';

/** enum nft_set_elem_attributes, nft_set_elem_flags; the catch-all element `*` is of Linux 5.13. */
const NFTA_SET_ELEM_FLAGS = 3;
const NFT_SET_ELEM_CATCHALL = 0x2;

export interface StoredSet {
  readonly table: Table;
  readonly name: string;
  readonly keyBytes: number;
  readonly flags: number;
}

/** An element that was found. */
export interface StoredElement {
  /** NFTA_SET_ELEM_DATA of an element of a map. */
  readonly data: Attributes | undefined;
}

/** Find a set, anonymous ones (`__set0`) included; undefined when it is not there. Throws NetlinkError. */
export function findStoredSet(nft: NftablesConnection, table: Table, name: string): StoredSet | undefined {
  const operation: Operation = {
    operation: `get set ${name} of ${describeTable(table)}`,
    type: nftType(NFT_MSG_GETSET),
    flags: 0,
    payload: writeHeader(table.family)
      .attributeString(NFTA_SET_TABLE, table.name)
      .attributeString(NFTA_SET_NAME, name)
      .finish(),
  };
  const [answer] = nft.askAll([operation]);
  if (!answer) return undefined;
  return understand(operation, () => {
    const attributes = attributesOf(answer);
    const keyBytes = attributes.be32(NFTA_SET_KEY_LEN) ?? 0;
    return { table, name, keyBytes, flags: attributes.be32(NFTA_SET_FLAGS) ?? 0 };
  });
}

/**
 * Find the element with a key, the one whose interval contains it, or else the catch-all; undefined when there is none.
 *
 * Throws NetlinkError.
 */
export function findStoredElement(nft: NftablesConnection, set: StoredSet, key: Uint8Array): StoredElement | undefined {
  const query = elementQuery(set, key);
  const [found] = nft.askAll([query]);
  // Before 5.13 the kernel refuses an element without a key.
  const [catchAll] = found ? [] : nft.askAll([elementQuery(set, undefined)], [ENOENT, EINVAL, EOPNOTSUPP]);
  const answer = found ?? catchAll;
  if (!answer) return undefined;
  return understand(query, () => {
    const list = attributesOf(answer).nested(NFTA_SET_ELEM_LIST_ELEMENTS)?.all ?? [];
    const element = list.find(({ type }) => type === NFTA_LIST_ELEM);
    return { data: element && new Attributes(element.payload).nested(NFTA_SET_ELEM_DATA) };
  });
}

/** `key` undefined: the catch-all element. */
function elementQuery({ table, name, flags }: StoredSet, key: Uint8Array | undefined): Operation {
  const hasEnd = (flags & NFT_SET_INTERVAL) !== 0 && (flags & NFT_SET_CONCAT) !== 0;
  const payload = writeHeader(table.family)
    .attributeString(NFTA_SET_ELEM_LIST_TABLE, table.name)
    .attributeString(NFTA_SET_ELEM_LIST_SET, name)
    .nested(NFTA_SET_ELEM_LIST_ELEMENTS, (list) =>
      list.nested(NFTA_LIST_ELEM, (element) => {
        if (!key) {
          element.attributeBe32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_CATCHALL);
          return;
        }
        element.nested(NFTA_SET_ELEM_KEY, (data) => data.attributeBytes(NFTA_DATA_VALUE, key));
        if (hasEnd) element.nested(NFTA_SET_ELEM_KEY_END, (data) => data.attributeBytes(NFTA_DATA_VALUE, key));
      }),
    )
    .finish();
  return {
    operation: `get element of set ${name} of ${describeTable(table)}`,
    type: nftType(NFT_MSG_GETSETELEM),
    flags: 0,
    payload,
  };
}
