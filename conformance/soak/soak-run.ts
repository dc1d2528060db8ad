// The soak: random calls about random places, many at once, some of them killed; afterwards the node must be as before.
//
// What a call may answer depends on what is known of its place. A place that only calls of its own have touched and none
// of which was killed is known exactly; of any other only the next DEL makes sure. At the end DEL is called only for
// places that may be attached: what a refused ADD or a finished DEL left behind is found then.

import { spawnSync } from 'node:child_process';
import type { ErrorDocument, Result } from '../harness/document.ts';
import type { Command, Host, Invocation, Outcome } from '../harness/host.ts';
import { withPrevResult } from '../harness/verdict.ts';
import { type Network, networksOf } from './network.ts';
import { invocationOf, type Place, placesOf } from './place.ts';
import { Random } from './random.ts';

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly parallel: number;
}

export interface SoakOutcome {
  attachments: number;
  calls: number;
  kills: number;
  /** Calls by verb and code of their answer, 0 for success: `ADD 11`. */
  readonly answers: Map<string, number>;
  /** Unexpected answers; the first ends the soak. */
  readonly failures: string[];
  /** What is left on the node. */
  leaks: string[];
  /** The last calls, the newest last. */
  readonly history: string[];
}

const HISTORY_LENGTH = 60;
/** A call that is killed is killed within this time. A whole one takes 50 to 500 ms here, the longer the more there are. */
const KILL_WITHIN_MS = 400;
/** The frame of the rules stays, and maps belong to it. */
const EMPTY_MAP = /^\+ host nft (?!.*"elem":)\{"map":\{.*"podlink"/;
/** Transient, or the address, port or interface is another's: what an ADD may answer on a busy node. */
const BUSY_CODES = [11, 102];

/** Soak a host of its own. Takes the attachments away at the end, and says what is left. */
export async function soak(host: Host, options: SoakOptions): Promise<SoakOutcome> {
  const run = new SoakRun(host, options);
  return await run.run();
}

class SoakRun {
  readonly #host: Host;
  readonly #options: SoakOptions;
  readonly #random: Random;
  readonly #networks: readonly Network[];
  readonly #places: readonly Place[];
  readonly #outcome: SoakOutcome = {
    attachments: 0,
    calls: 0,
    kills: 0,
    answers: new Map(),
    failures: [],
    leaks: [],
    history: [],
  };
  /** Runtimes hold back ADD while GC runs (CNI spec, "GC"). */
  #collecting: Promise<void> | undefined;

  constructor(host: Host, options: SoakOptions) {
    this.#host = host;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#networks = networksOf(host);
    this.#places = placesOf(this.#networks, options.parallel * 3);
  }

  async run(): Promise<SoakOutcome> {
    const before = this.#host.snapshot();
    const deadline = performance.now() + this.#options.seconds * 1000;
    const worker = async (): Promise<void> => {
      while (performance.now() < deadline && this.#outcome.failures.length === 0) await this.#step();
    };
    await Promise.all(Array.from({ length: this.#options.parallel }, worker));
    const lastOnes = [...this.#outcome.history];
    await this.#detachAll();
    if (this.#outcome.failures.length > 0) this.#outcome.history.splice(0, Number.POSITIVE_INFINITY, ...lastOnes);
    for (const place of this.#places) place.vanish();
    this.#outcome.leaks = this.#host.leftSince(before).filter((line) => !EMPTY_MAP.test(line));
    return this.#outcome;
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const place = this.#choosePlace();
    const kind = random.below(100);
    if (kind < 4) await this.#collect(random.pick(this.#networks));
    else if (kind < 8) await this.#status(random.pick(this.#networks));
    else if (kind < 11 && place.users === 0 && place.network.isBridged) this.#let(place, 'vanish');
    else if (place.knowledge === 'detached') await this.#add(place);
    else if (place.knowledge === 'unknown') await (random.oneIn(3) ? this.#add(place) : this.#del(place));
    else if (kind < 45) await this.#check(place);
    else if (kind < 50) await this.#add(place);
    else await this.#del(place);
  }

  /** One that is free; now and then one that another call is busy with. */
  #choosePlace(): Place {
    const free = this.#places.filter(({ users }) => users === 0);
    return this.#random.pick(free.length === 0 || this.#random.oneIn(20) ? this.#places : free);
  }

  #let(place: Place, what: 'vanish'): void {
    place[what]();
    this.#note(`${what} ${place.containerId}`);
  }

  async #add(place: Place): Promise<void> {
    if (this.#collecting) return await this.#collecting;
    const asked = place.network.ask(this.#random, this.#targets());
    void place.namespace;
    const { knowledge } = place;
    place.enter();
    const outcome = await this.#call('ADD', invocationOf(place, asked.config, asked.args), place);
    const result = outcome?.code === 0 ? (outcome.json as Result) : undefined;
    if (result) {
      this.#outcome.attachments++;
      place.invocation = asked;
      place.result = result;
      place.settle();
    }
    const isKnown = knowledge === 'detached' && !place.isContested;
    if (outcome && !result) this.#mustBe(outcome, BUSY_CODES, `ADD of ${place.containerId}, which is ${knowledge}`);
    if (result && knowledge === 'attached' && !place.isContested) this.#fail('a second ADD succeeds', outcome);
    place.leave(outcome ? (result ? 'attached' : isKnown ? 'detached' : knowledge) : 'unknown');
  }

  /** As a runtime calls it: with all it knows, or with next to nothing. */
  async #del(place: Place): Promise<void> {
    const { config } = place.invocation;
    const known = typeof config !== 'string' && place.result ? withPrevResult(config, place.result) : config;
    const { runtimeConfig: _, ...bare } = known as Record<string, unknown>;
    const { ipam: __, ...broken } = bare;
    const invocation = invocationOf(
      place,
      this.#random.pick([known, known, bare, config, broken]),
      place.invocation.args,
    );
    place.enter();
    // Without IPAM in the configuration the record alone tells where the address is; a killed call may have left none.
    const isCertain = place.knowledge === 'attached' && !place.isContested;
    const given = isCertain ? invocation : { ...invocation, config: known };
    const outcome = await this.#call(
      'DEL',
      this.#random.oneIn(5) && isCertain ? { ...given, netns: '' } : given,
      place,
    );
    if (outcome && outcome.code !== 0) this.#fail(`DEL of ${place.containerId} fails`, outcome);
    place.leave(outcome ? 'detached' : 'unknown');
  }

  async #check(place: Place): Promise<void> {
    const { config, args } = place.invocation;
    if (!place.lives || !place.result || typeof config === 'string') return await this.#del(place);
    place.enter();
    const invocation = invocationOf(place, withPrevResult(config, place.result), args);
    const outcome = await this.#call('CHECK', invocation, place, { isSpared: true });
    if (outcome && outcome.code !== 0) {
      // Whose network it shares may have ended meanwhile.
      if (!place.isContested && place.network.isBridged) this.#fail(`CHECK of ${place.containerId} fails`, outcome);
      this.#mustBe(outcome, [...BUSY_CODES, 4, 8, 101], `CHECK of ${place.containerId}`);
    }
    place.leave(place.knowledge);
  }

  async #status(network: Network): Promise<void> {
    const outcome = await this.#call('STATUS', { config: network.config }, undefined, { isSpared: true });
    if (outcome && outcome.code !== 0) this.#mustBe(outcome, [50, 51], 'STATUS');
  }

  /** GC as a runtime calls it that has forgotten some of its containers. */
  async #collect(network: Network): Promise<void> {
    if (this.#collecting) return await this.#collecting;
    const own = this.#places.filter((place) => place.network === network);
    const idle = own.filter(({ users, knowledge }) => users === 0 && knowledge === 'attached');
    const forgotten = idle.filter(() => this.#random.oneIn(4));
    for (const place of forgotten) place.enter();
    const work = this.#collectAllBut(network, own, forgotten);
    this.#collecting = work;
    await work;
    this.#collecting = undefined;
  }

  async #collectAllBut(network: Network, own: readonly Place[], forgotten: readonly Place[]): Promise<void> {
    const isValid = (place: Place) => !forgotten.includes(place) && (place.users > 0 || place.knowledge === 'attached');
    const valid = own.filter(isValid).map(({ containerId: containerID, ifname }) => ({ containerID, ifname }));
    const config = { ...network.config, 'cni.dev/valid-attachments': valid };
    const outcome = await this.#call('GC', { config }, undefined);
    if (outcome && outcome.code !== 0) this.#fail('GC fails', outcome);
    for (const place of forgotten) place.leave(outcome ? 'detached' : 'unknown');
  }

  /** Attached containers that another may share the network of. */
  #targets(): string[] {
    return this.#places
      .filter(({ network, knowledge, users }) => network.isBridged && knowledge === 'attached' && users === 0)
      .map(({ containerId }) => containerId);
  }

  async #detachAll(): Promise<void> {
    for (const place of this.#places) {
      if (place.knowledge === 'detached') continue;
      const { config, args } = place.invocation;
      const outcome = await this.#call('DEL', invocationOf(place, config, args), place, { isSpared: true });
      if (outcome?.code !== 0) this.#fail(`the last DEL of ${place.containerId} fails`, outcome);
    }
  }

  /** Run the plugin; undefined when it was killed. Every answer must be one that a runtime understands. */
  async #call(
    command: Command,
    invocation: Invocation,
    place: Place | undefined,
    { isSpared = false } = {},
  ): Promise<Outcome | undefined> {
    const killAfterMs = !isSpared && this.#random.oneIn(5) ? 1 + this.#random.below(KILL_WITHIN_MS) : undefined;
    const under = killAfterMs === undefined ? [] : ['timeout', '-s', 'KILL', String(killAfterMs / 1000)];
    const entry = `${command}${place ? ` ${place.containerId} ${place.ifname} in ${place.network.config.name}` : ''}`;
    const number = ++this.#outcome.calls;
    const fate = killAfterMs === undefined ? '' : ` to be killed after ${killAfterMs} ms`;
    this.#note(`${number}: ${entry} ${invocation.args ?? ''}${fate}`);
    const outcome = await this.#host.start(command, { ...invocation, under });
    if (outcome.signal === 'SIGKILL' || outcome.code === 137) {
      this.#outcome.kills++;
      this.#note(`  ${number}: killed`);
      return undefined;
    }
    const code = outcome.code === 0 ? 0 : (outcome.json as ErrorDocument | undefined)?.code;
    const answer = `${command} ${code ?? 'nothing'}`;
    this.#outcome.answers.set(answer, (this.#outcome.answers.get(answer) ?? 0) + 1);
    this.#note(`  ${number}: ${code ?? `${outcome.signal ?? outcome.code}`} after ${Math.round(outcome.ms)} ms`);
    if (code === undefined || code === 999) this.#fail(`${entry} has no answer of CNI's`, outcome);
    return outcome;
  }

  #mustBe(outcome: Outcome, codes: readonly number[], what: string): void {
    const { code } = (outcome.json ?? {}) as ErrorDocument;
    if (!codes.includes(code)) this.#fail(`${what} is refused with ${code}`, outcome);
  }

  #fail(what: string, outcome: Outcome | undefined): void {
    this.#outcome.failures.push(`${what}: ${outcome ? `${outcome.stdout}${outcome.stderr}` : 'killed'}`);
  }

  #note(line: string): void {
    const { history } = this.#outcome;
    history.push(line.trimEnd());
    if (history.length > HISTORY_LENGTH) history.shift();
  }
}

/** What a node needs for a soak. Throws Error when something is missing. */
export function mustHavePrograms(): void {
  for (const program of ['nsenter', 'timeout', 'ip', 'nft']) {
    const { status } = spawnSync('sh', ['-c', `command -v ${program}`]);
    if (status !== 0) throw new Error(`The soak needs ${program}`);
  }
}
