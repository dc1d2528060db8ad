// The version of the containerd that runs on this node, asked of itself: by gRPC over its socket, without a process.
//
//   /containerd.services.version.v1.Version/Version    google.protobuf.Empty -> VersionResponse { string version = 1; … }
//
// A gRPC message is a flag u8 and a length u32 in network order, then protobuf. Source: containerd's api/services/version/v1.

import type { ClientHttp2Session } from 'node:http2';

const DEFAULT_CONTAINERD_SOCKET = '/run/containerd/containerd.sock';

const METHOD = '/containerd.services.version.v1.Version/Version';
const TIMEOUT_MS = 2000;
const FRAME_BYTES = 5;
/** Field 1, of bytes. */
const VERSION_TAG = 0x0a;

/** Ask for the version: `1.7.24`, `2.1.9`. Undefined where no containerd answers. */
export async function askContainerdVersion(socket = DEFAULT_CONTAINERD_SOCKET): Promise<string | undefined> {
  const http2 = process.getBuiltinModule('node:http2');
  const { connect } = process.getBuiltinModule('node:net');
  const session = http2.connect('http://localhost', { createConnection: () => connect(socket) });
  try {
    return decodeVersion(await ask(session));
  } catch {
    return undefined; // no containerd, no permission, or another protocol: nothing is known of its version
  } finally {
    session.destroy();
  }
}

function ask(session: ClientHttp2Session): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    session.once('error', reject);
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const stream = session.request({ ':method': 'POST', ':path': METHOD, ...headers });
    const chunks: Buffer[] = [];
    stream.setTimeout(TIMEOUT_MS, () => reject(new Error('containerd does not answer')));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('error', reject);
    stream.once('end', () => resolve(Buffer.concat(chunks)));
    stream.end(Buffer.alloc(FRAME_BYTES));
  });
}

/** The version in a frame; undefined when it is none, or has no such field first. */
export function decodeVersion(frame: Buffer): string | undefined {
  if (frame[FRAME_BYTES] !== VERSION_TAG) return undefined;
  const length = frame[FRAME_BYTES + 1] ?? 0;
  const start = FRAME_BYTES + 2;
  // A length of 128 or more would take two bytes, and is no version.
  if (length === 0 || length > 0x7f || start + length > frame.length) return undefined;
  return frame.toString('utf8', start, start + length).replace(/^v/, '');
}
