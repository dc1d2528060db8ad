// Which mode a container gets, and whose decision it is. The first that applies:
//
//   1. an entry of `overrides` whose glob matches the pod: the operator's decision
//   2. what the pod asks for, if `allowModes` names that mode: a pod must not let itself into the host's network
//   3. `mode` of the configuration

import type { NetworkConfig } from '../protocol/config.ts';
import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES } from '../protocol/errors.ts';
import { describeValue, FieldError, type Fields } from '../protocol/fields.ts';
import { type KeyRows, keyTable, read, readKey } from '../protocol/schema.ts';
import { matchesGlob } from './glob.ts';
import type { Mode, SelectedMode } from './mode.ts';
import { DEFAULT_MODE, findMode, MODES } from './mode-registry.ts';
import { TARGET_KEYS } from './shared/target-keys.ts';

const MODE_NAMES: readonly string[] = MODES.map(({ name }) => name);

/** Capability by which containerd and CRI-O hand over a pod's annotations. */
export const ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

const OVERRIDE_KEYS = {
  pod: { type: 'string' },
  mode: { type: 'string', words: MODE_NAMES },
  target: { type: 'string' },
} as const satisfies KeyRows;

const SELECTION_KEYS = {
  mode: { type: 'string', words: MODE_NAMES, default: DEFAULT_MODE.name },
  allowModes: { type: 'strings', words: MODE_NAMES, default: [], read: allowModesAt },
  overrides: { type: 'objects', keys: OVERRIDE_KEYS, default: [], read: overridesAt },
} as const satisfies KeyRows;

export const SELECTION_TABLE = keyTable(SELECTION_KEYS, () => ({
  title: 'Modes',
  notes: {
    mode: 'How a container gets its network.',
    allowModes: 'The modes that a pod may choose for itself, by an annotation, `args.cni` or CNI_ARGS.',
    overrides: {
      about: 'The modes of single pods, by the operator; the first entry that matches holds, before all else.',
      keys: {
        pod: {
          about: 'A pattern `NAMESPACE/NAME` in which `*` and `?` stand for characters but "/".',
          isRequired: true,
          pattern: '/',
        },
        mode: { about: 'The mode of the pods that match.', isRequired: true },
        target: 'As the key `target`.',
      },
    },
  },
  capabilities: {
    [ANNOTATIONS]: {
      about: "A pod's annotations `podlink.dev/mode` and `podlink.dev/target`, by which it chooses its mode.",
    },
  },
}));

/** The mode that a configuration has for pods nobody says anything else of. Throws FieldError. */
export function configuredMode(fields: Fields): Mode {
  return findMode(readKey(fields, SELECTION_KEYS, 'mode')) ?? DEFAULT_MODE;
}

/**
 * Decide on a container's mode. Throws FieldError for a wrong configuration, CniError 4 when the pod asks for a mode
 * that it may not have or that does not exist.
 */
export function selectMode(config: NetworkConfig, cniArgs: ReadonlyMap<string, string>): SelectedMode {
  const { fields } = config;
  const target = readKey(fields, TARGET_KEYS, 'target');
  const { mode: configured, allowModes: allowed, overrides } = read(fields, SELECTION_KEYS);
  const pod = `${cniArgs.get('K8S_POD_NAMESPACE') ?? ''}/${cniArgs.get('K8S_POD_NAME') ?? ''}`;
  const override = overrides.find(({ glob }) => matchesGlob(pod, glob));
  if (override) return { mode: override.mode, target: override.target, isPodsChoice: false, allowed };
  const wish = podsWish(config, cniArgs);
  if (!wish) return { mode: configured, target, isPodsChoice: false, allowed };
  const { mode } = wish;
  if (!MODE_NAMES.includes(mode)) {
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

function allowModesAt(fields: Fields, key: string): string[] | undefined {
  return fields.strings(key, (name, path) => {
    if (MODE_NAMES.includes(name)) return name;
    throw new FieldError(path, `must be one of ${MODE_NAMES.join(', ')}, is "${name}"`);
  });
}

interface Override {
  readonly glob: string;
  readonly mode: string;
  readonly target: string | undefined;
}

/** All are read, whichever matches: a wrong entry is found before the one pod comes that it is for. */
function overridesAt(fields: Fields, key: string): Override[] | undefined {
  const entries = fields.objects(key);
  return entries && fields.items(entries, fields.at(key), readOverride);
}

function readOverride(entry: Fields): Override {
  const { pod: glob, mode, target } = read(entry, OVERRIDE_KEYS);
  if (glob === undefined || !glob.includes('/'))
    throw new FieldError(entry.at('pod'), 'must be a pattern NAMESPACE/NAME, such as "kube-system/*"');
  if (mode === undefined) throw new FieldError(entry.at('mode'), `must be one of ${MODE_NAMES.join(', ')}`);
  return { glob, mode, target };
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
