// The diagnoses of an attachment: codes, and the sentences that say them. CHECK joins them by semicolons.

import { describeValue } from '../protocol/fields.ts';
import { type Diagnosis, listOf, type Needs, type PartsOf } from './diagnosis.ts';

/** A function, so that a call that finds nothing wrong makes none of it. */
function attachmentSentences() {
  return {
    // the record and the namespaces
    'add-unfinished': () => 'its ADD did not come to its end',
    'namespace-changed': ({ subject }: Needs<'subject'>) => `${subject} shows another network namespace than at ADD`,
    'namespace-gone': ({ subject }: Needs<'subject'>) =>
      `its network namespace ${subject} is gone, or another is at this path`,
    'owner-gone': () => 'the attachment has neither a record nor an interface',
    'interface-vanished': ({ found }: Needs<'found'>) => `an interface vanished while it was looked at (${found})`,
    'look-failed': ({ subject, found }: Needs<'subject' | 'found'>) => `cannot look at ${subject}: ${found}`,
    'address-management-failed': ({ found }: Needs<'found'>) => `${found}`,
    'repair-failed': ({ found }: Needs<'found'>) => `${found}`,

    // the bridge and its gateway
    'bridge-gone': ({ subject }: Needs<'subject'>) => `bridge "${subject}" is gone`,
    'bridge-name-is-alternative': ({ subject, expected }: Needs<'subject' | 'expected'>) =>
      `"bridge" must be the interface's own name, "${expected}": "${subject}" is an alternative name of it`,
    'bridge-is-no-bridge': ({ subject }: Needs<'subject'>) => `"${subject}" is no longer a bridge`,
    'bridge-down': ({ subject }: Needs<'subject'>) => `bridge "${subject}" is down`,
    'bridge-mac-differs': ({ subject, expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `bridge "${subject}" has MAC ${found}, prevResult says ${expected}`,
    'bridge-not-filtering': ({ subject }: Needs<'subject'>) =>
      `bridge "${subject}" does not filter by VLAN: its containers see each other's VLANs, or nothing`,
    'bridge-learns-link-local': ({ subject }: Needs<'subject'>) =>
      `bridge "${subject}" learns MAC addresses from link-local frames, which pass by "macspoofchk"`,
    'gateway-address-gone': ({ subject, object }: Needs<'subject' | 'object'>) =>
      `gateway address ${object} is gone from "${subject}"`,
    'forwarding-off': ({ subject }: Needs<'subject'>) => `the host does not forward ${subject}`,
    'localhost-unreached': ({ subject, expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `net.ipv4.conf.${subject}.route_localnet is ${found} instead of ${expected}: ports are not reached from 127.0.0.1`,
    'vlan-gateway-gone': ({ subject, object }: Needs<'subject' | 'object'>) =>
      `gateway "${subject}" of VLAN ${object} is gone`,
    'vlan-gateway-not-veth': ({ subject, object }: Needs<'subject' | 'object'>) =>
      `gateway "${subject}" of VLAN ${object} is not a veth any more`,
    'vlan-gateway-down': ({ subject }: Needs<'subject'>) => `gateway "${subject}" is down`,
    'vlan-gateway-mac-differs': ({ subject, expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `gateway "${subject}" has MAC ${found}, prevResult says ${expected}`,
    'vlan-gateway-port-gone': ({ subject }: Needs<'subject'>) => `gateway "${subject}" has no other end on the host`,
    'vlan-gateway-port-down': (parts: Needs<'subject' | 'of'>) => `${gatewayPort(parts)} is down`,
    'vlan-gateway-port-not-on-bridge': (parts: Needs<'subject' | 'object' | 'of'>) =>
      `${gatewayPort(parts)} is not a port of bridge "${parts.object}"`,
    'vlan-gateway-port-vlan-missing': (parts: Needs<'subject' | 'object' | 'of' | 'expected'>) =>
      `${gatewayPort(parts)} ${notInVlan(parts)}`,
    'vlan-gateway-port-vlan-differs': (parts: Needs<'subject' | 'object' | 'of' | 'found' | 'expected'>) =>
      `${gatewayPort(parts)} ${otherwiseInVlan(parts)}`,
    'vlan-gateway-port-vlan-stray': (parts: Needs<'subject' | 'object' | 'of' | 'found'>) =>
      `${gatewayPort(parts)} ${inStrayVlan(parts)}`,

    // the host end
    'host-end-gone': (parts: Needs<'subject'>) => `${hostEnd(parts)} is gone`,
    'host-end-down': (parts: Needs<'subject'>) => `${hostEnd(parts)} is down`,
    'host-end-mtu-differs': (parts: Needs<'subject' | 'expected' | 'found'>) =>
      `${hostEnd(parts)} has MTU ${parts.found}, the configuration says ${parts.expected}`,
    'host-end-not-on-bridge': (parts: Needs<'subject' | 'object'>) =>
      `${hostEnd(parts)} is not a port of bridge "${parts.object}"`,
    'host-end-vlan-missing': (parts: Needs<'subject' | 'object' | 'expected'>) =>
      `${hostEnd(parts)} ${notInVlan(parts)}`,
    'host-end-vlan-differs': (parts: Needs<'subject' | 'object' | 'found' | 'expected'>) =>
      `${hostEnd(parts)} ${otherwiseInVlan(parts)}`,
    'host-end-vlan-stray': (parts: Needs<'subject' | 'object' | 'found'>) => `${hostEnd(parts)} ${inStrayVlan(parts)}`,
    'port-not-forwarding': ({ subject }: Needs<'subject'>) => `bridge port "${subject}" does not forward`,
    'port-setting-differs': ({
      subject,
      object,
      expected,
      found,
    }: Needs<'subject' | 'object' | 'expected' | 'found'>) =>
      `bridge port "${subject}" has ${object} ${found}, the configuration says ${expected}`,

    // the container's interface
    'interface-gone': (parts: Needs<'subject' | 'of'>) => `${own(parts)} is gone from ${parts.of}`,
    'interface-not-veth': (parts: Needs<'subject'>) => `${own(parts)} is not a veth any more`,
    'interface-other-end-differs': (parts: Needs<'subject' | 'expected'>) =>
      `${own(parts)} is not the other end of "${parts.expected}"`,
    'interface-down': (parts: Needs<'subject'>) => `${own(parts)} is down`,
    'interface-mtu-differs': (parts: Needs<'subject' | 'expected' | 'found'>) =>
      `${own(parts)} has MTU ${parts.found}, the configuration says ${parts.expected}`,
    'interface-mtu-too-large': (parts: Needs<'subject' | 'object' | 'expected' | 'found'>) =>
      `${own(parts)} has MTU ${parts.found}, its other end "${parts.object}" only ${parts.expected}`,
    'interface-unreported': (parts: Needs<'subject'>) => `prevResult has no ${own(parts)}`,
    'interface-mac-differs': (parts: Needs<'subject' | 'expected' | 'found'>) =>
      `${own(parts)} has MAC ${parts.found}, prevResult says ${parts.expected}`,
    'interface-not-promiscuous': (parts: Needs<'subject'>) => `${own(parts)} is not promiscuous`,
    'interface-not-all-multicast': (parts: Needs<'subject'>) => `${own(parts)} does not take all multicast packets`,
    'interface-queue-length-differs': (parts: Needs<'subject' | 'expected' | 'found'>) =>
      `${own(parts)} has a transmit queue of ${parts.found} packets, the configuration says ${parts.expected}`,
    'sandbox-differs': ({ expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `prevResult has sandbox ${found}, CNI_NETNS is ${expected}`,
    'address-gone': (parts: Needs<'subject' | 'object'>) => `address ${parts.object} is gone from ${own(parts)}`,
    'route-gone': ({ object }: Needs<'subject' | 'object'>) => `${object} is gone`,
    'sysctl-gone': ({ subject }: Needs<'subject'>) => `sysctl "${subject}" is gone`,
    'sysctl-differs': ({ subject, expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `sysctl "${subject}" is ${describeValue(found)}, the configuration says ${describeValue(expected)}`,

    // a namespace that is shared, or has lo alone
    'loopback-down': ({ of }: Needs<'subject' | 'of'>) => `lo of ${of} is down`,
    'target-gone': ({ subject }: Needs<'subject'>) => `target "${subject}" is gone`,
    'target-namespace-unseen': ({ subject, expected }: Needs<'subject' | 'expected'>) =>
      `${subject} does not show the namespace of target "${expected}"`,
    'host-namespace-unseen': ({ subject }: Needs<'subject'>) =>
      `${subject} does not show the host's namespace any more`,

    // bandwidth
    'root-qdisc-differs': ({ subject, expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `the root qdisc of "${subject}" is ${found} instead of ${expected}`,
    'bandwidth-differs': ({ subject, object, expected, found }: Needs<'subject' | 'object' | 'expected' | 'found'>) =>
      `the ${object} of "${subject}" is ${found} instead of ${expected}`,
    'ifb-gone': ({ subject }: Needs<'subject'>) => `the ifb "${subject}" is missing`,
    'ifb-down': ({ subject }: Needs<'subject'>) => `the ifb "${subject}" is down`,
    'clsact-qdisc-gone': ({ subject }: Needs<'subject'>) => `the clsact qdisc of "${subject}" is missing`,
    'filters-gone': ({ subject, expected, found }: Needs<'subject' | 'expected' | 'found'>) =>
      `${Number(expected) - Number(found)} of ${expected} filters of "${subject}" for the bandwidth limit are missing`,
    'filters-out-of-order': ({ subject }: Needs<'subject'>) =>
      `the filters of "${subject}" for the bandwidth limit are not in their order`,

    // nftables
    'kernel-part-missing': ({ found }: Needs<'found'>) => `the kernel has no ${listOf(found).join(', ')}`,
    'table-gone': ({ subject }: Needs<'subject'>) => `table ${subject} is missing`,
    'table-differs': ({ subject }: Needs<'subject'>) => `table ${subject} is not as it was made`,
    'set-gone': ({ subject, of }: Needs<'subject' | 'of'>) => `set ${subject} of table ${of} is missing`,
    'set-differs': ({ subject, of }: Needs<'subject' | 'of'>) => `set ${subject} of table ${of} is not as it was made`,
    'chain-gone': ({ subject, of }: Needs<'subject' | 'of'>) => `chain ${subject} of table ${of} is missing`,
    'chain-differs': ({ subject, of }: Needs<'subject' | 'of'>) =>
      `chain ${subject} of table ${of} is not as it was made`,
    'rules-differ': ({ subject, of }: Needs<'subject' | 'of'>) =>
      `the rules of chain ${subject} of table ${of} are not as they were made`,
    'element-gone': (parts: Needs<'subject' | 'object' | 'of'>) => `${element(parts)} is missing`,
    'element-differs': (parts: Needs<'subject' | 'object' | 'of' | 'found'>) =>
      `${element(parts)} is ${parts.found} instead`,
    'element-is-anothers': (parts: Needs<'subject' | 'object' | 'of'>) =>
      `${element(parts)} belongs to another attachment`,
    'more-elements-differ': ({ found }: Needs<'found'>) => `${found} more elements are not as they were made`,
  };
}

type Sentences = ReturnType<typeof attachmentSentences>;
export type AttachmentCode = keyof Sentences;
export type AttachmentDiagnosis = Diagnosis<AttachmentCode>;

/** State what is wrong with an attachment: a code, and the parts that its sentence needs. */
export function diagnose<Code extends AttachmentCode>(
  code: Code,
  ...[parts]: PartsOf<Sentences, Code>
): AttachmentDiagnosis {
  return { code, ...(parts as object | undefined) };
}

/** Say what is wrong, in a sentence that has neither a capital nor a period: it stands among others. */
export function sentenceOf(diagnosis: AttachmentDiagnosis): string {
  return sentencesOf([diagnosis])[0] ?? '';
}

export function sentencesOf(diagnoses: readonly AttachmentDiagnosis[]): string[] {
  const table = attachmentSentences() as Readonly<Record<AttachmentCode, (parts: AttachmentDiagnosis) => string>>;
  return diagnoses.map((diagnosis) => table[diagnosis.code](diagnosis));
}

/** All codes, for their documentation. */
export function attachmentCodes(): AttachmentCode[] {
  return Object.keys(attachmentSentences()) as AttachmentCode[];
}

/**
 * Each diagnosis once, and of a table that is gone only that: whatever else was in it is gone with it. For diagnoses of
 * several attachments and rulesets.
 */
export function withoutConsequences(diagnoses: readonly AttachmentDiagnosis[]): AttachmentDiagnosis[] {
  const gone = new Set(diagnoses.filter(({ code }) => code === 'table-gone').map(({ subject }) => subject));
  const seen = new Set<string>();
  return diagnoses.filter((diagnosis) => {
    if (diagnosis.of !== undefined && gone.has(diagnosis.of)) return false;
    const text = JSON.stringify(diagnosis);
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

function own({ subject }: Needs<'subject'>): string {
  return `interface "${subject}"`;
}

function hostEnd({ subject }: Needs<'subject'>): string {
  return `host interface "${subject}"`;
}

function gatewayPort({ subject, of }: Needs<'subject' | 'of'>): string {
  return `"${subject}", the port of gateway "${of}",`;
}

function notInVlan({ object, expected }: Needs<'object' | 'expected'>): string {
  return `is not in ${expected} of bridge "${object}"`;
}

function otherwiseInVlan({ object, found, expected }: Needs<'object' | 'found' | 'expected'>): string {
  return `is in ${found} of bridge "${object}", but not ${expected} (PVID, untagged)`;
}

function inStrayVlan({ object, found }: Needs<'object' | 'found'>): string {
  return `is in ${found} of bridge "${object}", which the configuration does not name`;
}

function element({ subject, object }: Needs<'subject' | 'object'>): string {
  return `element ${subject} of set ${object}`;
}
