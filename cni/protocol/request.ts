// What the runtime asks for: the environment variables and stdin of one execution ("Parameters", SPEC.md).
//
// Order of the checks, and their messages, are the reference library's (pkg/skel): the variables a verb requires,
// in the order of the table, then which of them are missing, then the configuration, then the verb itself,
// then its version. Two differences: CNI_PATH is never required (it is optional in the specification),
// and VERSION answers with the version it was asked in.

import { readCniArgs } from './args.ts';
import { type NetworkConfig, parseNetworkConfig } from './config.ts';
import {
  CniError,
  ERR_INCOMPATIBLE_CNI_VERSION,
  ERR_INVALID_ENVIRONMENT_VARIABLES,
  ERR_IO_FAILURE,
  toCniError,
} from './errors.ts';
import { FieldError, Fields } from './fields.ts';
import { parseJson } from './json/json.ts';
import { DUPLICATED, findDuplicateKey } from './json/json-duplicate.ts';
import { validateContainerId, validateInterfaceName, validateNewInterfaceName } from './name.ts';
import {
  LATEST_VERSION,
  compareVersions,
  isSupportedVersion,
  SUPPORTED_VERSIONS,
  type SupportedVersion,
} from './version.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type AttachmentCommand = 'ADD' | 'DEL' | 'CHECK';
export type NetworkCommand = 'GC' | 'STATUS';
export type Command = AttachmentCommand | NetworkCommand | 'VERSION';

export interface VersionRequest {
  readonly command: 'VERSION';
  /** What to answer in: the asker's version when it is a supported one. */
  readonly cniVersion: SupportedVersion;
}

/** A request about one container's interface. */
export interface AttachmentRequest {
  readonly command: AttachmentCommand;
  readonly containerId: string;
  /** Absolute path of the network namespace; on DEL empty when the runtime names none that can be. */
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS, as far as it can be read: who reads it calls refuseMalformedArgs() first. */
  readonly args: ReadonlyMap<string, string>;
  /** A piece of CNI_ARGS that is not KEY=VALUE; undefined when there is none. */
  readonly malformedArg: string | undefined;
  /** Directories where plugins are. */
  readonly path: readonly string[];
  readonly config: NetworkConfig;
  /** The configuration as it came, for a delegate. */
  readonly stdin: string;
  /** The runtime permits CNI_NETNS to be the plugin's own namespace. */
  readonly netnsOverride: boolean;
}

/** A request about the network as a whole. */
export interface NetworkRequest {
  readonly command: NetworkCommand;
  readonly path: readonly string[];
  readonly config: NetworkConfig;
  readonly stdin: string;
}

export type Request = VersionRequest | AttachmentRequest | NetworkRequest;

interface CommandRule {
  /** The oldest cniVersion whose specification has the verb. */
  readonly since: SupportedVersion;
  readonly requires: readonly string[];
}

/** The verbs that need a configuration: all but VERSION, which needs nothing. */
const COMMANDS: Readonly<Record<AttachmentCommand | NetworkCommand, CommandRule>> = {
  ADD: { since: '0.1.0', requires: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'] },
  DEL: { since: '0.1.0', requires: ['CNI_CONTAINERID', 'CNI_IFNAME'] },
  CHECK: { since: '0.4.0', requires: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'] },
  GC: { since: '1.1.0', requires: [] },
  STATUS: { since: '1.1.0', requires: [] },
};

/** In the order in which they are checked and reported. A variable is validated only where it is required. */
const VARIABLES: readonly { readonly name: string; validate?(value: string): void }[] = [
  { name: 'CNI_COMMAND' },
  { name: 'CNI_CONTAINERID', validate: validateContainerId },
  { name: 'CNI_NETNS', validate: validateNetns },
  { name: 'CNI_IFNAME', validate: validateInterfaceName },
];

/**
 * Read the request. An empty variable is a missing one.
 *
 * `readStdin` is called at most once, and not before the variables are found good; a VERSION whose stdin cannot be
 * read is answered all the same.
 *
 * Throws CniError 1, 4, 5, 6 or 7, with the configuration's cniVersion if that is known.
 */
export function readRequest(environment: Environment, readStdin: () => string): Request {
  const command = environment.CNI_COMMAND ?? '';
  validateVariables(environment, isCommand(command) ? COMMANDS[command].requires : []);
  if (command === 'VERSION') return { command, cniVersion: versionIn(readStdinLeniently(readStdin)) ?? LATEST_VERSION };

  const stdin = readConfigText(readStdin);
  try {
    const config = parseNetworkConfig(stdin);
    if (!isCommand(command)) throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `unknown CNI_COMMAND: ${command}`);
    validateVersion(command, config.cniVersion);
    if (command !== 'DEL' && command !== 'GC') refuseDuplicateKeys(config, stdin);
    const path = (environment.CNI_PATH ?? '').split(':').filter((directory) => directory !== '');
    if (command === 'GC' || command === 'STATUS') return { command, path, config, stdin };
    return readAttachment(command, environment, { path, config, stdin });
  } catch (cause) {
    const { code, message, details } = toCniError(cause);
    throw new CniError(code, message, details, { cause, cniVersion: versionIn(stdin) });
  }
}

/**
 * Refuse a configuration in which a key stands twice, whoever wrote it: prevResult and runtimeConfig too, which runtimes
 * make of maps. DEL and GC take away what was made before somebody added the second.
 *
 * Throws FieldError naming the key.
 */
function refuseDuplicateKeys({ fields }: NetworkConfig, stdin: string): void {
  const path = findDuplicateKey(stdin, fields.raw);
  if (path !== undefined) throw new FieldError(path, DUPLICATED);
}

function isCommand(text: string): text is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, text);
}

