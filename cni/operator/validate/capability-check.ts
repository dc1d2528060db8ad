// Whether a podlink entry declares the capabilities that its other keys only make sense with, and knows those it declares.

import { describeValue, isObject } from '../../protocol/fields.ts';
import { type Fault, valueAt, warning } from './fault.ts';
import { ANNOTATIONS } from '../../modes/mode-selection.ts';
import { suggest } from '../cli/spelling.ts';
import { CAPABILITIES, ENTRY_KEYS, FOREIGN_CAPABILITIES } from '../schema/key-schema.ts';

export function checkCapabilities(config: Readonly<Record<string, unknown>>): Fault[] {
  const capabilities = valueAt(config, 'capabilities');
  if (capabilities !== undefined && !isObject(capabilities)) {
    return [
      { level: 'error', message: `Invalid "capabilities": must be an object, is ${describeValue(capabilities)}` },
    ];
  }
  const declared = capabilities ?? {};
  return [...checkDeclared(declared), ...checkMissing(config, (name) => declared[name] === true)];
}

function checkDeclared(declared: Readonly<Record<string, unknown>>): Fault[] {
  return Object.entries(declared).flatMap(([name, value]): Fault[] => {
    if (typeof value !== 'boolean') {
      const problem = `must be true or false, is ${describeValue(value)}`;
      return [{ level: 'error', message: `Invalid "capabilities.${name}": ${problem}` }];
    }
    if (name in CAPABILITIES || !value) return [];
    if (FOREIGN_CAPABILITIES.includes(name)) {
      return [warning(`capability "${name}" has no effect here: podlink leaves it to other plugins`)];
    }
    // Capabilities are matched by runtimes letter by letter.
    return [warning(`unknown capability "${name}"${suggest(name, Object.keys(CAPABILITIES))}`)];
  });
}

function checkMissing(config: Readonly<Record<string, unknown>>, isDeclared: (name: string) => boolean): Fault[] {
  const faults = ENTRY_KEYS.flatMap(({ name, note: { capability } }) =>
    capability !== undefined && valueAt(config, name) !== undefined && !isDeclared(capability)
      ? [warning(`"${name}" has no effect without "capabilities": {"${capability}": true}`)]
      : [],
  );
  const allowed = valueAt(config, 'allowModes');
  if (Array.isArray(allowed) && allowed.length > 0 && !isDeclared(ANNOTATIONS)) {
    faults.push(
      warning(
        `"allowModes" without "capabilities": {"${ANNOTATIONS}": true}: a pod's annotations do not get here, and it can choose by CNI_ARGS or args.cni only`,
      ),
    );
  }
  const ipam = valueAt(config, 'ipam');
  if (isObject(ipam) && valueAt(ipam, 'type') === 'static') {
    const addresses = valueAt(ipam, 'addresses');
    if ((!Array.isArray(addresses) || addresses.length === 0) && !isDeclared('ips')) {
      faults.push(
        warning('"ipam" of type "static" has no "addresses" and gets none without "capabilities": {"ips": true}'),
      );
    }
  }
  const subnets = ['unshapedSubnets', 'shapedSubnets'].filter((key) => valueAt(config, key) !== undefined);
  const hasRate = ['ingressRate', 'egressRate'].some((key) => Number(valueAt(config, key) ?? 0) > 0);
  if (subnets.length > 0 && !hasRate && !isDeclared('bandwidth')) {
    faults.push(warning(`"${subnets[0]}" has no effect without a rate or "capabilities": {"bandwidth": true}`));
  }
  return faults;
}
