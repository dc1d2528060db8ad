// What is wrong with one podlink entry of a configuration: all that an ADD would refuse, found in one go, and what it
// would accept although it can hardly be meant.

import { diagnose } from './configuration-diagnosis.ts';
import type { Mode } from '../../modes/mode.ts';
import { DEFAULT_MODE, findMode } from '../../modes/mode-registry.ts';
import { isObject } from '../../protocol/fields.ts';
import type { Environment } from '../../protocol/request.ts';
import { checkCapabilities } from './capability-check.ts';
import { type Fault, valueAt, warning } from './fault.ts';
import { checkEmptyTexts, checkKeys, checkUnusedKeys } from './key-check.ts';
import { tryPlan } from './trial-plan.ts';

type RawConfig = Readonly<Record<string, unknown>>;

/** A mode that a pod may get by a configuration. */
interface PossibleMode {
  readonly mode: Mode;
  /** Undefined for the configuration's own. */
  readonly override: { readonly mode: string; readonly target: string | undefined } | undefined;
}

/**
 * `config`: the entry as the runtime hands it over, with name and cniVersion. `pluginDirs`: undefined when it is not
 * known where plugins are. Nothing is changed, no plugin is run.
 */
export function checkEntry(config: RawConfig, env: Environment, pluginDirs?: readonly string[]): Fault[] {
  const base = valueAt(config, 'mode') ?? DEFAULT_MODE.name;
  const own = findMode(String(base));
  const modes = [{ mode: own ?? DEFAULT_MODE, override: undefined }, ...otherModesOf(config, base)];
  const refusals = checkPlans(config, modes, { env, pluginDirs });
  const faults = [
    ...checkKeys(config),
    ...refusals,
    ...checkEmptyTexts(config, refusals),
    // With a mode that there is not, nobody knows which keys it was to use.
    ...(own
      ? checkUnusedKeys(
          config,
          modes.map(({ mode }) => mode),
        )
      : []),
    ...checkRuntimeKeys(config),
    ...checkCapabilities(config),
    ...checkAllowedModes(config),
  ];
  return [...new Map(faults.map((fault) => [JSON.stringify(fault.diagnosis), fault])).values()];
}

/** All that the parsers refuse, in every mode that a pod may get by this configuration. */
function checkPlans(
  config: RawConfig,
  modes: readonly PossibleMode[],
  options: { readonly env: Environment; readonly pluginDirs: readonly string[] | undefined },
): Fault[] {
  const found = modes.flatMap(({ mode, override }) =>
    tryPlan(config, { ...options, mode: override }).map((fault) => ({ mode, override, fault })),
  );
  const sames = Map.groupBy(found, ({ fault: { diagnosis } }) => JSON.stringify(diagnosis));
  return [...sames.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    if (group.some(({ override }) => !override)) return first.fault;
    const names = [...new Set(group.map(({ mode: { name } }) => name))];
    return { ...first.fault, diagnosis: { ...first.fault.diagnosis, modes: names } };
  });
}

/** List the modes that `overrides` and `allowModes` let a pod have beside the configuration's own, each once. */
function otherModesOf(config: RawConfig, base: unknown): PossibleMode[] {
  const overrides = valueAt(config, 'overrides');
  const allowed = valueAt(config, 'allowModes');
  const others = [
    ...(Array.isArray(overrides) ? overrides : []).flatMap((entry: unknown) =>
      isObject(entry) ? [{ name: valueAt(entry, 'mode'), target: valueAt(entry, 'target') }] : [],
    ),
    ...(Array.isArray(allowed) ? allowed : []).map((name: unknown) => ({ name, target: undefined })),
  ];
  const possible = others.flatMap(({ name, target }) => {
    const mode = typeof name === 'string' && name !== base ? findMode(name) : undefined;
    if (!mode) return [];
    return [{ mode, override: { mode: mode.name, target: typeof target === 'string' ? target : undefined } }];
  });
  return [...new Map(possible.map((each) => [`${each.mode.name} ${each.override.target}`, each])).values()];
}

/** A pod that may choose the host's network is past everything that asks who may have `hostNetwork`. */
function checkAllowedModes(config: RawConfig): Fault[] {
  const allowed = valueAt(config, 'allowModes');
  const modes = (Array.isArray(allowed) ? allowed : []).map((name: unknown) => findMode(String(name)));
  const host = modes.find((mode) => mode?.sharesHost);
  if (!host) return [];
  return [warning(diagnose('host-mode-allowed', { object: host.name }))];
}

/** What a runtime puts in, and nobody else. */
function checkRuntimeKeys(config: RawConfig): Fault[] {
  return ['runtimeConfig', 'prevResult']
    .filter((key) => valueAt(config, key) !== undefined)
    .map((key) => warning(diagnose('key-of-runtime', { subject: key })));
}
