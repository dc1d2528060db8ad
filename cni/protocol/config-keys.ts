// The keys that every plugin's entry may have, and those of a list of plugins (CNI specification, "Network configuration
// format"). They are read by config.ts, or by runtimes alone.

import { nameserversAt } from './address.ts';
import { type KeyNotes, type KeyRows, keyTable } from './schema.ts';
import { SUPPORTED_VERSIONS } from './version.ts';

const DNS_KEYS = {
  nameservers: { type: 'strings', read: nameserversAt },
  domain: { type: 'string' },
  search: { type: 'strings' },
  options: { type: 'strings' },
} as const satisfies KeyRows;

/** An object `dns`, of an entry or of IPAM. */
export const DNS_ROW = { type: 'object', keys: DNS_KEYS } as const;

export const DNS_NOTES = (): KeyNotes<typeof DNS_KEYS> => ({
  nameservers: 'Addresses of name servers.',
  domain: 'The local domain.',
  search: 'Domains to look for short names in.',
  options: 'Options of resolv.conf.',
});

export const ENTRY_TABLE = keyTable(
  {
    $schema: { type: 'any' },
    cniVersion: { type: 'string', words: SUPPORTED_VERSIONS },
    name: { type: 'string' },
    type: { type: 'string' },
    capabilities: { type: 'object' },
    runtimeConfig: { type: 'object' },
    args: { type: 'object' },
    prevResult: { type: 'object' },
    ipam: { type: 'object' },
    dns: DNS_ROW,
  },
  () => ({
    title: 'Every plugin',
    notes: {
      $schema: 'Where an editor finds the schema of the file; nobody else reads it.',
      cniVersion: { about: 'The version of the protocol; in a list it stands beside `plugins`.', otherwise: '`0.1.0`' },
      name: 'The name of the network; in a list it stands beside `plugins`.',
      type: { about: 'The plugin: `podlink`.', isRequired: true, allowed: ['podlink'] },
      capabilities: {
        about: 'The arguments that the runtime is to hand over, each as `NAME: true`.',
        values: 'boolean',
      },
      runtimeConfig: 'The arguments for the capabilities; the runtime fills it in.',
      args: 'Further arguments, as `cni`; before the keys of the entry, behind those of the capabilities.',
      prevResult: 'The result of the plugins before this one; the runtime fills it in.',
      ipam: {
        about: 'Where the addresses come from: see IPAM.',
        otherwise: 'an interface without addresses',
        needs: 'hasOwnInterface',
      },
      dns: {
        about: "The DNS settings of the result, in the place of IPAM's.",
        keys: DNS_NOTES(),
      },
    },
    capabilities: {
      dns: { about: '`servers`, `searches`, `options`: each in the place of that list of the result.' },
    },
  }),
);

/** A list of plugins; runtimes read it, and what Podman (its labels) and nerdctl keep there for themselves. */
export const LIST_TABLE = keyTable(
  {
    $schema: { type: 'any' },
    cniVersion: { type: 'string', words: SUPPORTED_VERSIONS },
    cniVersions: { type: 'strings' },
    name: { type: 'string' },
    disableCheck: { type: 'any' },
    disableGC: { type: 'any' },
    loadOnlyInlinedPlugins: { type: 'any' },
    plugins: { type: 'objects' },
    args: { type: 'any' },
    nerdctlID: { type: 'any' },
    nerdctlLabels: { type: 'any' },
  },
  () => ({
    title: 'List of plugins',
    notes: {
      $schema: 'Where an editor finds the schema of the file; nobody else reads it.',
      cniVersion: { about: 'The version of the protocol.', otherwise: '`0.1.0`' },
      cniVersions: 'Versions of which the runtime takes the highest that it knows.',
      name: {
        about: 'The name of the network: letters, digits, "_", "." and "-", at most 255 of them.',
        isRequired: true,
        pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$',
      },
      disableCheck: 'Have the runtime not call CHECK.',
      disableGC: 'Have the runtime not call GC.',
      loadOnlyInlinedPlugins: 'Have the runtime read no plugins from a folder beside the file.',
      plugins: { about: 'The plugins, in the order in which ADD runs them.', isRequired: true },
      args: "Podman's, for the labels of its network.",
      nerdctlID: 'Of nerdctl.',
      nerdctlLabels: 'Of nerdctl.',
    },
  }),
);