function validateVariables(environment: Environment, required: readonly string[]): void {
  const missing: string[] = [];
  for (const { name, validate } of VARIABLES) {
    if (name !== 'CNI_COMMAND' && !required.includes(name)) continue;
    const value = environment[name] ?? '';
    if (value === '') missing.push(name);
    else validate?.(value);
  }
  if (missing.length > 0)
    throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `required env variables [${missing.join(',')}] missing`);
}

function validateNetns(path: string): void {
  if (isUsablePath(path)) return;
  throw new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid CNI_NETNS: must be an absolute path without a NUL byte, is ${JSON.stringify(path)}`,
  );
}

function isUsablePath(path: string): boolean {
  return path.startsWith('/') && !path.includes('\0');
}

/** A verb newer than the configuration is refused before the configuration's version as such, like in the reference. */
function validateVersion(command: keyof typeof COMMANDS, cniVersion: string): void {
  const { since } = COMMANDS[command];
  if (since !== '0.1.0') {
    if (compareVersions(cniVersion, since) < 0)
      throw new CniError(
        ERR_INCOMPATIBLE_CNI_VERSION,
        `config version does not allow ${command}`,
        `config is "${cniVersion}", ${command} exists since "${since}"`,
      );
    if (compareVersions(cniVersion, LATEST_VERSION) > 0)
      throw new CniError(
        ERR_INCOMPATIBLE_CNI_VERSION,
        `plugin version does not allow ${command}`,
        incompatibility(cniVersion),
      );
  }
  if (!isSupportedVersion(cniVersion))
    throw new CniError(ERR_INCOMPATIBLE_CNI_VERSION, 'incompatible CNI versions', incompatibility(cniVersion));
}

function incompatibility(cniVersion: string): string {
  return `config is "${cniVersion}", plugin supports [${SUPPORTED_VERSIONS.map((version) => `"${version}"`).join(' ')}]`;
}

function readAttachment(
  command: AttachmentCommand,
  environment: Environment,
  common: Pick<AttachmentRequest, 'path' | 'config' | 'stdin'>,
): AttachmentRequest {
  const netns = environment.CNI_NETNS ?? '';
  // DEL of an interface that no ADD can have made has nothing to do, and must not fail for ever.
  if (command !== 'DEL') validateNewInterfaceName(environment.CNI_IFNAME ?? '');
  const { args, malformed } = readCniArgs(environment.CNI_ARGS ?? '');
  return {
    command,
    containerId: environment.CNI_CONTAINERID ?? '',
    // On DEL the variable is optional: a path that cannot be one is none, or the runtime could never finish its DEL.
    netns: isUsablePath(netns) ? netns : '',
    ifname: environment.CNI_IFNAME ?? '',
    args,
    malformedArg: malformed,
    ...common,
    netnsOverride: /^(1|true)$/i.test(environment.CNI_NETNS_OVERRIDE ?? ''),
  };
}

/**
 * Refuse CNI_ARGS that are not KEY=VALUE. For an ADD that reads them: a piece that got lost may be an address that was asked
 * for. Where nothing is read from them they do no harm, and a DEL must never fail for them.
 *
 * Throws CniError 4 naming the piece.
 */
export function refuseMalformedArgs({ malformedArg }: Pick<AttachmentRequest, 'malformedArg'>): void {
  if (malformedArg === undefined) return;
  throw new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid CNI_ARGS: ${JSON.stringify(malformedArg)} must be KEY=VALUE`,
  );
}

function readConfigText(readStdin: () => string): string {
  try {
    return readStdin();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CniError(ERR_IO_FAILURE, `error reading from stdin: ${reason}`, '', { cause });
  }
}

function readStdinLeniently(readStdin: () => string): string {
  try {
    return readStdin();
  } catch {
    return ''; // The reference does not even read it: nothing in it is needed.
  }
}

/** The cniVersion in a text that may be anything; undefined when there is none, or none that is supported. */
function versionIn(stdin: string): SupportedVersion | undefined {
  try {
    const version = new Fields(parseJson(stdin, 'stdin')).get('cniVersion');
    return typeof version === 'string' && isSupportedVersion(version) ? version : undefined;
  } catch {
    return undefined; // Whatever is wrong with it is reported by who needs the configuration.
  }
}
