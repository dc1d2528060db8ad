// `install`: put podlink into a directory of CNI plugins, and a configuration beside it on request.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ensureDirectory } from '../../kernel/directory.ts';
import { isErrno } from '../../kernel/errno.ts';
import { lockFile } from '../../kernel/flock.ts';
import { type Call, type Command, CommandError, UsageError } from '../cli/command.ts';
import { listConfFiles } from '../validate/conf-dir.ts';
import { openRunningExecutable, type RunningExecutable } from './install-executable.ts';
import { readManifest } from './install-manifest.ts';
import { keptPathOf, type Outcome, type Place } from './install-place.ts';
import { carryOut, type InstallPlan, planInstall } from './install-plan.ts';
import { isInCluster, readPodCidrs } from '../ipam/kubernetes-node.ts';
import { CONFLIST_NAME, DEFAULT_NETWORK, formatStarterConflist } from './starter-conflist.ts';
import { type Colour, printable, type Style } from '../cli/text-table.ts';

/** A copy of 160 MB to a slow disk. */
const LOCK_TIMEOUT_MS = 120_000;
const DIRECTORY_MODE = 0o755;

const COLOURS: Readonly<Record<Outcome, Colour>> = {
  installed: 'green',
  replaced: 'green',
  unchanged: 'dim',
  left: 'yellow',
};

/** What a dry run says instead. */
const PLANNED: Readonly<Record<Outcome, string>> = {
  installed: 'would install',
  replaced: 'would replace',
  unchanged: 'unchanged',
  left: 'would leave',
};

export const installCommand: Command = {
  name: 'install',
  summary: 'put podlink into a directory of CNI plugins',
  description:
    'Copies this executable to DIR/podlink and makes loopback, host-local and static links to it. Another plugin of such a name is refused; with --force it is kept as NAME.before-podlink. Upgrades replace, and running it again changes nothing. With --conf-dir it also writes 10-podlink.conflist there, for the given subnets, or for those that Kubernetes has given the node when it runs in a pod (NODE_NAME must name the node). What it does is on record in DIR, for "podlink uninstall".',
  arguments: [{ name: 'DIR', isRequired: true, completes: 'directory' }],
  options: [
    { name: 'conf-dir', value: 'DIR', summary: 'write a configuration into this directory', completes: 'directory' },
    { name: 'subnet', value: 'CIDR', summary: "addresses of this node's pods; once for each family", isRepeated: true },
    { name: 'network', value: 'NAME', summary: `name of the network (default ${DEFAULT_NETWORK})` },
    { name: 'force', summary: 'replace what is not podlink, and keep it beside' },
    { name: 'dry-run', short: 'n', summary: 'show what would be done, and change nothing' },
  ],
  async run(call) {
    const confDir = call.valueOf('conf-dir');
    const text = await conflistText(call, confDir !== undefined);
    const executable = openRunningExecutable();
    const isDryRun = call.isSet('dry-run');
    try {
      const isNewFolder = !existsSync(absolutePath(call.args[0] ?? ''));
      const plan = install(call, executable, text, isDryRun);
      const { version } = call.surroundings;
      warnOfOthers(call, plan);
      return {
        json: {
          version,
          dir: plan.dir,
          dirWasMissing: isNewFolder,
          dryRun: isDryRun,
          files: plan.places.map((place) => ({
            path: place.path,
            outcome: place.outcome,
            ...(place.keepsForeign && { kept: keptPathOf(place.path) }),
          })),
        },
        text: (style) => describe(plan, version, { isDryRun, isNewFolder }, style),
      };
    } finally {
      executable.close();
    }
  },
};

/** The configuration to write, if one is. Throws UsageError, or CommandError when Kubernetes does not tell the subnets. */
async function conflistText(call: Call, isWanted: boolean): Promise<string | undefined> {
  const subnets = call.valuesOf('subnet');
  const network = call.valueOf('network');
  if (!isWanted) {
    const needless = subnets.length > 0 ? '--subnet' : network !== undefined ? '--network' : undefined;
    if (needless)
      throw new UsageError(`install: ${needless} is for a configuration: --conf-dir says where to write it`);
    return undefined;
  }
  const { env } = call.surroundings;
  if (subnets.length === 0 && !isInCluster(env)) {
    throw new UsageError('install: --subnet is missing: which addresses are for the pods of this node?');
  }
  return formatStarterConflist(network ?? DEFAULT_NETWORK, subnets.length > 0 ? subnets : await readPodCidrs(env));
}

