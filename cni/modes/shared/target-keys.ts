// The keys of container mode: whose namespace a container shares.

import { type KeyRows, keyTable } from '../../protocol/schema.ts';

export const TARGET_KEYS = {
  target: { type: 'string' },
  targetPaths: { type: 'strings', default: [] },
} as const satisfies KeyRows;

export const TARGET_TABLE = keyTable(TARGET_KEYS, () => ({
  title: 'Mode container',
  notes: {
    target: {
      about: 'The container whose namespace is shared: `infra`, `pod:NAMESPACE/NAME`, `container:ID` or `netns:/path`.',
      otherwise: '`infra`',
    },
    targetPaths: 'Patterns of the paths that a pod may name as `netns:/path` when it chooses for itself.',
  },
}));
