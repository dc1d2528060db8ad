import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askContainerdVersion, decodeVersion } from './containerd-version.ts';

const test = suite('version of containerd');

/** A frame of gRPC around a VersionResponse. */
function frame(version: string, revision = 'abc'): Buffer {
  const field = (number: number, text: string) => Buffer.from([(number << 3) | 2, text.length, ...Buffer.from(text)]);
  const message = Buffer.concat([field(1, version), field(2, revision)]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

test('decodeVersion() reads what containerd answers, and nothing else', () => {
  assert.is(decodeVersion(frame('1.7.24~ds1')), '1.7.24~ds1');
  assert.is(decodeVersion(frame('v2.1.4')), '2.1.4');
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(5), frame('').subarray(0, 8), frame('1.7.24').subarray(0, 9)]) {
    assert.is(decodeVersion(bytes), undefined);
  }
});

test('askContainerdVersion() asks over the socket, and knows nothing where nobody answers', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'podlink-containerd-'));
  const socket = join(folder, 'containerd.sock');
  const server = createServer();
  const asked: string[] = [];
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    asked.push(String(headers[':path']));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.end(frame('1.7.24'));
  });
  try {
    assert.is(await askContainerdVersion(socket), undefined);
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    assert.is(await askContainerdVersion(socket), '1.7.24');
    assert.equal(asked, ['/containerd.services.version.v1.Version/Version']);
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
