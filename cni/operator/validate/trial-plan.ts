// A plan as ADD makes it before it changes anything, made for `validate`: each part by itself, with fields that collect
// their faults, so that one pass finds all of them.

import { diagnose } from './configuration-diagnosis.ts';
import { IpamError } from '../../../ipam/errors.ts';
import { findIpamDriver } from '../../../ipam/registry.ts';
import { FEATURES } from '../../features/feature-registry.ts';
import { refuseUnservedProtection } from '../../features/firewall/unserved-protection.ts';
import { DEFAULT_MODE, findMode } from '../../modes/mode-registry.ts';
import type { SelectedMode } from '../../modes/mode.ts';
import { configuredMode, selectMode } from '../../modes/mode-selection.ts';
import { type NetworkConfig, networkConfigOf } from '../../protocol/config.ts';
import { FaultList, type Fields, isObject } from '../../protocol/fields.ts';
import type { Environment } from '../../protocol/request.ts';
import { readKey } from '../../protocol/schema.ts';
import { findIpam } from '../../verbs/ipam/ipam.ts';
import { parseLogPath } from '../../verbs/log/call-log.ts';
import type { PlanSource } from '../../verbs/plan-source.ts';
import { ENTRY_KEYS, IPAM_SECTIONS, type SchemaKey } from '../schema/key-schema.ts';
import { checkAddressing } from './addressing-check.ts';
import { error, type Fault, warning } from './fault.ts';

type RawConfig = Readonly<Record<string, unknown>>;

export interface Trial {
  readonly env: Environment;
  /** Undefined when it is not known where plugins are. */
  readonly pluginDirs: readonly string[] | undefined;
  /** The mode to plan for; undefined: the one that the configuration itself comes to. */
  readonly mode?: Pick<SelectedMode, 'mode' | 'target'> | undefined;
}

/** List the faults that ADD would report of a configuration, and those that it would meet later although they can be seen in it. */
export function tryPlan(raw: RawConfig, trial: Trial): Fault[] {
  return new TrialPlan(raw, trial).run();
}

class TrialPlan {
  readonly #trial: Trial;
  readonly #faults = new FaultList();
  readonly #config: NetworkConfig;
  readonly #fields: Fields;
  readonly #raw: RawConfig;
  /** Errors without a place in the configuration. */
  readonly #errors: Fault[] = [];
  readonly #warnings: Fault[] = [];

  constructor(raw: RawConfig, trial: Trial) {
    this.#trial = trial;
    this.#raw = raw;
    this.#config = networkConfigOf(raw, this.#faults);
    this.#fields = this.#config.fields;
  }

