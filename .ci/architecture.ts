// The rules of the architecture, as data: which folder may import which, and where code belongs that breaks a rule.
// check-imports.ts applies them.

export interface Layer {
  /** Folder, relative to the project, with a slash at the end; or '' + pattern for single files. */
  readonly folder: string;
  /** Folders it may import besides itself. A folder ending in `/*` means its own files, not its subfolders. */
  readonly mayImport: readonly string[];
  /** What to do about a forbidden import. */
  readonly remedy: string;
}

const KERNEL = ['cni/kernel/', 'cni/protocol/', 'cni/address/'];
const ABOVE_KERNEL = [
  'cni/diagnosis/',
  'cni/roles/',
  'cni/verbs/',
  'cni/attachment/',
  'cni/modes/',
  'cni/features/',
  'ipam/',
  ...KERNEL,
];

/** A file belongs to the first layer in this list whose folder its path starts with: a folder stands before the one around it. */
export const LAYERS: readonly Layer[] = [
  {
    folder: 'cni/kernel/testing/',
    mayImport: ['cni/kernel/', 'cni/address/'],
    remedy: 'helpers of kernel tests know the kernel only',
  },
  {
    folder: 'cni/kernel/netlink/',
    mayImport: ['cni/address/', 'cni/kernel/*', 'cni/kernel/testing/'],
    remedy: 'netlink is bytes and sockets: what knows an object belongs in cni/kernel/rtnetlink or nftables',
  },
  {
    folder: 'cni/kernel/rtnetlink/',
    mayImport: ['cni/address/', 'cni/kernel/*', 'cni/kernel/netlink/', 'cni/kernel/testing/'],
    remedy: 'rtnetlink knows links, addresses and routes: what combines them belongs in cni/modes or cni/features',
  },
  {
    folder: 'cni/kernel/nftables/',
    mayImport: ['cni/address/', 'cni/kernel/*', 'cni/kernel/netlink/', 'cni/kernel/testing/'],
    remedy: 'nftables knows tables, sets and rules: what uses them belongs in cni/features',
  },
  {
    folder: 'cni/kernel/conntrack/',
    mayImport: ['cni/address/', 'cni/kernel/*', 'cni/kernel/netlink/', 'cni/kernel/testing/'],
    remedy: 'conntrack knows flows: what decides which of them go belongs in cni/features',
  },
  {
    folder: 'cni/kernel/',
    mayImport: ['cni/kernel/testing/'],
    remedy: 'the top of cni/kernel is system calls: what needs netlink belongs in cni/kernel/rtnetlink or nftables',
  },
  {
    folder: 'cni/address/',
    mayImport: [],
    remedy: 'addresses are a leaf, which protocol, kernel and IPAM share: what needs one of them belongs there',
  },
  {
    folder: 'cni/protocol/',
    mayImport: ['cni/address/'],
    remedy: 'protocol is the CNI specification alone: what needs a lower layer belongs in cni/verbs',
  },
  {
    folder: 'cni/diagnosis/',
    mayImport: ['cni/protocol/'],
    remedy:
      'a diagnosis is codes and sentences: what finds out what is wrong belongs above, in cni/modes, cni/features or cni/verbs',
  },
  {
    folder: 'cni/attachment/',
    mayImport: KERNEL,
    remedy: 'an attachment knows the kernel and the protocol: what knows modes or features belongs in cni/verbs',
  },
  {
    folder: 'cni/modes/',
    mayImport: ['cni/attachment/', 'cni/diagnosis/', ...KERNEL],
    remedy: 'a mode knows the kernel and the protocol: what joins modes, features and IPAM belongs in cni/verbs',
  },
  {
    folder: 'cni/features/',
    mayImport: ['cni/attachment/', 'cni/diagnosis/', ...KERNEL],
    remedy: 'a feature knows the kernel and the protocol: what joins modes, features and IPAM belongs in cni/verbs',
  },
  {
    folder: 'cni/verbs/',
    // The names of roles are data, and an IPAM plugin may be one of them.
    mayImport: [
      'cni/diagnosis/',
      'cni/attachment/',
      'cni/modes/',
      'cni/features/',
      'ipam/',
      'cni/roles/role-names.ts',
      ...KERNEL,
    ],
    remedy: 'a verb is called by roles (cni/roles) and the operator commands, and knows neither',
  },
  {
    folder: 'cni/roles/',
    mayImport: ['cni/verbs/', 'cni/attachment/', 'cni/modes/', 'cni/features/', 'ipam/', ...KERNEL],
    remedy: 'a role is called by the process (cni/main.ts) and the operator commands, and knows neither',
  },
  {
    folder: 'cni/packaging/',
    mayImport: [],
    remedy: 'packaging is for the build alone: it runs what is in the executable, and imports none of it',
  },
  {
    folder: 'cni/operator/',
    mayImport: ABOVE_KERNEL,
    remedy: 'an operator command is called by cni/main.ts and does not know it',
  },
  {
    folder: 'cni/',
    mayImport: ['cni/operator/', ...ABOVE_KERNEL],
    remedy: 'the process knows the product only: what it shares with the test suite belongs in neither',
  },
  {
    folder: 'ipam/',
    mayImport: [
      'cni/protocol/fields.ts',
      'cni/address/',
      'cni/protocol/address.ts',
      'cni/protocol/testing/mutation.ts',
      'cni/protocol/schema.ts',
      'cni/protocol/config-keys.ts',
      'cni/kernel/directory.ts',
    ],
    remedy: 'IPAM knows addresses only: what needs verbs or the kernel is injected by cni/verbs',
  },
  {
    folder: 'conformance/',
    mayImport: [],
    remedy: 'conformance is a black box around dist/podlink: write what it needs anew in conformance/harness',
  },
  { folder: '.ci/', mayImport: [], remedy: 'the checks stand alone' },
];

/** The one file that may speak to libc. */
export const FFI_FILE = 'cni/kernel/syscalls.ts';

/**
 * Who may use `await`: who waits for other machines, and for those who do: the process, the recipes of the verbs, the steps
 * back of a failed ADD, and IPAM on etcd; and the build. All others may be called while the thread is in another namespace.
 */
export const MAY_WAIT = [
  'cni/main.ts',
  'cni/operator/',
  'cni/packaging/',
  'cni/roles/',
  'cni/verbs/',
  'cni/attachment/undo-stack.ts',
  'ipam/etcd/',
];

/** Names that say nothing about what is inside. */
export const FORBIDDEN_NAMES = ['index.ts', 'utils.ts', 'util.ts', 'types.ts', 'common.ts', 'helper.ts', 'helpers.ts'];

/** Lines of a source file that is not a test. */
export const MAX_LINES = 400;
