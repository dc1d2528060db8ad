// One end of a transfer that is measured; transfer.ts runs it inside a namespace.
//
//   transfer-end.ts receive ADDRESS PORT WARM MS   prints "ready", takes one TCP connection, leaves out what comes in the
//                                                  first WARM ms, counts the bytes of the next MS, prints their rate in
//                                                  bits a second and ends
//   transfer-end.ts send ADDRESS PORT              sends until the other end closes

import { connect, createServer } from 'node:net';

const [task, address = '', port = '', warm = '', length = ''] = process.argv.slice(2);

function receive(): void {
  const server = createServer((socket) => {
    server.close();
    let bytes = 0;
    let started = 0;
    socket.on('error', () => socket.destroy()); // the sender went away: its own matter
    setTimeout(() => {
      started = performance.now();
      bytes = 0;
    }, Number(warm));
    setTimeout(() => {
      const seconds = (performance.now() - started) / 1000;
      process.stdout.write(`${Math.round((bytes * 8) / seconds)}\n`, () => process.exit(0));
    }, Number(warm) + Number(length));
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
  });
  server.listen({ host: address, port: Number(port) }, () => process.stdout.write('ready\n'));
}

function send(): void {
  const chunk = Buffer.alloc(64 << 10);
  const socket = connect({ host: address, port: Number(port) });
  const fill = (): void => {
    while (socket.writable && socket.write(chunk)) {
      // until the kernel takes no more
    }
  };
  socket
    .on('connect', fill)
    .on('drain', fill)
    .on('error', () => process.exit(0))
    .on('close', () => process.exit(0));
}

if (task === 'receive') receive();
else send();
