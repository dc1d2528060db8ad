// The sections of the bench: what is measured, in which order, by the names that --only takes.

export interface Section {
  readonly name: string;
  /** Heading of its rows in the table. */
  readonly title: string;
  /** Of the rounds that are asked for: what takes seconds a round is measured in fewer of them. */
  readonly share: number;
}

export const SECTIONS = [
  { name: 'bridge', title: 'Bridge and host-local', share: 1 },
  { name: 'chain', title: "The kubelet's chain (bridge, two ports, limits, firewall, sysctl)", share: 1 },
  { name: 'burst', title: "Many at once, the kubelet's chain", share: 1 / 5 },
  { name: 'crowd', title: "One beside many, the kubelet's chain", share: 1 / 2 },
  { name: 'ports', title: 'A pod with a hundred ports, bridge and masquerading', share: 1 / 10 },
  { name: 'pool', title: 'host-local alone, in a /16', share: 1 / 3 },
  { name: 'cost', title: 'Processor time and memory', share: 1 },
  { name: 'sandbox', title: "containerd, the kubelet's chain (podlink is its loopback plugin, too)", share: 1 / 2 },
  { name: 'netavark', title: 'Against netavark (bridge, masquerading, two ports)', share: 1 },
  { name: 'phases', title: 'Where the time goes', share: 1 },
] as const satisfies readonly Section[];

export type SectionName = (typeof SECTIONS)[number]['name'];

const FEWEST_ROUNDS = 3;

/** The section of that name. Throws Error that lists all names when there is none. */
export function sectionOf(name: string): Section & { readonly name: SectionName } {
  const section = SECTIONS.find((each) => each.name === name);
  if (section) return section;
  throw new Error(`Unknown section "${name}": must be one of ${SECTIONS.map((each) => each.name).join(', ')}`);
}

/** How many rounds a section is measured in when `rounds` are asked for. */
export function roundsOf(name: SectionName, rounds: number): number {
  return Math.min(rounds, Math.max(FEWEST_ROUNDS, Math.ceil(rounds * sectionOf(name).share)));
}
