// The blocks that this node has claimed, noted on its disk beside the reservations, so that no ADD has to ask for them:
//
//   <dataDir>/<network>/.podlink-blocks.json
//   {"node":"n1","prefix":"/podlink","blocks":["10.22.0.64/26"],"returning":[]}
//
// Addresses are handed out of `blocks`. Those of `returning` are empty and on their way back: their claim may be gone
// already, so that nothing may be handed out of them. Without the file nothing is known, and etcd tells what was claimed.
// Read and write it with the network's store locked.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isObject } from '../../cni/protocol/fields.ts';
import { type Block, formatBlock, parseBlock } from './block.ts';
import { IpamError } from '../errors.ts';

export interface NotedBlocks {
  readonly blocks: readonly Block[];
  readonly returning: readonly Block[];
}

/** Whose blocks: a name of a node below a prefix of keys. */
export interface BlockScope {
  readonly node: string;
  readonly prefix: string;
}

const FILE = '.podlink-blocks.json';

/**
 * Read what is noted; undefined when nothing is.
 *
 * Throws IpamError 'store' for a file that cannot be read, 'config' for blocks that were claimed under another name.
 */
export function readBlocks(directory: string, scope: BlockScope): NotedBlocks | undefined {
  const noted = findNotedBlocks(directory);
  if (noted === undefined) return undefined;
  const { node, prefix, blocks, returning } = noted;
  if (node !== scope.node || prefix !== scope.prefix)
    throw new IpamError(
      'config',
      `The blocks in "${join(directory, FILE)}" were claimed as node "${node}" below "${prefix}", and the configuration says node "${scope.node}" below "${scope.prefix}": set "ipam.node" and "ipam.prefix" to those, or drain the node and remove the file`,
    );
  return { blocks, returning };
}

/** Read what is noted, whoever claimed it; undefined when nothing is. Throws IpamError 'store'. */
export function findNotedBlocks(directory: string): (NotedBlocks & BlockScope) | undefined {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new IpamError('store', `Cannot read "${path}": ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  return parse(path, text);
}

function parse(path: string, text: string): NotedBlocks & BlockScope {
  try {
    const noted: unknown = JSON.parse(text);
    if (!isObject(noted) || typeof noted.node !== 'string' || typeof noted.prefix !== 'string')
      throw new Error('it names no node');
    return {
      node: noted.node,
      prefix: noted.prefix,
      blocks: parseList(noted.blocks),
      returning: parseList(noted.returning),
    };
  } catch (error) {
    throw new IpamError(
      'store',
      `Cannot read "${path}": ${error instanceof Error ? error.message : error}; remove it, and the next ADD reads this node's blocks from etcd`,
      { cause: error },
    );
  }
}

function parseList(value: unknown): Block[] {
  if (!Array.isArray(value)) throw new Error('a list of blocks is missing');
  return value.map((text) => {
    const block = typeof text === 'string' ? parseBlock(text) : undefined;
    if (block === undefined) throw new Error(`${JSON.stringify(text)} is not a block`);
    return block;
  });
}

/** Note the blocks. On return they are durable. Throws IpamError 'store', and then what was noted before still is. */
export function writeBlocks(directory: string, scope: BlockScope, { blocks, returning }: NotedBlocks): void {
  const path = join(directory, FILE);
  const temporary = `${path}.temporary`;
  const text = JSON.stringify({
    node: scope.node,
    prefix: scope.prefix,
    blocks: blocks.map(formatBlock),
    returning: returning.map(formatBlock),
  });
  try {
    const fd = openSync(temporary, 'w', 0o600);
    try {
      writeFileSync(fd, `${text}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectory(directory);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new IpamError('store', `Cannot write "${path}": ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } catch (error) {
    // Some file systems have no fsync for directories and say EINVAL.
    if (!(error instanceof Error && 'code' in error && error.code === 'EINVAL')) throw error;
  } finally {
    closeSync(fd);
  }
}
