// etcd over its JSON gateway (api/v3 of etcd 3.4 and later): POST /v3/kv/txn and so on. Keys and values are base64, 64-bit
// integers are decimal text, and a field that is false, 0 or empty is left out of an answer.
// https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
//
// node:http and node:https are loaded when the first request is sent: most calls send none.

import type { Agent, RequestOptions } from 'node:https';
import { isObject } from '../../cni/protocol/fields.ts';

/** No endpoint answered, or none has a leader: what was asked may or may not have happened. */
export class EtcdUnreachableError extends Error {
  override readonly name = 'EtcdUnreachableError';
}

/** etcd answered that it will not. `code` is gRPC's. */
export class EtcdRefusedError extends Error {
  override readonly name = 'EtcdRefusedError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** gRPC status codes (google.golang.org/grpc/codes). */
const DEADLINE_EXCEEDED = 4;
export const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;
const UNAVAILABLE = 14;

/** Send one request to the gateway and return the JSON of its answer. */
export type EtcdTransport = (path: string, body: object) => Promise<Record<string, unknown>>;

export interface EtcdEntry {
  readonly key: string;
  readonly value: string;
  /** The store's revision in which the key was last written. */
  readonly modRevision: string;
}

export type EtcdCompare =
  /** The key, or every key from it up to `rangeEnd`, does not exist. */
  { readonly absent: string; readonly rangeEnd?: string } | { readonly key: string; readonly modRevision: string };

export type EtcdOperation =
  | { readonly put: string; readonly value: string; readonly lease?: string }
  | { readonly delete: string };

export interface EtcdCommit {
  readonly compare: readonly EtcdCompare[];
  /** What to do, all of it, if every comparison holds. */
  readonly write: readonly EtcdOperation[];
  /** What to read if not. */
  readonly otherwiseGet?: string;
}

/** How many keys one answer holds at most: the gateway limits the size of a message. */
const PAGE_SIZE = 1000;

export class EtcdClient {
  readonly #send: EtcdTransport;

  constructor(send: EtcdTransport) {
    this.#send = send;
  }

  /** All keys that begin with a prefix, which must end in a slash, in the order of their bytes. */
  async list(prefix: string): Promise<EtcdEntry[]> {
    const entries: EtcdEntry[] = [];
    const rangeEnd = encode(endOfPrefix(prefix));
    for (let from = prefix; ; ) {
      const answer = await this.#send('/v3/kv/range', { key: encode(from), range_end: rangeEnd, limit: PAGE_SIZE });
      const page = entriesOf(answer);
      entries.push(...page);
      const last = page.at(-1);
      if (answer.more !== true || last === undefined) return entries;
      from = `${last.key}\0`;
    }
  }

  /** Write all or nothing. `found` is what `otherwiseGet` names, if it came to that. */
  async commit(commit: EtcdCommit): Promise<{ succeeded: boolean; found: EtcdEntry | undefined }> {
    const answer = await this.#send('/v3/kv/txn', {
      compare: commit.compare.map(encodeCompare),
      success: commit.write.map(encodeOperation),
      failure: commit.otherwiseGet === undefined ? [] : [{ request_range: { key: encode(commit.otherwiseGet) } }],
    });
    const succeeded = answer.succeeded === true;
    const [response] = Array.isArray(answer.responses) ? answer.responses : [];
    const range: unknown = isObject(response) ? response.response_range : undefined;
    return { succeeded, found: !succeeded && isObject(range) ? entriesOf(range)[0] : undefined };
  }

  /** Prolong a lease; false when there is none of this ID. */
  async keepAlive(id: string): Promise<boolean> {
    const { result } = await this.#send('/v3/lease/keepalive', { ID: id });
    return isObject(result) && Number(result.TTL ?? 0) > 0;
  }

  /** Make a lease; one that is there already is fine. */
  async grantLease(id: string, ttlSeconds: number): Promise<void> {
    try {
      await this.#send('/v3/lease/grant', { ID: id, TTL: String(ttlSeconds) });
    } catch (error) {
      if (!(error instanceof EtcdRefusedError && error.code === FAILED_PRECONDITION)) throw error;
    }
  }
}

/** The first key after all that begin with a prefix. */
function endOfPrefix(prefix: string): string {
  if (!prefix.endsWith('/')) throw new RangeError(`Not a prefix of keys: "${prefix}"`);
  return `${prefix.slice(0, -1)}0`; // "0" is the character after "/"
}

const encode = (text: string) => Buffer.from(text).toString('base64');

function decode(value: unknown): string {
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString() : '';
}

function encodeCompare(compare: EtcdCompare): object {
  if ('key' in compare)
    return { target: 'MOD', result: 'EQUAL', key: encode(compare.key), mod_revision: compare.modRevision };
  const { absent, rangeEnd } = compare;
  const range = rangeEnd === undefined ? {} : { range_end: encode(rangeEnd) };
  return { target: 'CREATE', result: 'EQUAL', key: encode(absent), create_revision: '0', ...range };
}

function encodeOperation(operation: EtcdOperation): object {
  if ('delete' in operation) return { request_delete_range: { key: encode(operation.delete) } };
  const { put, value, lease } = operation;
  return { request_put: { key: encode(put), value: encode(value), ...(lease !== undefined && { lease }) } };
}

