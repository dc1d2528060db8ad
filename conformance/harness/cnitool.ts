// The real cnitool, libcni's own command, which Debian has as source only: fetched, built offline and kept.
//
// The source of exactly the libcni that is installed (golang-github-appc-cni-dev) comes from Debian's archive, with an
// apt configuration of our own, so that the machine's need not name source packages and is not changed. It is built
// against Debian's Go libraries, without modules and without another download, and kept in
// ${XDG_CACHE_HOME:-$HOME/.cache}/podlink-conformance/VERSION.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { mustRun, type Output, run } from './command.ts';
import type { Config, Result } from './document.ts';
import type { Host } from './host.ts';
import type { Namespace } from './namespace.ts';
import { REFERENCE_FOLDER, typeOf } from './plugin.ts';

const SOURCE_PACKAGE = 'golang-github-appc-cni';
const LIBRARY_PACKAGE = 'golang-github-appc-cni-dev';
const DEBIAN_GO_PATH = '/usr/share/gocode';
/** Downloads of 10 MB and a Go build that took 22 s with an empty cache. */
const STEP_TIMEOUT_MS = 5 * 60_000;

/** cnitool keeps results where libcni does, whatever else it is told: each host gets a folder of its own there. */
const RESULT_CACHE = '/var/lib/cni';

/**
 * Runs in a mount namespace of its own: $1 is the host's folder for the result cache, $2 the host's network namespace.
 * With nsenter for the latter, since `ip netns exec` would mount another /sys over the one that is there.
 */
const RUN_ON_HOST = `
  [ -d ${RESULT_CACHE} ] || { mount -t tmpfs tmpfs /var/lib && mkdir ${RESULT_CACHE}; }
  mount --bind "$1" ${RESULT_CACHE}
  net=$2; shift 2
  exec nsenter --net="$net" -- "$@"
`;

/** The path of cnitool, which is fetched and built first when it is not there. Throws Error with what went wrong. */
function ensureCnitool(): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the format is dpkg-query's own
  const version = mustRun('dpkg-query', ['-W', '-f', '${source:Version}', LIBRARY_PACKAGE]).trim();
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'podlink-conformance');
  const program = join(cache, `${SOURCE_PACKAGE}_${version}`, 'cnitool');
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'build-'));
  try {
    const made = buildCnitool(fetchSource(version, work), work);
    mkdirSync(join(program, '..'), { recursive: true });
    renameSync(made, program);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return program;
}

/** Fetch the source package and give the folder it was unpacked to. */
function fetchSource(version: string, work: string): string {
  mkdirSync(join(work, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(work, 'source'));
  const list = join(work, 'source.sources');
  writeFileSync(list, sourceArchives().join('\n\n'));
  const options = {
    'Dir::Etc::SourceList': list,
    'Dir::Etc::SourceParts': join(work, 'none'),
    'Dir::State::Lists': join(work, 'lists'),
    'Dir::Cache::PkgCache': '',
    'Dir::Cache::SrcPkgCache': '',
    // The folder is root's, and apt would drop to another user that may not write there.
    'APT::Sandbox::User': 'root',
  };
  const apt = (...args: string[]): string =>
    mustRun(
      'apt-get',
      [...Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]), '-q', ...args],
      {
        cwd: join(work, 'source'),
        timeoutMs: STEP_TIMEOUT_MS,
      },
    );
  apt('update');
  apt('source', '--download-only', `${SOURCE_PACKAGE}=${version}`);
  const archive = readdirSync(join(work, 'source')).find((name) => name.includes('.orig.tar.'));
  if (archive === undefined) throw new Error(`The source package ${SOURCE_PACKAGE} ${version} has no .orig.tar`);
  const unpacked = join(work, 'unpacked');
  mkdirSync(unpacked);
  mustRun('tar', ['-xf', join(work, 'source', archive), '-C', unpacked, '--strip-components=1']);
  return unpacked;
}

