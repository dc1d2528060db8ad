// Either end of many exchanges at once; standing-server.ts runs them inside namespaces.
//
//   standing-server-end.ts serve PORT ADDRESS...   listens on TCP and UDP of each address, prints "ready", answers each
//                                                  message with the sender's address, until standard input ends
//   standing-server-end.ts ask QUESTIONS           QUESTIONS is a JSON list of {address, port, protocol, timeoutMs}:
//                                                  asks all at the same time, prints a JSON list of {seenFrom, reason}

import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

interface Question {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly timeoutMs: number;
}

const [task, ...rest] = process.argv.slice(2);

async function serve(port: number, addresses: readonly string[]): Promise<void> {
  await Promise.all(addresses.flatMap((address) => [serveTcp(address, port), serveUdp(address, port)]));
  process.stdout.write('ready\n');
  process.stdin.resume().on('end', () => process.exit(0));
}

function serveTcp(host: string, port: number): Promise<void> {
  return new Promise((resolve) => {
    createServer((socket) => {
      socket.on('error', () => socket.destroy()); // the other end went away: its own matter
      socket.once('data', () => socket.end(String(socket.remoteAddress)));
    }).listen({ host, port }, resolve);
  });
}

function serveUdp(address: string, port: number): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (_, sender) => socket.send(sender.address, sender.port, sender.address));
  return new Promise((resolve) => {
    socket.bind(port, address, resolve);
  });
}

function ask(question: Question): Promise<{ seenFrom: string; reason: string }> {
  const { timeoutMs, protocol } = question;
  return new Promise((resolve) => {
    const fail = (reason: string): void => resolve({ seenFrom: '', reason });
    const answered = (text: string): void => resolve({ seenFrom: text.replace(/^::ffff:/, ''), reason: '' });
    setTimeout(() => fail(`no answer in ${timeoutMs} ms`), timeoutMs);
    if (protocol === 'tcp') askTcp(question, answered, fail);
    else askUdp(question, answered, fail);
  });
}

type Say = (text: string) => void;

function askTcp({ address, port }: Question, answered: Say, fail: Say): void {
  let text = '';
  const socket = connect({ host: address, port }, () => socket.write('who am I?'));
  socket
    .setEncoding('utf8')
    .on('data', (chunk: string) => {
      text += chunk;
    })
    .on('end', () => answered(text))
    .on('error', (error) => fail(error.message));
}

function askUdp({ address, port }: Question, answered: Say, fail: Say): void {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message) => answered(message.toString()));
  socket.on('error', (error) => fail(error.message));
  socket.send('who am I?', port, address, (error) => error && fail(error.message));
}

if (task === 'serve') {
  await serve(Number(rest[0]), rest.slice(1));
} else {
  const replies = await Promise.all((JSON.parse(rest[0] ?? '[]') as Question[]).map(ask));
  process.stdout.write(JSON.stringify(replies), () => process.exit(0));
}
