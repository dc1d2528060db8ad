// Other plugins of a list that do what podlink does already: by a capability that both have, or by keys that both set.

import { diagnose } from './configuration-diagnosis.ts';
import { isObject } from '../../protocol/fields.ts';
import { type Fault, valueAt, warning } from './fault.ts';

type Entry = Readonly<Record<string, unknown>>;

interface Double {
  readonly type: string;
  readonly what: string;
  /** Say by what both do it; undefined when they do not. The texts name podlink's own setting. */
  find(own: Entry, other: Entry): string | undefined;
}

/** The keys of the reference tuning plugin that podlink reads too; each changes the container's interface. */
const TUNING_KEYS = ['mac', 'mtu', 'promisc', 'allmulti', 'txQLen'];
const RATES = ['ingressRate', 'egressRate'];

const DOUBLES: readonly Double[] = [
  { type: 'portmap', what: 'maps the ports', find: byCapability('portMappings') },
  // Limits come from the runtime or from keys, and either plugin's are on top of the other's.
  { type: 'bandwidth', what: 'limits the bandwidth', find: byLimits },
  { type: 'tuning', what: 'sets the MAC address', find: byCapability('mac') },
  { type: 'tuning', what: 'tunes the interface', find: byKeys(TUNING_KEYS) },
  { type: 'tuning', what: 'writes the sysctls', find: bySysctls },
  { type: 'firewall', what: 'isolates the containers', find: byIsolation },
];

/** What is doubled in the entries of a list, with the place of the other plugin. */
export function findDoubles(plugins: readonly unknown[]): (Fault & { readonly place: string })[] {
  const entries = plugins.map((entry) => (isObject(entry) ? entry : {}));
  const ours = entries.findIndex(({ type }) => type === 'podlink');
  const own = entries[ours];
  if (!own) return [];
  return entries.flatMap((entry, i) => {
    const place = `plugins[${i}]`;
    if (i !== ours && entry.type === 'podlink') {
      return [{ ...warning(diagnose('podlink-twice')), place }];
    }
    const found = DOUBLES.flatMap(({ type, what, find }) => {
      const by = entry.type === type ? find(own, entry) : undefined;
      return by === undefined ? [] : [{ type, what, by }];
    });
    // The same work is told of once, whatever it is doubled by.
    return [...new Map(found.toReversed().map((each) => [each.what, each])).values()]
      .toReversed()
      .map(({ type, what, by }) => ({
        ...warning(diagnose('work-doubled', { subject: type, object: what, of: `plugins[${ours}]`, found: by })),
        place,
      }));
  });
}

function byCapability(capability: string): Double['find'] {
  return (own, other) =>
    hasCapability(own, capability) && hasCapability(other, capability) ? `the capability "${capability}"` : undefined;
}

function byKeys(keys: readonly string[]): Double['find'] {
  return (own, other) => {
    const both = keys.filter((key) => isSet(own, key) && isSet(other, key));
    return both.length === 0 ? undefined : both.map((key) => `"${key}"`).join(', ');
  };
}

function byLimits(own: Entry, other: Entry): string | undefined {
  const settingOf = (entry: Entry) => {
    const key = RATES.find((each) => isSet(entry, each));
    if (key !== undefined) return `"${key}"`;
    return hasCapability(entry, 'bandwidth') ? 'the capability "bandwidth"' : undefined;
  };
  return settingOf(other) === undefined ? undefined : settingOf(own);
}

function bySysctls(own: Entry, other: Entry): string | undefined {
  const namesOf = (entry: Entry) => {
    const sysctls = valueAt(entry, 'sysctl');
    return isObject(sysctls) ? Object.keys(sysctls) : [];
  };
  const canonical = (name: string) => name.replaceAll('/', '.');
  const others = new Set(namesOf(other).map(canonical));
  const both = namesOf(own).filter((name) => others.has(canonical(name)));
  return both.length === 0 ? undefined : both.map((name) => `"sysctl" ${name}`).join(', ');
}

/** The firewall plugin without "ingressPolicy" only lets traffic through that another firewall may drop. */
function byIsolation(own: Entry, other: Entry): string | undefined {
  const policy = valueAt(other, 'ingressPolicy');
  if (policy !== 'same-bridge' && policy !== 'isolated') return undefined;
  if (valueAt(own, 'icc') === false) return '"icc": false';
  return valueAt(own, 'internal') === true ? '"internal": true' : undefined;
}

function hasCapability(entry: Entry, capability: string): boolean {
  const capabilities = valueAt(entry, 'capabilities');
  return isObject(capabilities) && capabilities[capability] === true;
}

/** Whether a key asks for something: the plugins take false, 0 and an empty text for nothing. */
function isSet(entry: Entry, key: string): boolean {
  const value = valueAt(entry, key);
  return value !== undefined && value !== false && value !== 0 && value !== '';
}