/** The machine's own Debian archives, as deb822 entries that name their source packages. */
function sourceArchives(): string[] {
  const folder = '/etc/apt/sources.list.d';
  const parts = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.sources')) : [];
  const entries = parts
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split(/\n\s*\n/))
    .map((entry) => entry.replace(/^#.*\n?/gm, '').trim())
    // Other vendors' archives have nothing for us.
    .filter((entry) => /^Types:.*\bdeb\b/m.test(entry) && /^URIs:.*\/(debian|ubuntu)\/?(\s|$)/m.test(entry))
    .map((entry) => entry.replace(/^Types:.*$/m, 'Types: deb-src'));
  return entries.length > 0 ? entries : oneLineArchives();
}

/** Likewise from sources.list, whose lines are `deb [options] URI suite component…`. */
function oneLineArchives(): string[] {
  const path = '/etc/apt/sources.list';
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  const entries = lines.flatMap((line) => {
    const [, uri, suite, components] =
      /^deb\s+(?:\[[^\]]*\]\s+)?(\S+\/(?:debian|ubuntu)\/?)\s+(\S+)\s+(.+)$/.exec(line) ?? [];
    return uri === undefined ? [] : [`Types: deb-src\nURIs: ${uri}\nSuites: ${suite}\nComponents: ${components}`];
  });
  if (entries.length > 0) return entries;
  throw new Error(`No Debian archive is named in /etc/apt: cannot fetch the source package ${SOURCE_PACKAGE}`);
}

/** Build cnitool from the unpacked source and give its path. */
function buildCnitool(source: string, work: string): string {
  const made = join(work, 'cnitool');
  mustRun('go', ['build', '-o', made, join(source, 'cnitool', 'cnitool.go')], {
    cwd: source,
    timeoutMs: STEP_TIMEOUT_MS,
    env: {
      ...process.env,
      GO111MODULE: 'off',
      GOPROXY: 'off',
      GOFLAGS: '',
      CGO_ENABLED: '0',
      GOPATH: `${join(work, 'gopath')}:${DEBIAN_GO_PATH}`,
      GOCACHE: join(work, 'gocache'),
    },
  });
  return made;
}

/** A network for cnitool: the plugins of its list, podlink named as what runs in this run of the cases. */
export interface Network {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Config[];
}

export interface CnitoolCall {
  readonly network: Network;
  readonly container: Namespace;
  /** Arguments of capabilities, e.g. `{ portMappings: […] }`. */
  readonly capabilities?: Readonly<Record<string, unknown>>;
  /** CNI_ARGS. */
  readonly args?: string;
  readonly ifname?: string;
}

/** Run cnitool on a host, with the plugins under test before the reference's own. */
export function cnitool(host: Host, action: 'add' | 'check' | 'del', call: CnitoolCall): Output {
  const { network, container } = call;
  const confFolder = join(host.folder, 'net.d');
  const results = join(host.folder, 'cni-cache');
  for (const folder of [confFolder, results]) mkdirSync(folder, { recursive: true });
  const plugins = network.plugins.map((plugin) => ({ ...plugin, type: typeOf(plugin.type ?? 'podlink') }));
  writeFileSync(join(confFolder, `${network.name}.conflist`), JSON.stringify({ ...network, plugins }));
  const program = [ensureCnitool(), action, network.name, container.path];
  const script = ['sh', '-ec', RUN_ON_HOST, 'sh', results, host.namespace.path, ...program];
  return run('unshare', ['--mount', '--propagation', 'private', ...script], {
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      NETCONFPATH: confFolder,
      CNI_PATH: `${host.pluginFolder}:${REFERENCE_FOLDER}`,
      PODLINK_RUN_DIR: host.runDir,
      ...(call.capabilities && { CAP_ARGS: JSON.stringify(call.capabilities) }),
      ...(call.args !== undefined && { CNI_ARGS: call.args }),
      ...(call.ifname !== undefined && { CNI_IFNAME: call.ifname }),
    },
  });
}

/** `cnitool add` that must succeed, and the result it prints. Throws Error with what it said otherwise. */
export function cnitoolAdd(host: Host, call: CnitoolCall): Result {
  const output = cnitool(host, 'add', call);
  if (output.code !== 0) throw new Error(`cnitool add fails: ${(output.stdout + output.stderr).trim()}`);
  return JSON.parse(output.stdout) as Result;
}

/** `cnitool check` or `del` that must succeed. Throws Error with what it said otherwise. */
export function cnitoolPass(host: Host, action: 'check' | 'del', call: CnitoolCall): void {
  const output = cnitool(host, action, call);
  if (output.code !== 0) throw new Error(`cnitool ${action} fails: ${(output.stdout + output.stderr).trim()}`);
}

/** The entries of libcni's result cache. */
export function cachedResults(host: Host): string[] {
  const folder = join(host.folder, 'cni-cache', 'results');
  return existsSync(folder) ? readdirSync(folder) : [];
}
