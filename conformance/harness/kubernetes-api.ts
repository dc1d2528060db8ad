// A Kubernetes API that knows nodes and one service account, and what the pod of that account finds in its root.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { mustRun } from './command.ts';

const TOKEN = 'token-of-podlink';
const ACCOUNT = 'var/run/secrets/kubernetes.io/serviceaccount';

/** By name: what the API answers with, and the HTTP status. */
export type Nodes = Readonly<Record<string, { readonly status: number; readonly body: object }>>;

export class KubernetesApi {
  readonly #server: Server;
  readonly #certificate: string;
  /** What was asked: method and path. */
  readonly requests: string[] = [];

  private constructor(server: Server, certificate: string) {
    this.#server = server;
    this.#certificate = certificate;
  }

  /** Listens on 127.0.0.1; keys and certificates lie in `folder`. */
  static async start(folder: string, nodes: Nodes): Promise<KubernetesApi> {
    const [key, certificate] = [join(folder, 'api.key'), join(folder, 'api.crt')];
    const subject = ['-subj', '/CN=kubernetes', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const files = ['-keyout', key, '-out', certificate];
    mustRun('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files]);
    const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) });
    const api = new KubernetesApi(server, certificate);
    server.on('request', ({ method, url = '', headers }, response) => {
      api.requests.push(`${method} ${url}`);
      const isKnown = headers.authorization === `Bearer ${TOKEN}`;
      const { status, body } = isKnown
        ? (nodes[url.replace('/api/v1/nodes/', '')] ?? { status: 404, body: { kind: 'Status', code: 404 } })
        : { status: 401, body: { kind: 'Status', code: 401 } };
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return api;
  }

  /** What Kubernetes puts into the environment of every container. */
  get env(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) };
  }

  /** Mount the service account into a root. */
  mountAccount(root: string, token = TOKEN): void {
    const folder = join(root, ACCOUNT);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'token'), token);
    writeFileSync(join(folder, 'namespace'), 'kube-system');
    writeFileSync(join(folder, 'ca.crt'), readFileSync(this.#certificate));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
