// A UDP client that keeps its port, as DNS forwarders and syslog do: what connection tracking remembers of it decides
// where its next message goes.
//
//   fixed-port.ts FROM-PORT ADDRESS PORT TIMEOUT    sends every 50 ms until an answer comes, prints it; exit code 1
//                                                   when none has come after TIMEOUT ms

import { createSocket } from 'node:dgram';

const [fromPort = '', address = '', port = '', timeout = ''] = process.argv.slice(2);
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
const send = (): void => socket.send('who am I?', Number(port), address);

socket.on('message', (message) => {
  process.stdout.write(`${message}\n`);
  process.exit(0);
});
socket.on('error', () => undefined); // "port unreachable" is no answer
socket.bind(Number(fromPort), () => {
  send();
  setInterval(send, 50);
  setTimeout(() => process.exit(1), Number(timeout));
});
