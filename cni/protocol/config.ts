// A network configuration as a plugin receives it on stdin ("Section 2: Execution protocol", SPEC.md).
//
// Only what every verb needs is checked at once: that it is a JSON object, its name and its cniVersion. The rest is
// decoded when asked for, so that a DEL that does not need a key does not fail on it.

import { nameserversAt } from './address.ts';
import { CniError, ERR_DECODING_FAILURE, toCniError } from './errors.ts';
import { describeValue, type FaultList, FieldError, Fields, isObject } from './fields.ts';
import { parseJson } from './json/json.ts';
import { isInterfaceName, isName, validateNetworkName } from './name.ts';
import type { Dns, Result } from './result/result.ts';
import { decodeResult } from './result/result-codec.ts';
import { decodeDns, decodeRuntimeDns } from './result/result-fields.ts';
import { DEFAULT_VERSION } from './version.ts';

/** One attachment of a container to this network, as the runtime names it. */
export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Everything but the first three throws FieldError when asked for and not what it must be. */
export interface NetworkConfig {
  /** As it stands in the configuration, 0.1.0 when absent; request.ts sees to it that it is supported. */
  readonly cniVersion: string;
  readonly name: string;
  /** All keys. */
  readonly fields: Fields;
  /** The plugin the configuration is for; empty when it does not say. */
  readonly type: string;
  /** Arguments for capabilities; empty when there are none. */
  readonly runtimeConfig: Fields;
  /** `args.cni`; empty when absent. */
  readonly argsCni: Fields;
  /** The configuration's own `dns`. */
  readonly dns: Dns | undefined;
  /** The capability `dns`: each of its lists replaces the one that there is otherwise. */
  readonly requestedDns: Dns | undefined;
  /** The result so far, or of the ADD. Throws CniError 7 when it cannot be read. */
  prevResult(): Result | undefined;
  /** The version that prevResult is written in; the configuration's own when it does not say. */
  readonly prevResultVersion: string;
  /** GC's list of what may stay; undefined when the configuration has none, which is not the same as an empty one. */
  validAttachments(): AttachmentKey[] | undefined;
}

class StdinConfig implements NetworkConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly fields: Fields;

  constructor(fields: Fields, name: string, cniVersion: string) {
    this.fields = fields;
    this.name = name;
    this.cniVersion = cniVersion;
  }

  get type(): string {
    return this.fields.string('type') ?? '';
  }

  get runtimeConfig(): Fields {
    return this.fields.object('runtimeConfig') ?? new Fields({}, 'runtimeConfig');
  }

  get argsCni(): Fields {
    return this.fields.object('args')?.object('cni') ?? new Fields({}, 'args.cni');
  }

  get dns(): Dns | undefined {
    const dns = this.fields.object('dns');
    if (dns) nameserversAt(dns, 'nameservers');
    return dns && decodeDns(dns);
  }

  get requestedDns(): Dns | undefined {
    const requested = this.runtimeConfig.object('dns');
    return requested && decodeRuntimeDns(requested);
  }

  prevResult(): Result | undefined {
    const value = this.fields.get('prevResult');
    if (value === undefined) return undefined;
    try {
      return decodeResult(value, this.cniVersion, 'prevResult');
    } catch (cause) {
      const { code, message, details } = toCniError(cause);
      throw new CniError(code, `could not parse prevResult: ${message}`, details, { cause });
    }
  }

  get prevResultVersion(): string {
    return this.fields.object('prevResult')?.string('cniVersion') || this.cniVersion;
  }

  validAttachments(): AttachmentKey[] | undefined {
    // The second is the reference library's older spelling (https://github.com/containernetworking/cni/issues/1101).
    const key = ['cni.dev/valid-attachments', 'cni.dev/attachments'].find((name) => this.fields.has(name));
    if (key === undefined) return undefined;
    // null is the reference library's empty list.
    return (this.fields.objects(key) ?? []).map((item) => {
      const containerId = matching(item, 'containerID', isName, 'a container ID');
      return {
        network: this.name,
        containerId,
        ifname: matching(item, 'ifname', isInterfaceName, 'an interface name'),
      };
    });
  }
}

/**
 * Read the network configuration.
 *
 * Throws CniError 6 when it is not a JSON object or name or cniVersion is not a string, CniError 7 when the name is
 * missing or not one.
 */
export function parseNetworkConfig(stdin: string): NetworkConfig {
  return networkConfigOf(parseObject(stdin));
}

/**
 * Take a JSON object as a network configuration. Throws what parseNetworkConfig() throws.
 *
 * `faults`: collects what is wrong with single keys, in place of the exceptions that would be thrown for them.
 */
export function networkConfigOf(json: Readonly<Record<string, unknown>>, faults?: FaultList): NetworkConfig {
  const fields = new Fields(json, '', faults);
  const name = decodeString(fields, 'name', 'error unmarshall network config');
  validateNetworkName(name);
  const cniVersion = decodeString(fields, 'cniVersion', 'decoding version from network config');
  return new StdinConfig(fields, name, cniVersion || DEFAULT_VERSION);
}

function parseObject(stdin: string): Readonly<Record<string, unknown>> {
  const value = parseJson(stdin, 'error unmarshall network config');
  if (!isObject(value))
    throw new CniError(
      ERR_DECODING_FAILURE,
      `error unmarshall network config: must be a JSON object, is ${describeValue(value)}`,
    );
  return value;
}

function decodeString(fields: Fields, key: string, action: string): string {
  const value = fields.get(key) ?? '';
  if (typeof value === 'string') return value;
  throw new CniError(
    ERR_DECODING_FAILURE,
    `${action}: Invalid "${fields.at(key)}": must be a string, is ${describeValue(value)}`,
  );
}

function matching(fields: Fields, key: string, isValid: (text: string) => boolean, expected: string): string {
  const text = fields.string(key);
  if (text === undefined || !isValid(text))
    throw new FieldError(
      fields.at(key),
      `must be ${expected}, is ${text === undefined ? 'missing' : describeValue(text)}`,
    );
  return text;
}