function install(call: Call, executable: RunningExecutable, text: string | undefined, isDryRun: boolean): InstallPlan {
  const dir = resolveDirectory(call.args[0] ?? '');
  const confDir = call.valueOf('conf-dir');
  const conflist =
    text === undefined || confDir === undefined
      ? {}
      : { conflist: { path: join(resolveDirectory(confDir), CONFLIST_NAME), text } };
  const request = { dir, executable, version: call.surroundings.version, force: call.isSet('force'), ...conflist };
  // What is refused is refused before even a directory is made, and a second time changes nothing at all.
  const preview = planInstall(request, readManifest(dir));
  if (isDryRun || preview.isDone) return preview;
  for (const place of preview.places) ensureDirectory(dirname(place.path), DIRECTORY_MODE);
  const lock = lockFile(dir, LOCK_TIMEOUT_MS);
  try {
    const plan = planInstall(request, readManifest(dir));
    if (!plan.isDone) carryOut(plan);
    return { ...plan, isDone: false };
  } finally {
    lock.release();
  }
}

/** The directory itself where a link leads to it; it may be still to be made. */
function resolveDirectory(path: string): string {
  const absolute = absolutePath(path);
  try {
    return realpathSync(absolute);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return absolute;
    throw error;
  }
}

/** Throws CommandError where the working directory that a relative path starts from has been removed. */
function absolutePath(path: string): string {
  try {
    return resolve(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    throw new CommandError(`the working directory is gone: "${path}" must be an absolute path`);
  }
}

/** Runtimes take the first configuration of a directory. */
function warnOfOthers(call: Call, { places }: InstallPlan): void {
  const conflist = places.find(({ content }) => content.kind === 'conflist');
  if (!conflist) return;
  if (conflist.outcome === 'left') {
    call.warn(
      `"${conflist.path}" has been edited since it was installed, and is left: remove it to have it written anew`,
    );
  }
  const files = filesBeside(conflist.path);
  const before = files.slice(0, Math.max(0, files.indexOf(conflist.path)));
  if (before.length === 0) return;
  const [first] = before;
  call.warn(`"${first}" comes before ${CONFLIST_NAME}: containerd and CRI-O use the first configuration only`);
}

/** The configurations in the directory of a path, and the path itself also when it is not written yet. */
function filesBeside(path: string): string[] {
  const dir = path.slice(0, -CONFLIST_NAME.length - 1);
  try {
    return [...new Set([...listConfFiles(dir), path])].sort();
  } catch {
    return [path]; // a directory that a dry run does not make
  }
}

function describe(
  { places, dir, isDone }: InstallPlan,
  version: string,
  { isDryRun, isNewFolder }: { isDryRun: boolean; isNewFolder: boolean },
  style: Style,
): string {
  const wordOf = ({ outcome }: Place) => (isDryRun ? PLANNED[outcome] : outcome);
  const width = Math.max(...places.map((place) => wordOf(place).length));
  const lines = places.map((place) => {
    const word = style(COLOURS[place.outcome], wordOf(place).padEnd(width));
    return `${word}  ${printable(place.path)}${detailOf(place)}`;
  });
  // A slip of the pen would put it where no runtime looks.
  const where = `in ${printable(dir)}${isNewFolder ? ', a folder that was not there' : ''}`;
  const summary = isDone
    ? `podlink ${version} is already installed ${where}`
    : isDryRun
      ? `podlink ${version} would be installed ${where}; nothing was changed`
      : `podlink ${version} is installed ${where}`;
  return [...lines, summary].join('\n');
}

function detailOf({ path, content, outcome, keepsForeign }: Place): string {
  if (outcome === 'left')
    return ' (edited since; to have it written anew remove it and run this again, --force does not)';
  const target = content.kind === 'link' ? ` -> ${content.target}` : '';
  return keepsForeign ? `${target} (what was there: ${printable(keptPathOf(path))})` : target;
}
