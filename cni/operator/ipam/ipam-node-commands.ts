// `ipam nodes|release-node`: which node has which blocks of a pool that a cluster shares (see ipam/etcd/etcd.ts), and to take
// them from one that is gone.

import { type ConnectEtcd, leaveCluster, openClaims } from '../../../ipam/etcd/etcd.ts';
import { type NodeState, SIGN_OF_LIFE_SECONDS } from '../../../ipam/etcd/etcd-claims.ts';
import { connectGateway } from '../../../ipam/etcd/etcd-client.ts';
import { type EtcdConfig, parseEtcdConfig } from '../../../ipam/etcd/etcd-config.ts';
import { isClusterPool } from '../../../ipam/inventory.ts';
import { type AddressBook, listAddressBooks } from '../listing/address-book.ts';
import { formatTime } from '../listing/age.ts';
import { type Call, type Command, CommandError, CONF_DIR_OPTION, NETWORK_OPTION } from '../cli/command.ts';
import { suggest } from '../cli/spelling.ts';
import { count, formatTable, printable, type Style } from '../cli/text-table.ts';

interface Pool {
  readonly book: AddressBook;
  readonly config: EtcdConfig;
}

interface PoolNode extends NodeState {
  readonly aliveUntil: string | undefined;
  readonly isThisNode: boolean;
}

interface Release {
  readonly network: string;
  readonly released: readonly string[];
  /** Blocks of this node that it has reserved addresses of. */
  readonly kept: readonly string[];
}

/** The commands, by another way to etcd than the network when a test says so. */
export function ipamNodeCommands(connect: ConnectEtcd): readonly [nodes: Command, releaseNode: Command] {
  return [
    {
      name: 'ipam nodes',
      summary: 'list the nodes of shared pools, and the blocks each has claimed',
      description:
        'For networks whose IPAM is podlink-etcd; asks etcd. A node is alive for 15 minutes after its last sign of life, which it gives when it speaks to etcd, on STATUS and on GC.',
      arguments: [],
      options: [NETWORK_OPTION, CONF_DIR_OPTION],
      async run(call) {
        const pools: { network: string; nodes: PoolNode[] }[] = [];
        for (const { book, config } of listPools(call)) {
          pools.push({ network: book.network, nodes: await listNodes(book, config, connect) });
        }
        return {
          json: pools.map(({ network, nodes }) => ({
            network,
            nodes: nodes.map(({ node, isAlive, aliveUntil = null, isThisNode, blocks }) => ({
              ...{ node, isAlive, aliveUntil, isThisNode, blocks },
            })),
          })),
          text: (style) => describeNodes(pools, style),
        };
      },
    },
    {
      name: 'ipam release-node',
      summary: 'release the blocks of a node that has left the cluster',
      description:
        'Only of a node that is off: what still runs there would go on using addresses that others get. Refused for a node that is alive, unless --force. For this node itself its empty blocks are released, and its sign of life with the last of them: drain it first, and remove its configuration. Exit status 1 when this node keeps a block.',
      arguments: [{ name: 'NODE', isRequired: true }],
      options: [
        NETWORK_OPTION,
        CONF_DIR_OPTION,
        { name: 'force', summary: 'also of a node that is alive, and blocks with addresses in use' },
      ],
      async run(call) {
        const [node = ''] = call.args;
        const releases = await releaseNode(call, node, connect);
        return {
          json: { node, networks: releases },
          text: () => releases.map((release) => describeRelease(node, release)).join('\n'),
          hasFinding: releases.some(({ kept }) => kept.length > 0),
        };
      },
    },
  ];
}

export const [ipamNodesCommand, ipamReleaseNodeCommand] = ipamNodeCommands(connectGateway);

/** The pools of the networks, each once, by what the configuration says now before what an attachment was made with. */
function listPools(call: Call): Pool[] {
  const pools = listAddressBooks(call)
    .filter(({ request }) => isClusterPool(request))
    .map((book) => ({ book, config: parseEtcdConfig(book.request.ipam) }));
  const keyOf = ({ book, config: { endpoints, prefix } }: Pool) => JSON.stringify([book.network, endpoints, prefix]);
  return [...new Map(pools.toReversed().map((pool) => [keyOf(pool), pool])).values()].toReversed();
}

async function listNodes({ request, network }: AddressBook, config: EtcdConfig, connect: ConnectEtcd) {
  const states = await openClaims(request.ipam, network, connect).listNodes();
  return states.map((state): PoolNode => {
    const seen = Date.parse(state.seen ?? '');
    const end = Number.isNaN(seen) ? undefined : new Date(seen + SIGN_OF_LIFE_SECONDS * 1000).toISOString();
    return { ...state, aliveUntil: end, isThisNode: state.node === config.node };
  });
}

/** Throws CommandError when no pool knows the node, and IpamError 'taken' before anything is changed when it is alive. */
async function releaseNode(call: Call, node: string, connect: ConnectEtcd): Promise<Release[]> {
  const force = call.isSet('force');
  const known = new Set<string>();
  const pools: Pool[] = [];
  for (const pool of listPools(call)) {
    const states = await listNodes(pool.book, pool.config, connect);
    for (const state of states) known.add(state.node);
    if (states.some((state) => state.node === node)) pools.push(pool);
  }
  if (pools.length === 0) throw unknownNode(call, node, [...known]);
  const releases: Release[] = [];
  for (const { book, config } of pools) {
    const { network, request } = book;
    if (config.node === node) {
      releases.push({ network, ...(await leaveCluster(request, { force }, connect)) });
    } else {
      const released = await openClaims(request.ipam, network, connect).releaseNode(node, { force });
      releases.push({ network, released, kept: [] });
    }
  }
  return releases;
}

function unknownNode(call: Call, node: string, known: readonly string[]): CommandError {
  const network = call.valueOf(NETWORK_OPTION.name);
  const where = network === undefined ? '' : ` in network "${network}"`;
  const advice = suggest(node, known) || ' ("podlink ipam nodes" lists them)';
  return new CommandError(`no node "${printable(node)}" has a block or gives a sign of life${where}${advice}`);
}

function describeNodes(pools: readonly { network: string; nodes: readonly PoolNode[] }[], style: Style): string {
  const rows = pools.flatMap(({ network, nodes }) =>
    nodes.map(({ node, isAlive, aliveUntil, isThisNode, blocks }) => [
      network,
      isThisNode ? `${node} (this node)` : node,
      isAlive ? formatTime(aliveUntil ?? 'alive') : ({ text: 'not alive', colour: 'yellow' } as const),
      blocks.join(', '),
    ]),
  );
  return formatTable(['NETWORK', 'NODE', 'ALIVE UNTIL', 'BLOCKS'], rows, style);
}

function describeRelease(node: string, { network, released, kept }: Release): string {
  const list = released.length > 0 ? `: ${released.join(', ')}` : '';
  const done = `released ${count(released.length, 'block')} of node "${node}" in network "${network}"${list}`;
  if (kept.length === 0) return done;
  return `${done}\nkept ${kept.join(', ')}, with addresses that are reserved ("podlink ipam ls" lists them): drain the node, or use --force`;
}
