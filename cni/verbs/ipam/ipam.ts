// The network's IPAM as the verbs see it: in this process when the type is one of ours, else another plugin.

import type { IpamDriver, IpamRequest } from '../../../ipam/driver.ts';
import { findIpamDriver } from '../../../ipam/registry.ts';
import { lockFile } from '../../kernel/flock.ts';
import { canonicalAddress, canonicalCidr, familyOf } from '../../kernel/netlink/address-bytes.ts';
import { identityAt } from '../../kernel/netns.ts';
import type { Addressing } from '../../attachment/attachment.ts';
import type { AttachmentKey, NetworkConfig } from '../../protocol/config.ts';
import { CniError, ERR_DELEGATE_FAILED } from '../../protocol/errors.ts';
import { FieldError, type Fields } from '../../protocol/fields.ts';
import { parseJson } from '../../protocol/json/json.ts';
import type { Environment } from '../../protocol/request.ts';
import { decodeResult } from '../../protocol/result/result-codec.ts';
import type { Ip } from '../../protocol/result/result.ts';
import { findPlugin, runPlugin } from './delegate.ts';
import { findRoleRow } from '../../roles/role-names.ts';

/** What an IPAM is asked on behalf of. */
export interface IpamCaller {
  readonly key: AttachmentKey;
  readonly config: NetworkConfig;
  readonly cniArgs: ReadonlyMap<string, string>;
  /** CNI_NETNS; undefined where the question is about the network alone. */
  readonly netns?: string;
  readonly path: readonly string[];
  readonly env: Environment;
  /** Tell the operator what is no error. */
  readonly warn: (message: string) => void;
  /** The request as it came, which a foreign plugin gets unchanged. */
  readonly stdin: string;
}

/** One network's address management. */
export interface Ipam {
  /** Accept or refuse the configuration; `allocate` then takes the addresses. */
  prepare(): { allocate(): Addressing | Promise<Addressing> };
  release(): void | Promise<void>;
  check(ips: readonly Ip[]): void | Promise<void>;
  status(): void | Promise<void>;
  collect(valid: readonly { containerId: string; ifname: string }[]): void | Promise<void>;
}

/** The network's IPAM; undefined when it has none. Throws FieldError when the configuration's section has the wrong shape. */
export function findIpam(caller: IpamCaller): Ipam | undefined {
  const section = caller.config.fields.object('ipam');
  const type = section?.string('type') || undefined;
  if (!section || type === undefined) {
    // `{}` and `{"type": ""}` alike ask for none; with other keys, the type was forgotten.
    if (section && Object.keys(section.raw).some((key) => key.toLowerCase() !== 'type')) {
      throw new FieldError('ipam.type', 'must name an IPAM plugin, for example "host-local"');
    }
    return undefined;
  }
  // Asked for addresses, podlink itself would wait for the lock that it holds already.
  if (findRoleRow(type)?.kind === 'interface') {
    throw new FieldError('ipam.type', `must name an IPAM plugin, for example "host-local", and not "${type}"`);
  }
  const driver = findIpamDriver(type);
  return driver ? ownIpam(driver, ipamRequest(caller, section)) : foreignIpam(type, caller);
}

/** The terms in which our own IPAM drivers are asked. */
export function ipamRequest(caller: Omit<IpamCaller, 'path' | 'env' | 'stdin'>, section: Fields): IpamRequest {
  const { config, netns } = caller;
  const netnsIdentity = netns ? identityAt(netns) : undefined;
  return {
    owner: caller.key,
    ...(netns && { netnsPath: netns }),
    ...(netnsIdentity !== undefined && { netnsIdentity }),
    cniVersion: config.cniVersion,
    ipam: section,
    runtimeConfig: config.runtimeConfig,
    argsCni: config.argsCni,
    cniArgs: caller.cniArgs,
    lockDirectory: (path, timeoutMs) => lockFile(path, timeoutMs),
    warn: caller.warn,
  };
}

function ownIpam(driver: IpamDriver, request: IpamRequest): Ipam {
  return {
    prepare() {
      const prepared = driver.prepare(request);
      return { allocate: () => prepared.allocate() };
    },
    release: () => driver.release(request),
    check: (ips) => driver.check(request, ips),
    status: () => driver.status(request),
    async collect(valid) {
      await driver.collect(request, valid);
    },
  };
}

function foreignIpam(type: string, caller: IpamCaller): Ipam {
  const { env, stdin, config } = caller;
  const run = (command: Parameters<typeof runPlugin>[1]) =>
    runPlugin(findPlugin(type, caller.path), command, env, stdin);
  return {
    prepare() {
      const plugin = findPlugin(type, caller.path);
      return { allocate: () => allocateByPlugin(plugin, caller) };
    },
    release: () => void run('DEL'),
    check: () => void run('CHECK'),
    // Verbs of 1.1.0: a plugin for an older configuration has no notion of them.
    status: () => void (config.cniVersion === '1.1.0' && run('STATUS')),
    collect: () => void (config.cniVersion === '1.1.0' && run('GC')),
  };
}

/**
 * What a foreign plugin handed out, in the spelling that the kernel reports back, or CHECK would not know it again.
 * Which interface an address is for is not for IPAM to say (CNI spec, "IPAM plugin output").
 */
function canonicalAddressing({ ips, routes, dns }: Addressing): Addressing {
  return {
    ips: ips.map(({ address, gateway }) => {
      if (gateway !== undefined && familyOf(gateway) !== familyOf(address)) {
        throw new TypeError(`gateway ${gateway} is of another family than address ${address}`);
      }
      return { address: canonicalCidr(address), ...(gateway !== undefined && { gateway: canonicalAddress(gateway) }) };
    }),
    routes: routes.map(({ dst, gw, ...rest }) => ({
      ...rest,
      dst: canonicalCidr(dst),
      ...(gw !== undefined && { gw: canonicalAddress(gw) }),
    })),
    dns,
  };
}

/** ADD by a foreign plugin. When it fails, or answers something we cannot use, its DEL is called (CNI spec, section 4). */
function allocateByPlugin(plugin: string, caller: IpamCaller): Addressing {
  try {
    const stdout = runPlugin(plugin, 'ADD', caller.env, caller.stdin);
    const result = decodeReply(plugin, stdout, caller.config.cniVersion);
    if (result.ips.length === 0) {
      throw new CniError(
        ERR_DELEGATE_FAILED,
        `IPAM plugin ${plugin} returned missing IP config: its result has no "ips"`,
      );
    }
    return result;
  } catch (error) {
    try {
      runPlugin(plugin, 'DEL', caller.env, caller.stdin);
    } catch {
      // The first failure is the one to report; the runtime's DEL tries this again.
    }
    throw error;
  }
}

function decodeReply(plugin: string, stdout: string, cniVersion: string): Addressing {
  try {
    return canonicalAddressing(decodeResult(parseJson(stdout, 'result'), cniVersion));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CniError(
      ERR_DELEGATE_FAILED,
      `IPAM plugin ${plugin} returned no valid result: ${why}`,
      stdout.slice(0, 500),
    );
  }
}
