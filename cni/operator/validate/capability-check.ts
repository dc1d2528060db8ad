// Whether a podlink entry declares the capabilities that its other keys only make sense with, and knows those it declares.

import { diagnose } from './configuration-diagnosis.ts';
import { describeValue, isObject } from '../../protocol/fields.ts';
import { error, type Fault, meant, valueAt, warning } from './fault.ts';
import { ANNOTATIONS } from '../../modes/mode-selection.ts';
import { CAPABILITIES, ENTRY_KEYS, FOREIGN_CAPABILITIES } from '../schema/key-schema.ts';

export function checkCapabilities(config: Readonly<Record<string, unknown>>): Fault[] {
  const capabilities = valueAt(config, 'capabilities');
  if (capabilities !== undefined && !isObject(capabilities)) {
    return [refused('capabilities', `must be an object, is ${describeValue(capabilities)}`)];
  }
  const declared = capabilities ?? {};
  return [...checkDeclared(declared), ...checkMissing(config, (name) => declared[name] === true)];
}

/** As the parsers would say it, who may have: it is told once. */
function refused(subject: string, found: string): Fault {
  return error(diagnose('value-refused', { subject, found }));
}

function checkDeclared(declared: Readonly<Record<string, unknown>>): Fault[] {
  return Object.entries(declared).flatMap(([name, value]): Fault[] => {
    if (typeof value !== 'boolean') {
      return [refused(`capabilities.${name}`, `must be true or false, is ${describeValue(value)}`)];
    }
    if (name in CAPABILITIES || !value) return [];
    if (FOREIGN_CAPABILITIES.includes(name)) {
      return [warning(diagnose('capability-foreign', { subject: name }))];
    }
    // Capabilities are matched by runtimes letter by letter.
    return [warning(diagnose('capability-unknown', { subject: name, ...meant(name, Object.keys(CAPABILITIES)) }))];
  });
}

function checkMissing(config: Readonly<Record<string, unknown>>, isDeclared: (name: string) => boolean): Fault[] {
  const faults = ENTRY_KEYS.flatMap(({ name, note: { capability } }) =>
    capability !== undefined && valueAt(config, name) !== undefined && !isDeclared(capability)
      ? [warning(diagnose('capability-undeclared', { subject: name, expected: capability }))]
      : [],
  );
  const allowed = valueAt(config, 'allowModes');
  if (Array.isArray(allowed) && allowed.length > 0 && !isDeclared(ANNOTATIONS)) {
    faults.push(warning(diagnose('annotations-undeclared', { expected: ANNOTATIONS })));
  }
  const ipam = valueAt(config, 'ipam');
  if (isObject(ipam) && valueAt(ipam, 'type') === 'static') {
    const addresses = valueAt(ipam, 'addresses');
    if ((!Array.isArray(addresses) || addresses.length === 0) && !isDeclared('ips')) {
      faults.push(warning(diagnose('addresses-missing')));
    }
  }
  const subnets = ['unshapedSubnets', 'shapedSubnets'].find((key) => valueAt(config, key) !== undefined);
  const hasRate = ['ingressRate', 'egressRate'].some((key) => Number(valueAt(config, key) ?? 0) > 0);
  if (subnets !== undefined && !hasRate && !isDeclared('bandwidth')) {
    faults.push(warning(diagnose('rate-missing', { subject: subnets })));
  }
  return faults;
}
