// The call log (configuration key `log`): one line of JSON for every call, for whoever has to find out later what a
// runtime asked for and how long it took. Rotation is logrotate's: the file is opened anew for every line.

import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { describeValue, type Fields } from '../../protocol/fields.ts';
import { type KeyRows, keyTable, readKey } from '../../protocol/schema.ts';
import type { CniError } from '../../protocol/errors.ts';
import type { AttachmentRequest, NetworkRequest } from '../../protocol/request.ts';
import type { Stopwatch } from './stopwatch.ts';

const LOG_KEYS = { log: { type: 'string', read: logPathAt } } as const satisfies KeyRows;

export const LOG_TABLE = keyTable(LOG_KEYS, () => ({
  title: 'Logs',
  notes: {
    log: {
      about: 'An absolute path: the file that gets one line of JSON for every call of this network.',
      pattern: '^(/|$)',
    },
  },
}));

/** Where to log; undefined when the configuration does not ask for it. Throws FieldError. */
export function parseLogPath(fields: Fields): string | undefined {
  return readKey(fields, LOG_KEYS, 'log');
}

function logPathAt(fields: Fields, key: string): string | undefined {
  const path = fields.string(key) || undefined;
  if (path === undefined || isAbsolute(path)) return path;
  return fields.refuse(key, `must be an absolute path, is ${describeValue(path)}`);
}

/**
 * Append the line. A single write of a file opened for appending: lines of calls at the same time do not mix.
 *
 * Throws node:fs errors.
 */
export function logCall(
  path: string,
  request: AttachmentRequest | NetworkRequest,
  stopwatch: Stopwatch,
  error: CniError | undefined,
): void {
  const line = `${JSON.stringify(describeCall(request, stopwatch, error))}\n`;
  const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    writeSync(fd, line);
  } finally {
    closeSync(fd);
  }
}

function describeCall(
  request: AttachmentRequest | NetworkRequest,
  stopwatch: Stopwatch,
  error: CniError | undefined,
): object {
  const round = (ms: number) => Number(ms.toFixed(2));
  return {
    time: new Date().toISOString(),
    command: request.command,
    network: request.config.name,
    cniVersion: request.config.cniVersion,
    ...('containerId' in request && {
      containerId: request.containerId,
      ifname: request.ifname,
      netns: request.netns,
      ...podOf(request.args),
    }),
    ms: round(stopwatch.totalMs),
    phases: Object.fromEntries(stopwatch.phases.map(({ name, ms }) => [name, round(ms)])),
    ...(error && { error: describeError(error) }),
  };
}

function describeError({ code, message: msg, details, note }: CniError): object {
  return { code, msg, details, ...(note !== '' && { note }) };
}

function podOf(args: ReadonlyMap<string, string>): object {
  const [namespace, name] = [args.get('K8S_POD_NAMESPACE'), args.get('K8S_POD_NAME')];
  return name === undefined ? {} : { pod: namespace === undefined ? name : `${namespace}/${name}` };
}