  run(): Fault[] {
    const fields = this.#fields;
    this.#attempt(() => parseLogPath(fields));
    this.#attempt(() => refuseUnservedProtection(fields));
    const selected = this.#select();
    const mode = findMode(selected.mode) ?? DEFAULT_MODE;
    const isConfigured = mode === (this.#attempt(() => configuredMode(fields)) ?? DEFAULT_MODE);
    const key = { network: this.#config.name, containerId: 'validate', ifname: 'eth0' };
    const request = { key, config: this.#config, cniArgs: new Map<string, string>() };
    const warn = (found: string) => void this.#warnings.push(warning(diagnose('entry-warned-of', { found })));

    const { env } = this.#trial;
    const caller: PlanSource = { ...request, env, path: [], input: () => JSON.stringify(this.#raw), warn };
    const ipam = mode.hasOwnInterface ? this.#attempt(() => findIpam(caller)) : undefined;
    this.#attempt(() => mode.plan({ ...request, selected, hasIpam: ipam !== undefined, findPeers: () => [] }));
    const { hasOwnInterface, hasBridge, sharesNamespace } = mode;
    const traits = { hasOwnInterface, hasBridge, sharesNamespace };
    for (const feature of FEATURES) {
      this.#attempt(() => feature.plan({ ...request, ...traits, mode: mode.name, isConfigured, warn }));
    }
    this.#attempt(() => [this.#config.dns, this.#config.requestedDns]);
    // Another plugin may not be installed on the machine that validates, and has to see to its section itself.
    const section = mode.hasOwnInterface ? fields.object('ipam') : undefined;
    const driver = findIpamDriver(this.#attempt(() => section?.string('type')) ?? '');
    if (ipam && driver && section && !isFilledByRuntime(fields, section)) this.#attempt(() => ipam.prepare());

    // The keys that ADD reads only on a day that it needs them.
    const used = ENTRY_KEYS.filter((each) => each.isUsedIn(mode) && isDeclared(fields, each.note.capability));
    this.#sweep(fields, used);
    if (driver && section) this.#sweep(section, IPAM_SECTIONS.get(driver.type)?.keys ?? []);
    const addressing =
      ipam && section ? checkAddressing(this.#config, { ipam: section, pluginDirs: this.#trial.pluginDirs }) : [];
    return [...this.#refusals(), ...this.#errors, ...this.#warnings, ...addressing];
  }

  #select(): SelectedMode {
    const { mode } = this.#trial;
    if (mode) return { ...mode, isPodsChoice: false, allowed: [] };
    const selected = this.#attempt(() => selectMode(this.#config, new Map()));
    if (selected) return selected;
    // The file asks in the place of a pod for what it may not have.
    const { name } = this.#attempt(() => configuredMode(this.#fields)) ?? DEFAULT_MODE;
    return { mode: name, target: undefined, isPodsChoice: false, allowed: [] };
  }

  /** Do a part. Its error is reported, unless it may follow from a fault that is reported already. */
  #attempt<Value>(part: () => Value): Value | undefined {
    const before = this.#faults.all.length;
    try {
      return this.#fields.part(part);
    } catch (thrown) {
      const isOfAddressing = ({ path }: { readonly path: string }) => /^(ipam|runtimeConfig|args)\b/i.test(path);
      const mayFollow =
        this.#faults.all.length > before || (thrown instanceof IpamError && this.#faults.all.some(isOfAddressing));
      const found = thrown instanceof Error ? thrown.message : String(thrown);
      if (!mayFollow) this.#errors.push(error(diagnose('entry-refused', { found })));
      return undefined;
    }
  }

  /** Read all keys that are there by their rows, those of objects below too. */
  #sweep(fields: Fields, keys: readonly SchemaKey[]): void {
    for (const { name, row, keys: below } of keys) {
      if (fields.get(name) === undefined) continue;
      this.#attempt(() => readKey(fields, { [name]: row }, name));
      if (below.length === 0) continue;
      const values = row.type === 'object' ? [fields.object(name)] : this.#objectsOf(fields, name, row.type);
      for (const value of values) if (value) this.#sweep(value, below);
    }
  }

  #objectsOf(fields: Fields, name: string, type: SchemaKey['row']['type']): readonly Fields[] {
    if (type === 'objects') return fields.objects(name) ?? [];
    return fields
      .items(fields.list(name) ?? [], fields.at(name), (list, path) =>
        Array.isArray(list) ? fields.items(list, path, (item, at) => fields.child(item, at)) : [],
      )
      .flat();
  }

  #refusals(): Fault[] {
    // Files of the node, which the machine that validates may lack.
    return this.#faults.all.map(({ path, problem, isOfMachine }) =>
      (isOfMachine ? warning : error)(diagnose('value-refused', { subject: path, found: problem })),
    );
  }
}

/** Whether the runtime is to hand over the arguments for a capability; true for a key that needs none. */
function isDeclared(fields: Fields, capability: string | undefined): boolean {
  if (capability === undefined) return true;
  const capabilities = fields.get('capabilities');
  return isObject(capabilities) && capabilities[capability] === true;
}

/** Whether the ranges come with each call. */
function isFilledByRuntime(fields: Fields, ipam: Fields): boolean {
  return isDeclared(fields, 'ipRanges') && ipam.get('ranges') === undefined && ipam.get('subnet') === undefined;
}
