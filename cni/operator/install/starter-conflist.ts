// The configuration that `install` writes on request: one bridge for the pods of the node, in addresses of its own.

import { parseRange } from '../../../ipam/range/range.ts';
import { FieldError, Fields } from '../../protocol/fields.ts';
import { validateNetworkName } from '../../protocol/name.ts';
import { CniError } from '../../protocol/errors.ts';
import { UsageError } from '../cli/command.ts';

export const CONFLIST_NAME = '10-podlink.conflist';
export const DEFAULT_NETWORK = 'pods';

/** What podlink does itself, and no other plugin of the list. */
const CAPABILITIES = ['portMappings', 'bandwidth', 'ips', 'mac', 'dns'];

/** 1.0.0: containerd before 2.0 and Podman do not speak 1.1.0. */
const CNI_VERSION = '1.0.0';

/**
 * The text of the configuration. `subnets`: one of each family at most, in CIDR notation.
 *
 * Throws UsageError that names the option.
 */
export function formatStarterConflist(network: string, subnets: readonly string[]): string {
  checkName(network);
  const conflist = {
    cniVersion: CNI_VERSION,
    name: network,
    plugins: [
      {
        type: 'podlink',
        bridge: 'cni0',
        isDefaultGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: { type: 'host-local', ranges: checkSubnets(subnets).map((subnet) => [{ subnet }]) },
        capabilities: Object.fromEntries(CAPABILITIES.map((name) => [name, true])),
      },
    ],
  };
  return `${JSON.stringify(conflist, undefined, 2)}\n`;
}

function checkName(network: string): void {
  try {
    validateNetworkName(network);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    const rule = 'must be letters, digits, "_", "." and "-", beginning with a letter or digit';
    throw new UsageError(`--network ${rule}, is "${network}"`);
  }
}

function checkSubnets(subnets: readonly string[]): readonly string[] {
  if (subnets.length === 0) throw new RangeError('Not a configuration: it has no subnet');
  const ranges = subnets.map((subnet) => {
    try {
      return parseRange(new Fields({ subnet }));
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      throw new UsageError(`--subnet "${subnet}": ${error.problem}`);
    }
  });
  for (const family of [4, 6]) {
    const number = ranges.filter((range) => range.family === family).length;
    if (number > 1) throw new UsageError(`--subnet: one of IPv${family} is enough, ${number} are given`);
  }
  return subnets;
}
