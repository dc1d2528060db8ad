// The network's IPAM as the verbs see it: in this process when the type is one of ours, else another plugin.

import type { IpamDriver, IpamRequest } from '../../../ipam/driver.ts';
import { findIpamDriver } from '../../../ipam/registry.ts';
import { lockFile } from '../../kernel/flock.ts';
import { canonicalAddress, canonicalCidr, familyOf } from '../../address/ip.ts';
import { identityAt } from '../../kernel/netns.ts';
import type { Addressing } from '../../attachment/attachment.ts';
import { CniError, ERR_DELEGATE_FAILED } from '../../protocol/errors.ts';
import { FieldError, type Fields } from '../../protocol/fields.ts';
import { parseJson } from '../../protocol/json/json.ts';
import { decodeResult } from '../../protocol/result/result-codec.ts';
import type { Ip } from '../../protocol/result/result.ts';
import type { PlanSource } from '../plan-source.ts';
import { findPlugin, runPlugin } from './delegate.ts';
import { findRoleRow } from '../../roles/role-names.ts';

/** An ADD's addresses, which the configuration permits to be taken. */
export interface PreparedIpam {
  allocate(): Addressing | Promise<Addressing>;
}

/** One network's address management. */
export interface Ipam {
  /** Accept or refuse the configuration; `allocate` then takes the addresses. */
  prepare(): PreparedIpam;
  release(): void | Promise<void>;
  check(ips: readonly Ip[]): void | Promise<void>;
  status(): void | Promise<void>;
  collect(valid: readonly { containerId: string; ifname: string }[]): void | Promise<void>;
}

/** The network's IPAM; undefined when it has none. Throws FieldError when the configuration's section has the wrong shape. */
export function findIpam(caller: PlanSource): Ipam | undefined {
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
export function ipamRequest(caller: Omit<PlanSource, 'path' | 'env' | 'input'>, section: Fields): IpamRequest {
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
    prepare: () => driver.prepare(request),
    release: () => driver.release(request),
    check: (ips) => driver.check(request, ips),
    status: () => driver.status(request),
    async collect(valid) {
      await driver.collect(request, valid);
    },
  };
}

function foreignIpam(type: string, caller: PlanSource): Ipam {
  const { env, config } = caller;
  const run = (command: Parameters<typeof runPlugin>[1]) =>
    runPlugin(findPlugin(type, caller.path), command, env, caller.input());
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
 * Spell a foreign plugin's answer as the kernel reports it back: otherwise CHECK would not know it again. IPAM does not say
 * which interface an address is for (CNI spec, "IPAM plugin output").
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
function allocateByPlugin(plugin: string, caller: PlanSource): Addressing {
  try {
    const stdout = runPlugin(plugin, 'ADD', caller.env, caller.input());
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
      runPlugin(plugin, 'DEL', caller.env, caller.input());
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
