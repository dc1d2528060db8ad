// The parts of a success result, read from and written to JSON. Each shape of a result (result-shapes.ts) is made
// of them.
//
// Reading takes every part of 1.1.0 wherever it stands, because the reference plugins print them at older versions too
// (one Go struct serves several). An empty string counts as absent, as in Go's encoding of addresses and names.

import { addressFamily, cidrFamily, mappedHint, nameserversAt } from '../address.ts';
import { describeValue, FieldError, type Fields } from '../fields.ts';
import type { Dns, Interface, Ip, Route } from './result.ts';

const MAX_U32 = 0xffff_ffff;

/** Drop the keys whose value is undefined. */
export function withoutAbsent<Value extends object>(
  value: {
    [Key in keyof Value]: Value[Key] | undefined;
  },
): Value {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Value;
}

/** Throws FieldError when `name` is missing or a key has another type. */
export function decodeInterface(fields: Fields): Interface {
  return withoutAbsent<Interface>({
    name: required(fields, 'name', 'the interface name', fields.string('name')),
    mac: text(fields, 'mac'),
    mtu: fields.integer('mtu', 0, MAX_U32),
    sandbox: text(fields, 'sandbox'),
    socketPath: text(fields, 'socketPath'),
    pciID: text(fields, 'pciID'),
  });
}

/**
 * Read an address. Where the result lists no interfaces at all, as an IPAM plugin's, an index means nothing and is
 * dropped; the reference does not look at it either.
 *
 * Throws FieldError when an address is not one, or `interface` is not the index of one of `interfaceCount`.
 */
export function decodeIp(fields: Fields, interfaceCount: number): Ip {
  const index = fields.integer('interface', 0, MAX_U32);
  if (index !== undefined && interfaceCount > 0 && index >= interfaceCount)
    throw new FieldError(
      fields.at('interface'),
      `must be the index of one of the result's ${interfaceCount} interfaces, is ${index}`,
    );
  return withoutAbsent<Ip>({
    address: decodeCidr(fields, 'address'),
    gateway: decodeAddress(fields, 'gateway'),
    interface: interfaceCount > 0 ? index : undefined,
  });
}

/** Throws FieldError when `dst` or `gw` is not what it must be. */
export function decodeRoute(fields: Fields): Route {
  return withoutAbsent<Route>({
    dst: decodeCidr(fields, 'dst'),
    gw: decodeAddress(fields, 'gw'),
    mtu: fields.integer('mtu', 0, MAX_U32),
    advmss: fields.integer('advmss', 0, MAX_U32),
    priority: fields.integer('priority', 0, MAX_U32),
    table: fields.integer('table', 0, MAX_U32),
    scope: fields.integer('scope', 0, 255),
  });
}

/** Read a `dns` object. An empty list counts as absent. Throws FieldError when a key has another type. */
export function decodeDns(fields: Fields | undefined): Dns {
  return withoutAbsent<Dns>({
    nameservers: nonEmpty(fields?.strings('nameservers')),
    domain: fields && text(fields, 'domain'),
    search: nonEmpty(fields?.strings('search')),
    options: nonEmpty(fields?.strings('options')),
  });
}

/**
 * Read the argument of the capability `dns`, which has other names for the same (CNI CONVENTIONS.md, "Dynamic Plugin
 * specific fields"). An empty list counts as absent. Throws FieldError when a key has another type.
 */
export function decodeRuntimeDns(fields: Fields): Dns {
  return withoutAbsent<Dns>({
    nameservers: nonEmpty(nameserversAt(fields, 'servers')),
    search: nonEmpty(fields.strings('searches')),
    options: nonEmpty(fields.strings('options')),
  });
}

/** Prefix with its length. Throws FieldError when the key is missing or something else. */
export function decodeCidr(fields: Fields, key: string): string {
  const expected = 'an address with its prefix length, such as 10.22.0.5/16 or fd00::5/64';
  const cidr = required(fields, key, expected, fields.string(key));
  if (cidrFamily(cidr) === undefined)
    throw new FieldError(fields.at(key), `must be ${expected}, is ${describeValue(cidr)}${mappedHint(cidr)}`);
  return cidr;
}

/** Throws FieldError when the key is there and no IP address. */
export function decodeAddress(fields: Fields, key: string): string | undefined {
  const address = text(fields, key);
  if (address !== undefined && addressFamily(address) === undefined)
    throw new FieldError(fields.at(key), `must be an IP address, is ${describeValue(address)}${mappedHint(address)}`);
  return address;
}

/** The parts of an interface that 0.3.0 defined, in the order in which the reference prints them. */
export function encodeInterface({ name, mac, sandbox }: Interface): Interface {
  return withoutAbsent<Interface>({ name, mac: mac || undefined, sandbox: sandbox || undefined });
}

/** The parts of a route that 0.1.0 defined. */
export function encodeRoute({ dst, gw }: Route): Route {
  return withoutAbsent<Route>({ dst, gw });
}

/** Without what is empty. */
export function encodeDns({ nameservers, domain, search, options }: Dns): Dns {
  return withoutAbsent<Dns>({
    nameservers: nonEmpty(nameservers),
    domain: domain || undefined,
    search: nonEmpty(search),
    options: nonEmpty(options),
  });
}

/** The list, or undefined when there is nothing in it: empty lists are not printed. */
export function nonEmpty<Item>(list: readonly Item[] | undefined): readonly Item[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function text(fields: Fields, key: string): string | undefined {
  return fields.string(key) || undefined;
}

function required(fields: Fields, key: string, expected: string, value: string | undefined): string {
  if (!value) throw new FieldError(fields.at(key), `must be ${expected}, is missing`);
  return value;
}
