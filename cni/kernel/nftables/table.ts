// Tables: the containers of all else, one name a family.

import type { Operation } from '../netlink/connection.ts';
import {
  NFPROTO_BRIDGE,
  NFPROTO_INET,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  NFT_MSG_DELTABLE,
  NFT_MSG_GETTABLE,
  NFT_MSG_NEWTABLE,
  NFTA_TABLE_FLAGS,
  NFTA_TABLE_NAME,
} from './constants.ts';
import { nftType, writeHeader } from './message.ts';

export interface Table {
  /** NFPROTO_*. NFPROTO_INET holds rules for IPv4 and IPv6, its nat chains need Linux 5.2. */
  readonly family: number;
  readonly name: string;
}

const FAMILY_NAMES: ReadonlyMap<number, string> = new Map([
  [NFPROTO_INET, 'inet'],
  [NFPROTO_IPV4, 'ip'],
  [NFPROTO_BRIDGE, 'bridge'],
  [NFPROTO_IPV6, 'ip6'],
]);

/** Name a table as nft's commands do: `inet podlink`. */
export function tableWords({ family, name }: Table): string {
  return `${FAMILY_NAMES.get(family) ?? `family ${family}`} ${name}`;
}

/** Name a table as nft does: `table inet podlink`. */
export function describeTable(table: Table): string {
  return `table ${tableWords(table)}`;
}

/** Add a table, or wake up one that is dormant; nothing changes when it is there and awake. */
export function addTable(table: Table): Operation {
  return {
    operation: `add ${describeTable(table)}`,
    type: nftType(NFT_MSG_NEWTABLE),
    flags: 0,
    payload: encodeTable(table),
  };
}

/** Delete a table with all that it holds. ENOENT when it is not there. */
export function deleteTable(table: Table): Operation {
  const payload = writeHeader(table.family).attributeString(NFTA_TABLE_NAME, table.name).finish();
  return { operation: `delete ${describeTable(table)}`, type: nftType(NFT_MSG_DELTABLE), flags: 0, payload };
}

/** Ask for a table. ENOENT when it is not there. */
export function getTable(table: Table): Operation {
  const payload = writeHeader(table.family).attributeString(NFTA_TABLE_NAME, table.name).finish();
  return { operation: `get ${describeTable(table)}`, type: nftType(NFT_MSG_GETTABLE), flags: 0, payload };
}

/** The definition of a table: what addTable() asks for and what the kernel must answer to getTable(). */
export function encodeTable({ family, name }: Table): Uint8Array {
  return writeHeader(family).attributeString(NFTA_TABLE_NAME, name).attributeBe32(NFTA_TABLE_FLAGS, 0).finish();
}
