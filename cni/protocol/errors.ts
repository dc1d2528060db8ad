// CNI errors: the codes of the specification ("Error", SPEC.md 1.1.0) and the only mapping onto them.
//
// The layers below are known here by the `name` and fields of their errors, since protocol imports nothing below it.

import { FieldError, isObject } from './fields.ts';

/** The config's cniVersion is not one we speak, or too old for the verb. */
export const ERR_INCOMPATIBLE_CNI_VERSION = 1;
export const ERR_UNSUPPORTED_FIELD = 2;
export const ERR_UNKNOWN_CONTAINER = 3;
export const ERR_INVALID_ENVIRONMENT_VARIABLES = 4;
export const ERR_IO_FAILURE = 5;
export const ERR_DECODING_FAILURE = 6;
export const ERR_INVALID_NETWORK_CONFIG = 7;
/** Not in the specification's table, but what the reference library answers when CNI_NETNS is the plugin's own. */
export const ERR_INVALID_NETNS = 8;
/** Transient: the runtime should try again later. */
export const ERR_TRY_AGAIN_LATER = 11;
/** STATUS: the plugin cannot serve ADD. */
export const ERR_PLUGIN_NOT_AVAILABLE = 50;
/** STATUS: as 50, and existing containers may have limited connectivity. */
export const ERR_LIMITED_CONNECTIVITY = 51;
/** First of the plugin-specific codes: the kernel or the file system refused something that was asked correctly. */
export const ERR_KERNEL_REFUSED = 100;
/** CHECK found the attachment changed or gone. */
export const ERR_CHECK_FAILED = 101;
/** The attachment, interface or address is already there. */
export const ERR_ALREADY_EXISTS = 102;
/** A plugin we had to execute (a foreign IPAM type) failed or answered nonsense. */
export const ERR_DELEGATE_FAILED = 103;
/** DEL, GC or a rollback could not remove everything. */
export const ERR_CLEANUP_INCOMPLETE = 104;
/** A mistake in this program, as the reference library numbers what it did not foresee. */
export const ERR_INTERNAL = 999;

export interface CniErrorOptions extends ErrorOptions {
  readonly cniVersion?: string | undefined;
  readonly note?: string;
}

/**
 * A failure in CNI's terms. `details` holds the kernel's or file system's own words.
 *
 * A runtime shows `message` and `details` to whoever started the container: in Kubernetes, the events of the pod. So
 * neither names another container; `note` does, which goes to standard error and the call log alone.
 */
export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: number;
  readonly details: string;
  /** The cniVersion of the configuration, if the failure came after that was known and it is a supported one. */
  readonly cniVersion: string | undefined;
  /** For the operator alone; empty when there is nothing to add. */
  readonly note: string;

  constructor(code: number, message: string, details = '', options: CniErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.details = details;
    this.cniVersion = options.cniVersion;
    this.note = options.note ?? '';
  }
}

/** Format the error object: JSON indented by four spaces, no newline at the end, `details` only when there are any. */
export function formatError(error: CniError, cniVersion: string): string {
  const { code, message: msg, details } = error;
  return JSON.stringify({ cniVersion, code, msg, details: details === '' ? undefined : details }, undefined, 4);
}

/** What the errors of the layers below may carry: IpamError, ErrnoError, NetlinkError, and those of node:fs. */
interface LowerError extends Error {
  readonly kind?: unknown;
  readonly syscall?: unknown;
  readonly code?: unknown;
  readonly path?: unknown;
  readonly operation?: unknown;
  readonly kernelMessage?: unknown;
  readonly owner?: unknown;
  readonly variable?: unknown;
}

const IPAM_CODES: ReadonlyMap<unknown, number> = new Map([
  ['config', ERR_INVALID_NETWORK_CONFIG],
  ['argument', ERR_INVALID_NETWORK_CONFIG],
  ['exhausted', ERR_TRY_AGAIN_LATER],
  ['locked', ERR_TRY_AGAIN_LATER],
  ['taken', ERR_ALREADY_EXISTS],
  ['store', ERR_IO_FAILURE],
  ['missing', ERR_CHECK_FAILED],
]);

/** How far a chain of causes is followed: it may be a circle. */
const MAX_CAUSES = 8;

/**
 * Turn whatever was thrown into CNI's terms.
 *
 * A plain Error that wraps a known one keeps its own message, which adds the action, and takes code and details from
 * its cause. What is not known is a mistake in this program: 999 with the stack in `details`.
 */
