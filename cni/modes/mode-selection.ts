// Which mode a container gets, and whose decision it is. The first that applies:
//
//   1. an entry of `overrides` whose glob matches the pod: the operator's decision
//   2. what the pod asks for, if `allowModes` names that mode: a pod must not let itself into the host's network
//   3. `mode` of the configuration

import type { NetworkConfig } from '../protocol/config.ts';
import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES } from '../protocol/errors.ts';
import { describeValue, FieldError, type Fields } from '../protocol/fields.ts';

export const MODE_NAMES = ['bridge', 'host', 'container', 'none'] as const;
export type ModeName = (typeof MODE_NAMES)[number];

export interface SelectedMode {
  readonly mode: ModeName;
  /** For container mode: whose namespace. Not parsed yet. */
  readonly target: string | undefined;
  /** Whether the pod named mode and target itself, so that only what the operator allows may come of them. */
  readonly isPodsChoice: boolean;
  /** Modes a pod may choose. */
  readonly allowed: readonly ModeName[];
}

/** Capability by which containerd and CRI-O hand over a pod's annotations. */
const ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

/**
 * Decide on a container's mode. Throws FieldError for a wrong configuration, CniError 4 when the pod asks for a mode
 * that it may not have or that does not exist.
 */
export function selectMode(config: NetworkConfig, cniArgs: ReadonlyMap<string, string>): SelectedMode {
  const { fields } = config;
  const configured = fields.oneOf('mode', MODE_NAMES) ?? 'bridge';
  const target = fields.string('target');
  const allowed = parseAllowModes(fields);
  const override = findOverride(fields, cniArgs);
  if (override) return { ...override, isPodsChoice: false, allowed };
  const wish = podsWish(config, cniArgs);
  if (!wish) return { mode: configured, target, isPodsChoice: false, allowed };
  const mode = MODE_NAMES.find((name) => name === wish.mode);
  if (!mode) {
    throw new CniError(
      ERR_INVALID_ENVIRONMENT_VARIABLES,
      `Invalid ${wish.source}: must be one of ${MODE_NAMES.join(', ')}, is ${describeValue(wish.mode)}`,
    );
  }
  if (!allowed.includes(mode)) {
    throw new CniError(
      ERR_INVALID_ENVIRONMENT_VARIABLES,
      `Invalid ${wish.source}: network "${config.name}" does not let a pod choose mode "${mode}" (its "allowModes" is ${describeValue(allowed)})`,
    );
  }
  return { mode, target: wish.target, isPodsChoice: true, allowed };
}

function parseAllowModes(fields: Fields): ModeName[] {
  return (fields.strings('allowModes') ?? []).map((name, i) => {
    const mode = MODE_NAMES.find((word) => word === name);
    if (!mode)
      throw new FieldError(`${fields.at('allowModes')}[${i}]`, `must be one of ${MODE_NAMES.join(', ')}, is "${name}"`);
    return mode;
  });
}

function findOverride(
  fields: Fields,
  cniArgs: ReadonlyMap<string, string>,
): Pick<SelectedMode, 'mode' | 'target'> | undefined {
  const pod = `${cniArgs.get('K8S_POD_NAMESPACE') ?? ''}/${cniArgs.get('K8S_POD_NAME') ?? ''}`;
  // All are read, whichever matches: a wrong entry is found before the one pod comes that it is for.
  const overrides = (fields.objects('overrides') ?? []).map((entry) => {
    const glob = entry.string('pod');
    const mode = entry.oneOf('mode', MODE_NAMES);
    if (glob === undefined || !glob.includes('/'))
      throw new FieldError(entry.at('pod'), 'must be a pattern NAMESPACE/NAME, such as "kube-system/*"');
    if (mode === undefined) throw new FieldError(entry.at('mode'), `must be one of ${MODE_NAMES.join(', ')}`);
    return { glob, mode, target: entry.string('target') };
  });
  return overrides.find(({ glob }) => matchesGlob(pod, glob));
}

/** `*` stands for any number of characters but "/", `?` for one. */
export function matchesGlob(text: string, glob: string): boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]');
  return new RegExp(`^${pattern}$`).test(text);
}

/** What the pod asks for by annotation, `args.cni` or CNI_ARGS, in this order. */
function podsWish(
  config: NetworkConfig,
  cniArgs: ReadonlyMap<string, string>,
): { mode: string; target: string | undefined; source: string } | undefined {
  const annotations = config.runtimeConfig.object(ANNOTATIONS);
  const annotated = annotations?.string('podlink.dev/mode');
  if (annotated) {
    return {
      mode: annotated,
      target: annotations?.string('podlink.dev/target'),
      source: 'annotation podlink.dev/mode',
    };
  }
  const asked = config.argsCni.string('mode');
  if (asked) return { mode: asked, target: config.argsCni.string('target'), source: 'args.cni.mode' };
  const argument = cniArgs.get('MODE');
  return argument ? { mode: argument, target: cniArgs.get('TARGET'), source: 'MODE in CNI_ARGS' } : undefined;
}
