// One end of an exchange between two namespaces; traffic.ts runs it inside them.
//
//   echo.ts serve tcp|udp ADDRESS PORT          prints "ready", answers each message with the sender's address, ends
//                                               when standard input ends
//   echo.ts ask tcp|udp ADDRESS PORT TIMEOUT    sends a message, prints the answer; exit code 1 and the reason on
//                                               standard error when there is none in TIMEOUT ms

import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const [task, protocol, address = '', port = '', timeout = ''] = process.argv.slice(2);

function serve(): void {
  const ready = (): void => {
    process.stdout.write('ready\n');
  };
  if (protocol === 'tcp') {
    createServer((socket) => {
      socket.on('error', () => socket.destroy()); // the other end went away: its own matter
      socket.once('data', () => socket.end(String(socket.remoteAddress)));
    }).listen({ host: address, port: Number(port) }, ready);
  } else {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (_, sender) => socket.send(sender.address, sender.port, sender.address));
    socket.bind(Number(port), address, ready);
  }
  process.stdin.resume().on('end', () => process.exit(0));
}

function ask(): void {
  const fail = (reason: string): void => {
    process.stderr.write(`${reason}\n`);
    process.exit(1);
  };
  const answered = (text: string): void => {
    process.stdout.write(`${text}\n`);
    process.exit(0);
  };
  setTimeout(() => fail(`no answer in ${timeout} ms`), Number(timeout));
  if (protocol === 'tcp') {
    let text = '';
    const socket = connect({ host: address, port: Number(port) }, () => socket.write('who am I?'));
    socket
      .setEncoding('utf8')
      .on('data', (chunk: string) => {
        text += chunk;
      })
      .on('end', () => answered(text))
      .on('error', (error) => fail(error.message));
  } else {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (message) => answered(message.toString()));
    socket.on('error', (error) => fail(error.message));
    socket.send('who am I?', Number(port), address, (error) => error && fail(error.message));
  }
}

if (task === 'serve') serve();
else ask();
