// A foreign IPAM plugin for tests: a script that notes each verb in the log of its node, keeps what was on record at the time,
// and fails where a test wants it.

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AttachmentRecord } from '../../attachment/record.ts';

/** The `ipam.type` that it is found by. */
export const FAKE_IPAM = 'fake-ipam';

export type IpamVerb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

export class FakeIpam {
  /** For CNI_PATH. */
  readonly path: string;

  /** `log`: the file that each verb is written to, one a line. `record`: the file with the container's record. */
  constructor(folder: string, log: string, record: string) {
    this.path = join(folder, 'bin');
    mkdirSync(this.path);
    const script = [
      '#!/bin/sh',
      `echo "ipam $CNI_COMMAND" >>'${log}'`,
      `cat >'${this.path}/input'`,
      `rm -f '${this.path}'/seen-$CNI_COMMAND`,
      `[ -e '${record}' ] && cp '${record}' '${this.path}'/seen-$CNI_COMMAND`,
      `[ -e '${this.path}'/fail-$CNI_COMMAND ] && cat '${this.path}'/fail-$CNI_COMMAND && exit 1`,
      `[ "$CNI_COMMAND" = ADD ] && cat '${this.path}/result'`,
      'exit 0',
    ];
    writeFileSync(join(this.path, FAKE_IPAM), script.join('\n'), { mode: 0o755 });
    this.give({ ips: [{ address: '10.9.0.2/24', gateway: '10.9.0.1' }] });
  }

  /** Have it answer ADD so. */
  give(result: object): void {
    writeFileSync(join(this.path, 'result'), JSON.stringify({ cniVersion: '1.1.0', ...result }));
  }

  /** Have a verb fail with an error of CNI's. */
  fail(verb: IpamVerb, code: number, msg: string): void {
    writeFileSync(join(this.path, `fail-${verb}`), JSON.stringify({ cniVersion: '1.1.0', code, msg }));
  }

  mend(): void {
    for (const verb of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'])
      rmSync(join(this.path, `fail-${verb}`), { force: true });
  }

  /** The container's record as a verb found it; undefined when there was none. */
  seenBy(verb: IpamVerb): AttachmentRecord | undefined {
    const seen = join(this.path, `seen-${verb}`);
    return existsSync(seen) ? (JSON.parse(readFileSync(seen, 'utf8')) as AttachmentRecord) : undefined;
  }

  /** Be there under another name, too. */
  copyTo(name: string): void {
    copyFileSync(join(this.path, FAKE_IPAM), join(this.path, name));
  }

  /** Be there under that name no more. */
  lose(name: string): void {
    rmSync(join(this.path, name));
  }
}
