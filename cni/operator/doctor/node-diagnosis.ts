// The diagnoses of a node by `doctor`: codes, and the sentences that say them: what was found, what follows from it, and what helps.

import { type AttachmentDiagnosis, sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { type Diagnosis, listOf, type Needs, type Part, type PartsOf, type Remedy } from '../../diagnosis/diagnosis.ts';
import { count } from '../cli/text-table.ts';
import { LOST_TARGET_REMEDY } from '../listing/lost-target.ts';
import { type ConfigurationDiagnosis, messageOf } from '../validate/configuration-diagnosis.ts';

/** The sentences of a diagnosis. */
export interface Texts {
  readonly what: string;
  readonly meaning?: string;
  readonly remedy?: Remedy;
}

/** The causes of a diagnosis that are another's. */
interface Causes<Cause extends Diagnosis> {
  readonly causes: readonly Cause[];
}

/** Advise something that is not done by a command. */
export function advise(sentence: string): Remedy {
  return { sentence, commands: [] };
}

/** Of a diagnosis whose remedy depends on more than the code. */
interface Helped {
  readonly remedy: Remedy;
}

/** The port and its protocol, the family, the attachment that publishes it, and the chain. */
type Redirect = 'subject' | 'object' | 'of' | 'found';

const REACHES_LOOPBACK = 'takes the lo of the host, or of the container it shares, down';
const SECTION = "plugins.'io.containerd.cri.v1.runtime'";
const KEEPS_ADDRESSES = 'it keeps its addresses and rules until it is removed';
const REMOVE_STALE: Remedy = { sentence: "the runtime's DEL or GC removes it, or this:", commands: ['podlink gc'] };
const MAKE_ROOM = advise('make room, or mount it for writing');
const RUN_ELSEWHERE = advise(
  'run a kernel built with it, put its module where modprobe finds it, or take the key out of the configuration',
);

const TEXTS = {
  'part-unseen': ({ found, remedy }: Needs<'subject' | 'found'> & Partial<Helped>) => ({
    what: `cannot be looked at: ${found}`,
    ...(remedy && { remedy }),
  }),

  // the kernel and its settings
  'kernel-too-old': ({ expected, found }: Needs<'expected' | 'found'>) => ({
    what: `Linux ${found} is older than ${expected}`,
    meaning: 'not all that podlink asks of netlink and nf_tables is there',
    remedy: advise('run a newer kernel'),
  }),
  'kernel-lacks-feature': ({ object, found }: Needs<'object' | 'found'>) => ({
    what: `the kernel lacks ${listOf(found).join(', ')}`,
    meaning: `there is no ${object}`,
    remedy: RUN_ELSEWHERE,
  }),
  'kernel-lacks-feature-of-network': ({ subject, of, found }: Needs<'subject' | 'of' | 'found'>) => ({
    what: `the kernel lacks ${listOf(found).join(', ')}`,
    meaning: `"${subject}" of network "${of}" needs it: its ADD fails`,
    remedy: RUN_ELSEWHERE,
  }),
  'kernel-feature-unseen': ({ object, found }: Needs<'object' | 'found'>) => ({
    what: `${listOf(found).join(', ')} for ${object}: not checked, since this kernel does not tell what it was built with`,
  }),
  'forwarding-turned-off': ({ subject, object, of, found }: Needs<'subject' | 'object' | 'of' | 'found'>) => ({
    what: `${subject} = ${found}, although network ${quoted(of)} has a gateway and attachments: somebody has turned it off`,
    meaning: `their containers reach nothing beyond this node over ${object}, and are not reached by published ports`,
    remedy: {
      sentence: 'see to what turned it off (/etc/sysctl.d), and turn it on:',
      commands: [`sysctl -w ${subject}=1`],
    },
  }),
  'bridge-delays-ports': ({ subject, found }: Needs<'subject' | 'found'>) => ({
    what: `bridge "${subject}" runs STP with a forward delay of ${found} s`,
    meaning: `a container reaches nobody for ${2 * Number(found)} s after its ADD: its port listens and learns before it forwards`,
    remedy: {
      sentence: 'turn STP off if no two of its ports are joined elsewhere, or give it a shorter forward_delay',
      commands: [`ip link set ${subject} type bridge stp_state 0`],
    },
  }),

  // firewalls. `found`: the sentence of features/firewall, which CHECK prints too
  'traffic-stopped': ({ found, remedy }: Needs<'subject' | 'object' | 'found'> & Helped) => ({
    what: `${found}`,
    meaning: 'rules of table inet podlink cannot overrule it',
    remedy,
  }),
  'node-traffic-stopped': ({ found, remedy }: Needs<'subject' | 'object' | 'found'> & Helped) => ({
    what: `${found}`,
    meaning: "the containers do not reach the node's own services, which may be what it is there for",
    remedy: { ...remedy, sentence: `if not: ${remedy.sentence}` },
  }),
  'traffic-uncertain': ({ found, remedy }: Needs<'subject' | 'object' | 'found'> & Helped) => ({
    what: `${found}`,
    meaning: 'its rules ask for what is known only when a packet comes, or for what podlink does not understand',
    remedy,
  }),
  'port-redirected': ({ subject, object, of, found, remedy }: Needs<Redirect> & Helped) => ({
    what: `${found} sends port ${subject} elsewhere over ${object}, which ${of} publishes`,
    meaning: 'it comes before the rules of podlink: the container does not get what is sent to the port',
    remedy,
  }),
  'port-redirect-uncertain': ({ subject, object, of, found, remedy }: Needs<Redirect> & Helped) => ({
    what: `${found} may send port ${subject} elsewhere over ${object}, which ${of} publishes`,
    meaning: 'whether its rules or those of podlink come first cannot be told',
    remedy,
  }),
  'legacy-iptables-unseen': ({ found }: Needs<'found'>) => ({
    what: 'rules of iptables-legacy are in force, which cannot be seen here',
    meaning: "if they drop what is forwarded, or send published ports elsewhere, so they do to the containers' traffic",
    remedy: { sentence: 'this shows them:', commands: listOf(found) },
  }),
  'own-rules-damaged': ({ causes }: Causes<AttachmentDiagnosis>) => ({
    what: `${count(causes.length, 'part')} of podlink's rules ${causes.length === 1 ? 'is' : 'are'} missing or changed: ${sentencesOf(causes.slice(0, 4)).join('; ')}${causes.length > 4 ? '; …' : ''}`,
    meaning:
      'somebody has flushed or changed them, a reload of a firewall for example; containers may not reach anything, or be reached',
    remedy: { sentence: 'make them again:', commands: ['podlink repair'] },
  }),
  'localhost-exposed': ({ subject, causes }: Needs<'subject'> & Causes<AttachmentDiagnosis>) => ({
    ...describeHole(subject, causes),
    remedy: { sentence: 'put the rules back:', commands: ['podlink repair'] },
  }),
  // A repair looks after attachments: where there is none, the setting has to go.
  'localhost-exposed-by-leftover': ({ subject, causes }: Needs<'subject'> & Causes<AttachmentDiagnosis>) => ({
    ...describeHole(subject, causes),
    remedy: { sentence: 'turn it off:', commands: [`sysctl -w net.ipv4.conf.${subject}.route_localnet=0`] },
  }),

  // the plugins and the runtime
  'plugin-directories-missing': ({ subject }: Needs<'subject'>) => ({
    what: `none of the directories of plugins is there: ${listOf(subject).join(', ')}`,
    remedy: advise('name the one of the runtime with --bin-dir'),
  }),
  'podlink-not-installed': ({ subject }: Needs<'subject'>) => ({
    what: `podlink is in none of ${listOf(subject).join(', ')}`,
    meaning: 'a runtime that looks for plugins there cannot run it',
    remedy: {
      sentence: 'install it there, or name the directory of the runtime with --bin-dir:',
      commands: [`podlink install ${listOf(subject)[0]}`],
    },
  }),
  'podlink-link-broken': ({ subject, of, found }: Needs<'subject' | 'of' | 'found'>) => ({
    what: `${subject} is a link to "${found}", which is not there`,
    meaning: 'a runtime that looks for plugins there cannot run podlink',
    remedy: { sentence: 'install podlink there again:', commands: [`podlink install ${of} --force`] },
  }),
  'loopback-link-broken': ({ subject, of, found }: Needs<'subject' | 'of' | 'found'>) => ({
    what: `${subject} is a link to "${found}", which is not there`,
    meaning: 'containerd runs a plugin of this name for every pod, and without it starts none',
    remedy: { sentence: 'install podlink there again:', commands: [`podlink install ${of} --force`] },
  }),
  'loopback-foreign': ({ subject }: Needs<'subject'>) => ({
    what: `${subject}/loopback is not podlink`,
    meaning: `as soon as a pod in mode host or container ends under containerd, it ${REACHES_LOOPBACK}`,
    remedy: installLoopback(subject),
  }),
  'loopback-foreign-with-sharing': ({ subject, object }: Needs<'subject' | 'object'>) => ({
    what: `${subject}/loopback is not podlink`,
    meaning: `network ${quoted(object)} lets pods share a namespace: under containerd, the end of such a pod ${REACHES_LOOPBACK}`,
    remedy: installLoopback(subject),
  }),
  'cni-version-too-new': ({ subject, of, expected, found }: Needs<'subject' | 'of' | 'expected' | 'found'>) => ({
    what: `network "${subject}" (${of}) has cniVersion 1.1.0, which containerd ${found} does not speak`,
    meaning: 'if containerd uses it, every pod fails with "unsupported CNI result version"',
    remedy: advise(`write "cniVersion": "${expected}", or run containerd 2`),
  }),
  'sysctls-set-in-host': ({ subject, object, of, found }: Needs<'subject' | 'object' | 'of' | 'found'>) => ({
    what: `containerd sets ${listOf(found).join(' and ')} in every pod (${listOf(object).join(', ')})`,
    meaning: `network ${quoted(subject)} puts pods into the network of the host: runc does not start such a pod, and crun sets them in the host itself, where they stay`,
    remedy: advise(
      `write ${listOf(object)
        .map((option) => `${option} = false`)
        .join(' and ')} into section [${SECTION}] of ${of}, or of a file that it imports, and restart containerd`,
    ),
  }),

  // the configurations
  'configuration-refused': (parts: Needs<'subject' | 'object'> & Causes<ConfigurationDiagnosis>) => ({
    what: describeFirst(parts),
    meaning: 'containers of this network cannot be attached',
    remedy: { sentence: 'this tells all:', commands: [`podlink validate ${parts.subject}`] },
  }),
  'configuration-doubtful': (parts: Needs<'subject' | 'object'> & Causes<ConfigurationDiagnosis>) => ({
    what: describeFirst(parts),
    meaning: '',
    remedy: { sentence: 'this tells all:', commands: [`podlink validate ${parts.subject}`] },
  }),
  'network-of-host': ({ subject, causes }: Needs<'subject'> & Causes<ConfigurationDiagnosis>) => ({
    what: `${subject}: ${causes.map(messageOf).join('; ')}`,
    meaning: 'containers, or what has these addresses outside, are not reached',
    remedy: advise('give the network another subnet'),
  }),
  'addresses-shared': ({ subject, object, found }: Needs<'subject' | 'object' | 'found'>) => ({
    what: `networks "${subject}" and "${object}" both have addresses of ${found}`,
    meaning: 'two containers may get the same address, and what is meant for one reaches the other',
    remedy: advise('give one of them another subnet'),
  }),
  'foreign-configuration-first': ({ subject }: Needs<'subject'>) => ({
    what: `${subject} sorts before the files of podlink, and is of other plugins`,
    meaning: 'containerd and CRI-O use the first file of the directory for pods',
    remedy: advise("rename one of them, if podlink's network is to be the pods'"),
  }),
  'network-name-twice': ({ subject, object, found }: Needs<'subject' | 'object' | 'found'>) => ({
    what: `network "${subject}" is in ${object} and in ${listOf(found).join(', ')}`,
    meaning: `the runtime takes the first, ${object}, and nothing of the other${listOf(found).length > 1 ? 's' : ''}`,
    remedy: advise('remove what is not meant, or give it another name'),
  }),

  // what podlink keeps on the node
  'directory-unsafe': ({ object, found }: Needs<'subject' | 'object' | 'found'>) => ({
    what: `${found}`,
    meaning: 'no container can be attached, and DEL goes without the records',
    remedy: {
      sentence: 'see who has put what there, then give it to root alone (or move PODLINK_RUN_DIR)',
      commands: [`chown root:root ${object}`, `chmod go-w ${object}`],
    },
  }),
  'records-unwritable': ({ subject, found }: Needs<'subject' | 'found'>) => ({
    what: `${subject} (records) cannot be written to: ${found}`,
    meaning: 'no container can be attached',
    remedy: MAKE_ROOM,
  }),
  'reservations-unwritable': ({ subject, found }: Needs<'subject' | 'found'>) => ({
    what: `${subject} (reservations) cannot be written to: ${found}`,
    meaning: 'no address can be reserved',
    remedy: MAKE_ROOM,
  }),
  'directory-for-root': ({ subject, object }: Needs<'subject' | 'object'>) => ({
    what: `${subject} (${object}): only root can tell`,
  }),
  'attachment-unfinished': ({ subject }: Needs<'subject'>) => ({
    what: `${subject} is unfinished: its ADD did not come to its end`,
    meaning: KEEPS_ADDRESSES,
    remedy: REMOVE_STALE,
  }),
  'attachment-stale': ({ subject, object }: Needs<'subject' | 'object'>) => ({
    what: `${subject} is stale: its network namespace ${object} is gone`,
    meaning: KEEPS_ADDRESSES,
    remedy: REMOVE_STALE,
  }),
  'attachment-stale-and-kept': ({ subject, object, found }: Needs<'subject' | 'object' | 'found'>) => ({
    what: `${subject} is stale: its network namespace ${object} is gone from there`,
    meaning: KEEPS_ADDRESSES,
    remedy: advise(`gc keeps it: ${found}`),
  }),
  'attachment-damaged': ({ subject, causes }: Needs<'subject'> & Causes<AttachmentDiagnosis>) => ({
    what: `${subject}: ${sentencesOf(causes).join('; ')}`,
    meaning: 'it is not any more what its ADD made',
    remedy: { sentence: 'make it again what it was, where that can be done:', commands: ['podlink repair'] },
  }),
  'attachment-lost-target': ({ subject, causes }: Needs<'subject'> & Causes<AttachmentDiagnosis>) => ({
    what: `${subject}: ${sentencesOf(causes).join('; ')}`,
    meaning: 'the container is reached by nobody, and starts its processes anew where it is',
    remedy: advise(LOST_TARGET_REMEDY),
  }),
  'records-unreadable': ({ found }: Needs<'found'>) => ({
    what: `${count(listOf(found).length, 'file')} among the records ${listOf(found).length === 1 ? 'is' : 'are'} torn, or of another version of podlink: ${listOf(found).slice(0, 3).join(', ')}${listOf(found).length > 3 ? ', …' : ''}`,
    meaning: 'DEL goes by the configuration and the marks on interfaces and rules then',
    remedy: advise("nothing to do: the container's DEL removes it"),
  }),
  'range-nearly-full': (parts: Needs<'subject' | 'of' | 'expected' | 'found'>) => describeFullRange(parts),
  'range-full': (parts: Needs<'subject' | 'of' | 'expected' | 'found'>) => describeFullRange(parts),
  'reservations-of-nobody': ({ subject, found }: Needs<'subject' | 'found'>) => ({
    what: `${count(Number(found), 'reservation')} of network "${subject}" ${found === 1 ? 'is' : 'are'} of nobody or from before a reboot`,
    meaning: 'reclaimed when the range is full, and by GC',
    remedy: { sentence: 'release them now:', commands: ['podlink gc'] },
  }),
  'files-astray': ({ subject, found }: Needs<'subject' | 'found'>) => ({
    what: `${subject} holds what does not belong there: ${listOf(found).slice(0, 3).join(', ')}${listOf(found).length > 3 ? ', …' : ''}`,
    remedy: advise('see what it is, and remove it'),
  }),
};

type NodeTexts = typeof TEXTS;
export type NodeCode = keyof NodeTexts;
export type NodeDiagnosis = Diagnosis<NodeCode>;
export type NodeParts<Code extends NodeCode> = PartsOf<NodeTexts, Code>;

/** State what is wrong with the node: a code, and the parts that its sentences need. */
export function diagnose<Code extends NodeCode>(code: Code, ...[parts]: NodeParts<Code>): NodeDiagnosis {
  return { code, ...(parts as object | undefined) };
}

/** Say what is wrong. */
export function textsOf(diagnosis: NodeDiagnosis): Texts {
  const table = TEXTS as unknown as Readonly<Record<NodeCode, (parts: NodeDiagnosis) => Texts>>;
  return table[diagnosis.code](diagnosis);
}

/** All codes, for their documentation. */
export function nodeCodes(): NodeCode[] {
  return Object.keys(TEXTS) as NodeCode[];
}

function quoted(part: Part): string {
  return listOf(part)
    .map((name) => `"${name}"`)
    .join(', ');
}

function describeHole(bridge: Part, causes: readonly AttachmentDiagnosis[]): Pick<Texts, 'what' | 'meaning'> {
  return {
    what: `containers of bridge "${bridge}" reach what listens on the host's 127.0.0.1: net.ipv4.conf.${bridge}.route_localnet is 1, and ${sentencesOf(causes).join('; ')}`,
    meaning:
      'services without a password of their own, because only this node should reach them, are open to containers',
  };
}

function installLoopback(dir: Part): Remedy {
  return {
    sentence:
      'install podlink as loopback (this one is kept as loopback.before-podlink, and "podlink uninstall" puts it back):',
    commands: [`podlink install ${dir} --force`],
  };
}

/** The first fault of a file, and how many more there are. `object`: where it is in the file; empty for all of it. */
function describeFirst({
  subject,
  object,
  causes,
}: Needs<'subject' | 'object'> & Causes<ConfigurationDiagnosis>): string {
  const [first] = causes;
  const place = object === '' ? '' : `${object}: `;
  const others = causes.length > 1 ? ` (and ${causes.length - 1} more)` : '';
  return `${subject}: ${place}${first ? messageOf(first) : ''}${others}`;
}

function describeFullRange({ subject, of, expected, found }: Needs<'subject' | 'of' | 'expected' | 'found'>) {
  return {
    what: `range ${subject} of network "${of}" has ${found} of its ${expected} addresses taken`,
    meaning: 'with none left, an ADD fails with error 11',
    remedy: { sentence: 'enlarge the range; this shows who holds them:', commands: ['podlink ipam ls'] },
  };
}
