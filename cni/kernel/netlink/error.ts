// What a refused netlink request becomes.

import { ErrnoError } from '../errno.ts';
import type { Acknowledgement } from './message.ts';

/** The kernel refused a request. */
export class NetlinkError extends ErrnoError {
  override readonly name = 'NetlinkError';
  /** What was asked, e.g. `add link "cni0"`. */
  readonly operation: string;
  /** The kernel's own words, if it gave any. */
  readonly kernelMessage: string | undefined;
  /** Byte offset in the request of the attribute the kernel objects to, if it said so. */
  readonly offset: number | undefined;

  constructor(operation: string, acknowledgement: Partial<Acknowledgement> & { errno: number }) {
    const { errno, text, offset, missingType } = acknowledgement;
    const missing = missingType === undefined ? undefined : `attribute ${missingType} is missing`;
    const words = [text, missing].filter((word) => word !== undefined).join(', ');
    super(`Cannot ${operation}${words === '' ? '' : ` (${words})`}`, { syscall: 'netlink', errno });
    this.operation = operation;
    this.kernelMessage = words === '' ? undefined : words;
    this.offset = offset;
  }
}
