// The diagnoses of a network configuration by `validate`: codes, and the sentences that say them.

import { type Diagnosis, listOf, type Maybe, type Needs, type Part, type PartsOf } from '../../diagnosis/diagnosis.ts';
import { DUPLICATED } from '../../protocol/json/json-duplicate.ts';

/** It also lets the containers' traffic through where Docker, ufw or firewalld would drop it: podlink cannot. */
const KEEP_FIREWALL =
  'take that from one of them, but keep "firewall" in the list where Docker, ufw or firewalld is on the node, or the pods are cut off';

const UNREACHED = 'a host with an address of this subnet ("isGateway") does not reach a container that has it';

const SENTENCES = {
  // the file
  'file-missing': () => 'there is no such file',
  'file-not-regular': () => 'is not a regular file',
  'file-is-directory': () => 'is a directory, which runtimes pass over',
  'file-unreadable': ({ found }: Needs<'found'>) => `cannot be read: ${found}`,
  'link-broken': ({ found }: Needs<'found'>) => `is a link to "${found}", which is not there`,
  'link-circular': () => 'is a link that leads to itself',
  'not-json': ({ found }: Needs<'found'>) => `${found}`,
  'not-an-object': ({ found }: Needs<'found'>) => `must be a JSON object, is ${found}`,
  'key-twice': ({ subject }: Needs<'subject'>) => `Invalid "${subject}": ${DUPLICATED}`,
  'plugins-missing': ({ found }: Needs<'found'>) =>
    `Invalid "plugins": must be a list with a plugin in it, is ${found}`,
  'plugin-not-an-object': ({ found }: Needs<'found'>) => `must be an object, is ${found}`,
  'plugin-type-missing': ({ found }: Needs<'found'>) => `Invalid "type": must name a plugin, is ${found}`,
  'plugin-type-misspelled': ({ found, expected }: Needs<'found' | 'expected'>) =>
    `there is no plugin "${found}" that podlink knows of; did you mean "${expected}"?`,
  'ending-of-single-plugin': () => 'a .conflist must have "plugins": name a single plugin\'s file .conf',
  'ending-of-list': () => 'a list of plugins is read from a .conflist only: rename the file',
  'ending-unknown': () => 'runtimes read only files that end in .conflist, .conf or .json',
  'name-unusable': ({ found }: Needs<'found'>) =>
    `Invalid "name": must be letters, digits, "_", "." and "-", beginning with a letter or digit, and at most 255 of them, is ${found}`,
  'versions-unusable': ({ found }: Needs<'found'>) => `Invalid "cniVersions": must be a list of versions, is ${found}`,
  'version-missing': () =>
    '"cniVersion" is missing, which means 0.1.0: one address of each family, and no CHECK, GC or STATUS',
  'version-unsupported': ({ expected, found }: Needs<'expected' | 'found'>) =>
    `Invalid "cniVersion": must be one of ${join(expected)}, is ${found}`,

  // keys of an entry
  'value-refused': ({ subject, found }: Needs<'subject' | 'found'>) => `Invalid "${subject}": ${found}`,
  'entry-refused': ({ found }: Needs<'found'>) => `${found}`,
  'entry-warned-of': ({ found }: Needs<'found'>) => `${found}`,
  'key-unknown': ({ subject, expected }: Needs<'subject'> & Maybe<'expected'>) =>
    `unknown key "${subject}", which is ignored${didYouMean(expected)}`,
  'key-in-two-spellings': ({ subject }: Needs<'subject'>) =>
    `${join(subject, ' and ', quote)} are one key: only the last of them counts`,
  'key-unused': ({ subject, object }: Needs<'subject' | 'object'>) =>
    `${join(subject, ', ', quote)} ${listOf(subject).length > 1 ? 'have' : 'has'} no effect in mode ${join(object, ' or ', quote)}`,
  'key-of-runtime': ({ subject }: Needs<'subject'>) =>
    `"${subject}" is the runtime's to fill in: it replaces what stands in the file`,
  'text-empty': ({ subject }: Needs<'subject'>) => `"${subject}" is empty, which is the same as leaving it out`,
  'data-dir-empty': ({ subject }: Needs<'subject'>) =>
    `"${subject}" is empty, which is the same as leaving it out: reservations are in /var/lib/cni/networks`,
  'ipam-type-empty': ({ subject }: Needs<'subject'>) =>
    `"${subject}" is empty, which is the same as leaving it out: containers get no address`,
  'host-mode-allowed': ({ object }: Needs<'object'>) =>
    `"allowModes" has "${object}": whoever may create a pod can put it into the network of the node by an annotation, past Pod Security, NetworkPolicy and quotas, which see an ordinary pod ("overrides" does it for single pods)`,
  'kernel-lacks-feature-of-key': ({ subject, found }: Needs<'subject' | 'found'>) =>
    `"${subject}" needs what the kernel of this machine lacks: ${join(found)}`,

  // capabilities
  'capability-foreign': ({ subject }: Needs<'subject'>) =>
    `capability "${subject}" has no effect here: podlink leaves it to other plugins`,
  'capability-unknown': ({ subject, expected }: Needs<'subject'> & Maybe<'expected'>) =>
    `unknown capability "${subject}"${didYouMean(expected)}`,
  'capability-undeclared': ({ subject, expected }: Needs<'subject' | 'expected'>) =>
    `"${subject}" has no effect without "capabilities": {"${expected}": true}`,
  'annotations-undeclared': ({ expected }: Needs<'expected'>) =>
    `"allowModes" without "capabilities": {"${expected}": true}: a pod's annotations do not get here, and it can choose by CNI_ARGS or args.cni only`,
  'addresses-missing': () =>
    '"ipam" of type "static" has no "addresses" and gets none without "capabilities": {"ips": true}',
  'rate-missing': ({ subject }: Needs<'subject'>) =>
    `"${subject}" has no effect without a rate or "capabilities": {"bandwidth": true}`,

  // addressing
  'network-address-handed-out': (parts: Needs<'subject' | 'of' | 'found'>) =>
    `${handedOut(parts, 'network address')}: kernels before 5.14 take it for a broadcast address`,
  'broadcast-address-handed-out': (parts: Needs<'subject' | 'of' | 'found'>) =>
    `${handedOut(parts, 'broadcast address')}: ${UNREACHED}`,
  'anycast-address-handed-out': (parts: Needs<'subject' | 'of' | 'found'>) =>
    `${handedOut(parts, 'subnet-router anycast address')}: ${UNREACHED}`,
  'mtu-too-small': ({ expected, found }: Needs<'expected' | 'found'>) =>
    `Invalid "mtu": must be at least ${expected} for an IPv6 address, is ${found}`,
  'gateway-out-of-reach': ({ subject, of, found }: Needs<'subject' | 'of' | 'found'>) =>
    `"${subject}" ${found} is not in ${of}: the kernel refuses a route by a gateway that the container cannot reach`,
  'ipam-plugin-unseen': ({ subject, expected }: Needs<'subject'> & Maybe<'expected'>) =>
    `IPAM plugin "${subject}" is not built in, and must be in CNI_PATH${didYouMean(expected)}`,
  'ipam-plugin-missing': ({ subject, of, expected }: Needs<'subject' | 'of'> & Maybe<'expected'>) =>
    `IPAM plugin "${subject}" is not built in, and is not in ${join(of)}${didYouMean(expected)}`,

  // beside other plugins and networks
  'podlink-twice': () => 'podlink is in the list twice: it would attach the container twice',
  'work-doubled': ({ subject, object, of, found }: Needs<'subject' | 'object' | 'of' | 'found'>) =>
    `podlink ${object} already, since ${of} has ${found}: ${subject === 'firewall' ? KEEP_FIREWALL : `take that from one of them, or "${subject}" out of the list`}`,
  'interface-made-twice': ({ subject, of }: Needs<'subject' | 'of'>) =>
    `"${subject}" makes the container's interface, and so does podlink (${of}): take one of them out, or make two networks of them`,
  'subnet-routed-elsewhere': ({ found }: Needs<'subject' | 'found'>) => `${found}`,
  'addresses-shared-on-bridge': (parts: Needs<'subject' | 'object' | 'of' | 'found'>) =>
    `${bothHave(parts)}, both on bridge "${parts.of}": two containers may get the same address`,
  'subnet-shared-by-bridges': (parts: Needs<'subject' | 'object' | 'of' | 'found'>) =>
    `${bothHave(parts)}, on bridges ${join(parts.of, ' and ', quote)}: the host reaches these addresses by one of them only`,
};