function entriesOf(answer: Readonly<Record<string, unknown>>): EtcdEntry[] {
  const entries: unknown[] = Array.isArray(answer.kvs) ? answer.kvs : [];
  return entries.filter(isObject).map(({ key, value, mod_revision }) => ({
    key: decode(key),
    value: decode(value),
    modRevision: String(mod_revision ?? '0'),
  }));
}

export interface GatewaySettings {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  /** How long all requests together may take, from the first on. Then reading asks all endpoints at once. */
  readonly limitMs?: number | undefined;
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** The request that changes nothing, so that several endpoints may be asked at once. */
const READING = '/v3/kv/range';

/**
 * Speak to the gateway at the first endpoint that answers; one that failed is the last to be tried after that.
 *
 * With `limitMs` an endpoint that does not answer must not use up the time of the others: reading asks all of them, and
 * what is written goes to the one that answered first.
 *
 * Throws EtcdUnreachableError with the reason of each endpoint, or EtcdRefusedError.
 */
export function connectGateway({ endpoints, timeoutMs, limitMs, tls }: GatewaySettings): EtcdTransport {
  let order = [...endpoints];
  let deadline: number | undefined;
  const agents = new Map<string, Agent>();
  const ask = async (endpoint: string, path: string, body: object): Promise<Record<string, unknown>> => {
    const left = deadline === undefined ? timeoutMs : Math.min(timeoutMs, deadline - Date.now());
    if (left <= 0) throw new Error('no time left to ask it');
    const { status, text } = await post({ endpoint, path }, JSON.stringify(body), agents, { timeoutMs: left, tls });
    return parseAnswer(status, text);
  };
  const askAll = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const asked = order.map(async (endpoint) => {
      const answer = await ask(endpoint, path, body).catch((error) => {
        throw error instanceof EtcdRefusedError ? error : new Error(describeFailure(endpoint, error));
      });
      return { endpoint, answer };
    });
    try {
      const { endpoint, answer } = await Promise.any(asked);
      order = [endpoint, ...order.filter((each) => each !== endpoint)];
      return answer;
    } catch (error) {
      const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
      const refusal = errors.find((each) => each instanceof EtcdRefusedError);
      throw (
        refusal ??
        new EtcdUnreachableError(errors.map((each) => (each instanceof Error ? each.message : each)).join('; '))
      );
    }
  };
  const askInTurn = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const failures: string[] = [];
    for (const endpoint of order) {
      try {
        return await ask(endpoint, path, body);
      } catch (error) {
        if (error instanceof EtcdRefusedError) throw error;
        failures.push(describeFailure(endpoint, error));
        order = [...order.filter((each) => each !== endpoint), endpoint];
      }
    }
    throw new EtcdUnreachableError(failures.join('; '));
  };
  return (path, body) => {
    if (limitMs !== undefined) deadline ??= Date.now() + limitMs;
    return limitMs !== undefined && path === READING ? askAll(path, body) : askInTurn(path, body);
  };
}

function describeFailure(endpoint: string, error: unknown): string {
  return `${endpoint}: ${error instanceof Error ? error.message : error}`;
}

function parseAnswer(status: number, text: string): Record<string, unknown> {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(`HTTP ${status} and no JSON: ${text.slice(0, 80)}`);
  }
  if (!isObject(answer)) throw new Error(`HTTP ${status} and no JSON object: ${text.slice(0, 80)}`);
  // A stream's answer has its error inside.
  const error = isObject(answer.error) ? answer.error : status === 200 ? undefined : answer;
  if (error === undefined) return answer;
  const code = Number(error.code ?? error.grpc_code ?? 0);
  const message = String(error.message ?? error.error ?? `HTTP ${status}`);
  const isNobodyThere = code === UNAVAILABLE || code === DEADLINE_EXCEEDED || status >= 502;
  throw isNobodyThere ? new Error(message) : new EtcdRefusedError(code, message);
}

type PostSettings = Pick<GatewaySettings, 'timeoutMs' | 'tls'>;

function post(
  { endpoint, path }: { readonly endpoint: string; readonly path: string },
  body: string,
  agents: Map<string, Agent>,
  { timeoutMs, tls }: PostSettings,
): Promise<{ status: number; text: string }> {
  const isSecure = endpoint.startsWith('https:');
  const { request, Agent: NewAgent } = process.getBuiltinModule(isSecure ? 'node:https' : 'node:http');
  // One connection for the few requests of a call: a TLS handshake costs more than a transaction.
  const agent = agents.get(endpoint) ?? new NewAgent({ keepAlive: true, maxSockets: 1, ...(isSecure && tls) });
  agents.set(endpoint, agent as Agent);
  const options: RequestOptions = {
    method: 'POST',
    agent,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  };
  return new Promise((resolve, reject) => {
    const sent = request(`${endpoint}${path}`, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    // Over the whole exchange, name resolution and handshake included; a socket's own timeout only knows silence.
    const timer = setTimeout(() => sent.destroy(new Error(`no answer for ${timeoutMs} ms`)), timeoutMs);
    sent.on('close', () => clearTimeout(timer));
    sent.on('error', reject);
    sent.end(body);
  });
}
