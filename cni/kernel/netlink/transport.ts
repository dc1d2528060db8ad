// The seam between the netlink protocol and the kernel: datagrams out, datagrams in.
// fake-transport.ts is the other implementation, for the tests above.

import { closeSync } from 'node:fs';
import { EMSGSIZE, ErrnoError } from '../errno.ts';
import { openNetlinkSocket, receive, send, setReceiveTimeout, setSocketOption } from '../syscalls.ts';

// include/uapi/linux/netlink.h, include/linux/socket.h
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;

/**
 * The kernel answers before send() returns, so this is never waited for; it turns a reply that for whatever reason
 * does not come into an error instead of a plugin that hangs until the runtime kills it.
 */
const RECEIVE_TIMEOUT_MS = 10_000;

/**
 * The kernel fits the datagrams of a dump to the largest buffer it has seen, up to 32 KiB (netlink_recvmsg()); capped
 * acknowledgements and single objects are far smaller. So no size has to be asked for before a receive.
 */
const BUFFER_BYTES = 32_768;

export interface Transport {
  /** Send one datagram of one or more messages. Throws ErrnoError. */
  send(datagram: Uint8Array): void;
  /** Receive one datagram, whole. Throws ErrnoError EAGAIN when none comes. */
  receive(): Uint8Array;
  /**
   * Make room for a datagram, and for answers, of so many bytes: sockets have 208 KiB by default, for 1,500 elements or
   * 250 errors. Throws ErrnoError.
   */
  enlarge?(bytes: number): void;
  close(): void;
}

/**
 * Open a socket to the kernel in the calling thread's network namespace; it stays that namespace's for good.
 *
 * Turns on extended acknowledgements (Linux 4.12), acknowledgements without the request (4.3) and strict checking of
 * dump requests (4.20), without which the kernel silently ignores the filter of a dump.
 */
export function openTransport(protocol: number): Transport {
  const fd = openNetlinkSocket(protocol);
  try {
    setSocketOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    setSocketOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    // Only rtnetlink asks for it.
    if (protocol === NETLINK_ROUTE) setSocketOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    setReceiveTimeout(fd, RECEIVE_TIMEOUT_MS);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const buffer = new Uint8Array(BUFFER_BYTES);
  return {
    send: (datagram) => send(fd, datagram),
    receive() {
      const length = receive(fd, buffer);
      if (length > buffer.length) {
        throw new ErrnoError(`Cannot receive a datagram of ${length} bytes`, { syscall: 'recvfrom', errno: EMSGSIZE });
      }
      // A copy: replies outlive the buffer.
      return buffer.slice(0, length);
    },
    enlarge(bytes) {
      setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes);
    },
    close: () => closeSync(fd),
  };
}