type Sentences = typeof SENTENCES;
export type ConfigurationCode = keyof Sentences;

export interface ConfigurationDiagnosis extends Diagnosis<ConfigurationCode> {
  /** The modes of the pods that it is wrong for, where that is not all. */
  readonly modes?: readonly string[];
}

/** State what is wrong with a configuration: a code, and the parts that its sentence needs. */
export function diagnose<Code extends ConfigurationCode>(
  code: Code,
  ...[parts]: PartsOf<Sentences, Code>
): ConfigurationDiagnosis {
  return { code, ...(parts as object | undefined) };
}

/** Say what is wrong. */
export function messageOf(diagnosis: ConfigurationDiagnosis): string {
  const table = SENTENCES as Readonly<Record<ConfigurationCode, (parts: ConfigurationDiagnosis) => string>>;
  const sentence = table[diagnosis.code](diagnosis);
  const { modes } = diagnosis;
  return modes ? `${sentence} (for pods in mode ${join(modes, ' or ', quote)})` : sentence;
}

/** All codes, for their documentation. */
export function configurationCodes(): ConfigurationCode[] {
  return Object.keys(SENTENCES) as ConfigurationCode[];
}

function join(part: Part, separator = ', ', format: (text: string) => string = (text) => text): string {
  return listOf(part).map(format).join(separator);
}

function quote(text: string): string {
  return `"${text}"`;
}

function didYouMean(word: Part | undefined): string {
  return word === undefined ? '' : `; did you mean "${word}"?`;
}

function handedOut({ subject, of, found }: Needs<'subject' | 'of' | 'found'>, kind: string): string {
  return `"${subject}" has the ${kind} of ${of}, ${found}, handed out`;
}

/** `object`: the other network's name and file. `found`: the subnets of both. */
function bothHave({ subject, object, found }: Needs<'subject' | 'object' | 'found'>): string {
  const [other, file] = listOf(object);
  const [subnet, otherSubnet] = listOf(found);
  return `network "${subject}" has addresses of ${subnet}, and network "${other}" in ${file} of ${otherSubnet}`;
}
