// `npm run demo`: two containers on a bridge, in namespaces of their own, connected by the executable just built. Shows
// every step as an operator would do it by hand, and that nothing is left at the end.

import { existsSync, readdirSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { addressOf, type Config, type Result } from '../harness/document.ts';
import { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { EXECUTABLE } from '../harness/plugin.ts';
import { linksOf } from '../harness/referee.ts';
import { canPing, exchange } from '../harness/traffic.ts';
import { mustAdd, mustPass, withPrevResult } from '../harness/verdict.ts';

const isTerminal = process.stdout.isTTY === true;
const bold = (text: string) => (isTerminal ? `\x1b[1m${text}\x1b[0m` : text);
const faint = (text: string) => (isTerminal ? `\x1b[2m${text}\x1b[0m` : text);

function step(title: string): void {
  console.log(`\n${bold(title)}`);
}

function show(text: string): void {
  for (const line of text.trimEnd().split('\n')) console.log(faint(`    ${line.trimEnd()}`));
}

/** Show what a referee says; it is told which command that was. */
function referee(namespace: Namespace, program: string, ...args: string[]): void {
  console.log(`  $ ${program} ${args.join(' ')}`);
  show(namespace.mustRun(program, args));
}

/** One check, shown; a wrong answer ends the demo. */
function expect(isAsExpected: boolean, what: string): void {
  assert.ok(isAsExpected, `this did not happen: ${what}`);
  console.log(`  ${isTerminal ? '\x1b[32mok\x1b[0m' : 'ok'}  ${what}`);
}

interface Pod {
  readonly name: string;
  readonly namespace: Namespace;
  readonly result: Result;
}

function add(host: Host, config: Config, name: string): Pod {
  const namespace = host.addContainer(name);
  const started = performance.now();
  const result = mustAdd(host, { config, container: namespace, containerId: name });
  const ms = Math.round(performance.now() - started);
  console.log(`  ADD ${name}: ${result.ips?.map(({ address }) => address).join(', ')} in ${ms} ms`);
  return { name, namespace, result };
}

async function demonstrate(host: Host): Promise<void> {
  const config = host.config({
    cniVersion: '1.1.0',
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
  });

  step('A host and two containers, each a network namespace of its own. The network:');
  show(JSON.stringify(config, undefined, 2));

  step(`ADD both with ${EXECUTABLE.split('/').slice(-2).join('/')}, as a container runtime calls it`);
  const [web, client] = [add(host, config, 'web'), add(host, config, 'client')];
  console.log('  the result for "web":');
  show(JSON.stringify(web.result, undefined, 2));

  step('What the kernel has now (ip and bridge are only asked, podlink never runs them)');
  referee(host.namespace, 'ip', '-brief', 'address', 'show', 'dev', 'cni0');
  referee(host.namespace, 'bridge', 'link');
  referee(web.namespace, 'ip', '-brief', 'address');
  referee(web.namespace, 'ip', 'route');

  step('They talk');
  for (const { address } of web.result.ips ?? []) {
    const ip = addressOf(address);
    expect(canPing(client.namespace, ip), `client pings ${ip}`);
    const reply = await exchange({ from: client.namespace, to: web.namespace, address: ip });
    expect(reply.answered, `client asks web over TCP at ${ip}; web sees it come from ${reply.seenFrom}`);
  }

  step('CHECK finds everything as ADD left it');
  for (const { name, namespace, result } of [web, client]) {
    mustPass(host, 'CHECK', { config: withPrevResult(config, result), container: namespace, containerId: name });
    expect(true, `CHECK ${name}`);
  }

  step('DEL both');
  for (const { name, namespace, result } of [web, client]) {
    mustPass(host, 'DEL', { config: withPrevResult(config, result), container: namespace, containerId: name });
    expect(true, `DEL ${name}`);
  }

  step('Nothing of them is left');
  for (const { name, namespace } of [web, client]) {
    expect(linkNames(namespace).join() === 'lo', `${name} has only lo`);
  }
  expect(
    linkNames(host.namespace).join() === 'lo,cni0',
    'the host has only lo and the bridge, which stays for the next',
  );
  const reserved = filesIn(`${host.dataDir}/pods`).filter((file) => !/^(lock|last_reserved_ip\.\d+)$/.test(file));
  expect(reserved.length === 0, 'no address is reserved');
  expect(filesIn(`${host.runDir}/attachments`).length === 0, 'no attachment is on record');
}

function linkNames(namespace: Namespace): string[] {
  return linksOf(namespace).map(({ ifname }) => ifname);
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) {
    console.error('The demo makes network namespaces, which only root may: run it as root');
    process.exitCode = 1;
    return;
  }
  // The exit handler of the harness removes the namespaces.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  const host = new Host();
  process.on('exit', () => host.remove());
  try {
    await demonstrate(host);
    console.log(`\n${bold('Done.')} The README tells how to put it on a node.`);
  } catch (error) {
    console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

await main();