export function toCniError(error: unknown): CniError {
  return findCniError(error, MAX_CAUSES) ?? internalError(error);
}

function findCniError(error: unknown, causesLeft: number): CniError | undefined {
  if (error instanceof CniError) return error;
  if (error instanceof FieldError) return new CniError(ERR_INVALID_NETWORK_CONFIG, error.message, '', { cause: error });
  if (error instanceof AggregateError) return fromSeveral(error, causesLeft);
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'IpamError') return fromIpam(error);
  if (error.name === 'LockTimeoutError') return new CniError(ERR_TRY_AGAIN_LATER, error.message, '', { cause: error });
  if (error.name === 'UnsafeDirectoryError') return new CniError(ERR_IO_FAILURE, error.message, '', { cause: error });
  if (error.name === 'NetlinkError' || error.name === 'ErrnoError') return fromKernel(error);
  if (isFileSystemError(error)) return fromFileSystem(error);
  if (error.name !== 'Error' || error.cause === undefined || causesLeft === 0) return undefined;
  const inner = findCniError(error.cause, causesLeft - 1);
  if (inner === undefined) return undefined;
  const details = error.message.includes(inner.message) ? inner.details : joinTexts(inner.message, inner.details);
  const { code, cniVersion, note } = inner;
  return new CniError(code, error.message, details, { cause: error, cniVersion, note });
}

function fromIpam(error: LowerError): CniError {
  // The specification wants error 4 to name the variable.
  const isOfVariable = error.kind === 'argument' && error.variable !== undefined;
  const code = isOfVariable ? ERR_INVALID_ENVIRONMENT_VARIABLES : (IPAM_CODES.get(error.kind) ?? ERR_INTERNAL);
  const details = error.cause instanceof Error ? error.cause.message : '';
  return new CniError(code, error.message, details, { cause: error, note: describeHolder(error.owner) });
}

/** The operator may know who holds the address. */
function describeHolder(owner: unknown): string {
  if (!isObject(owner) || typeof owner.containerId !== 'string') return '';
  const interfaceName = typeof owner.ifname === 'string' ? `, interface "${owner.ifname}"` : '';
  return `The address is held by container "${owner.containerId}"${interfaceName}`;
}

function fromKernel(error: LowerError): CniError {
  const { code, syscall, path, operation, kernelMessage } = error;
  const call = [syscall, path].filter((word) => typeof word === 'string').join(' ');
  const words = [code, call, operation, kernelMessage].filter((word) => typeof word === 'string' && word !== '');
  return new CniError(ERR_KERNEL_REFUSED, error.message, words.join(': '), { cause: error });
}

function isFileSystemError(error: LowerError): boolean {
  return typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code) && typeof error.syscall === 'string';
}

/** Node's "ENOENT: no such file or directory, open '/x'" in the order of a sentence. */
function fromFileSystem(error: LowerError): CniError {
  const reason = /^E[A-Z0-9]+: ([^,]+)/.exec(error.message)?.[1] ?? String(error.code);
  const object = typeof error.path === 'string' ? ` "${error.path}"` : '';
  const message = `Cannot ${error.syscall}${object}: ${reason}`;
  return new CniError(ERR_IO_FAILURE, message, error.message, { cause: error });
}

function fromSeveral(aggregate: AggregateError, causesLeft: number): CniError {
  const errors = aggregate.errors.map((error) => findCniError(error, causesLeft) ?? internalError(error));
  const [first, ...others] = errors;
  const haveOneCode = first !== undefined && others.every(({ code }) => code === first.code);
  const action = aggregate.message || `${errors.length} steps failed`;
  const causes = errors.map((error) => error.message).join('; ');
  const message = causes === '' ? action : `${action}: ${causes}`;
  const joined = (texts: readonly string[]) => texts.filter((text) => text !== '').join('; ');
  const details = joined(errors.map((error) => error.details));
  const note = joined(errors.map((error) => error.note));
  const code = haveOneCode ? first.code : ERR_CLEANUP_INCOMPLETE;
  return new CniError(code, message, details, { cause: aggregate, note });
}

function internalError(error: unknown): CniError {
  const isError = error instanceof Error;
  const text = isError ? `${error.name}: ${error.message}` : String(error);
  const details = isError ? (error.stack ?? '') : '';
  return new CniError(ERR_INTERNAL, `Internal error of podlink: ${text}`, details, { cause: error });
}

function joinTexts(message: string, details: string): string {
  return details === '' ? message : `${message} (${details})`;
}
