// An etcd in memory behind the JSON of its gateway, for tests: what an EtcdTransport sends and gets, and no more of etcd
// than that. That the real one answers alike is held by etcd.kernel.test.ts.

import { isObject } from '../../cni/protocol/fields.ts';
import { EtcdRefusedError, type EtcdTransport, EtcdUnreachableError } from './etcd-client.ts';

interface Entry {
  readonly value: string;
  readonly modRevision: number;
  readonly createRevision: number;
}

export class FakeEtcd {
  readonly entries = new Map<string, Entry>();
  readonly leases = new Set<string>();
  /** The paths that were asked for. */
  readonly requests: string[] = [];
  isDown = false;
  /** Do what the next transaction asks for, and then lose the answer. */
  losesNextAnswer = false;
  refusal: EtcdRefusedError | undefined;
  /** Called before each transaction: what others do at that moment. */
  beforeCommit: () => void = () => undefined;
  #revision = 1;

  readonly transport: EtcdTransport = async (path, body) => {
    this.requests.push(path);
    // Nobody may count on the answer coming before the caller goes on.
    await Promise.resolve();
    if (this.isDown) throw new EtcdUnreachableError('http://etcd:2379: connect ECONNREFUSED');
    if (this.refusal) throw this.refusal;
    const answer = this.#answer(path, JSON.parse(JSON.stringify(body)));
    if (path === '/v3/kv/txn' && this.losesNextAnswer) {
      this.losesNextAnswer = false;
      throw new EtcdUnreachableError('http://etcd:2379: no answer for 2000 ms');
    }
    return answer;
  };

  /** The keys below a prefix, without it. */
  keys(prefix: string): string[] {
    return [...this.entries.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length))
      .sort();
  }

  put(key: string, value: string): void {
    this.#revision++;
    const createRevision = this.entries.get(key)?.createRevision ?? this.#revision;
    this.entries.set(key, { value, createRevision, modRevision: this.#revision });
  }

  #answer(path: string, body: Record<string, unknown>): Record<string, unknown> {
    switch (path) {
      case '/v3/kv/range':
        return this.#range(body);
      case '/v3/kv/txn':
        this.beforeCommit();
        return this.#commit(body);
      case '/v3/lease/keepalive':
        return { result: this.leases.has(String(body.ID)) ? { ID: body.ID, TTL: '900' } : { ID: body.ID } };
      case '/v3/lease/grant':
        if (this.leases.has(String(body.ID))) throw new EtcdRefusedError(9, 'etcdserver: lease already exists');
        this.leases.add(String(body.ID));
        return { ID: body.ID, TTL: body.TTL };
      default:
        throw new EtcdRefusedError(12, `no such path: ${path}`);
    }
  }

  #range(body: Record<string, unknown>): Record<string, unknown> {
    const found = this.#between(body).sort(([a], [b]) => (a < b ? -1 : 1));
    const limit = Number(body.limit ?? 0) || found.length;
    const kvs = found.slice(0, limit).map(([key, entry]) => ({
      key: encode(key),
      value: encode(entry.value),
      create_revision: String(entry.createRevision),
      mod_revision: String(entry.modRevision),
    }));
    return { ...(kvs.length > 0 && { kvs }), ...(found.length > limit && { more: true }) };
  }

  #commit(body: Record<string, unknown>): Record<string, unknown> {
    const succeeded = listOf(body.compare).every((compare) => this.#holds(compare));
    const operations = listOf(succeeded ? body.success : body.failure);
    const responses = operations.map((operation) => this.#apply(operation));
    return { ...(succeeded && { succeeded }), ...(responses.length > 0 && { responses }) };
  }

  #holds(compare: Record<string, unknown>): boolean {
    const entries = this.#between(compare).map(([, entry]) => entry);
    const absent: Entry = { value: '', createRevision: 0, modRevision: 0 };
    return (entries.length > 0 ? entries : [absent]).every((entry) =>
      compare.target === 'CREATE'
        ? entry.createRevision === Number(compare.create_revision)
        : entry.modRevision === Number(compare.mod_revision),
    );
  }

  #apply(operation: Record<string, unknown>): Record<string, unknown> {
    const { request_put: put, request_delete_range: removal, request_range: range } = operation;
    if (isObject(put)) {
      if (put.lease !== undefined && !this.leases.has(String(put.lease)))
        throw new EtcdRefusedError(5, 'etcdserver: requested lease not found');
      this.put(decode(put.key), decode(put.value));
    }
    if (isObject(removal)) this.entries.delete(decode(removal.key));
    return isObject(range) ? { response_range: this.#range(range) } : {};
  }

  #between(body: Record<string, unknown>): [string, Entry][] {
    const from = decode(body.key);
    const to = body.range_end === undefined ? undefined : decode(body.range_end);
    return [...this.entries].filter(([key]) => (to === undefined ? key === from : key >= from && key < to));
  }
}

const encode = (text: string) => Buffer.from(text).toString('base64');
const decode = (value: unknown) => Buffer.from(String(value), 'base64').toString();
const listOf = (value: unknown) => (Array.isArray(value) ? value.filter(isObject) : []);
