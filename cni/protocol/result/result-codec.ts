// Success results as text: which version has which shape.
//
// Adding a CNI version: its name in version.ts, its shape in result-shapes.ts if that is new, its line here.

import { describeValue, FieldError, Fields } from '../fields.ts';
import type { Result } from './result.ts';
import { type ResultShape, shape010, shape030, shape100 } from './result-shapes.ts';
import { DEFAULT_VERSION, isSupportedVersion, SUPPORTED_VERSIONS, type SupportedVersion } from '../version.ts';

const SHAPES: Readonly<Record<SupportedVersion, ResultShape>> = {
  '0.1.0': shape010,
  '0.2.0': shape010,
  '0.3.0': shape030,
  '0.3.1': shape030,
  '0.4.0': shape030,
  '1.0.0': shape100,
  '1.1.0': shape100,
};

/**
 * Format a result as a CNI version prints it: JSON indented by four spaces, no newline at the end, like the reference.
 *
 * What the version has no place for is left out. Throws CniError 1 when a result without an IP address is asked for at
 * 0.1.0 or 0.2.0, RangeError when the version is not supported.
 */
export function encodeResult(result: Result, cniVersion: string): string {
  const version = cniVersion === '' ? DEFAULT_VERSION : cniVersion;
  if (!isSupportedVersion(version)) throw new RangeError(`Cannot encode a result of CNI version "${version}"`);
  return JSON.stringify({ cniVersion: version, ...SHAPES[version].encode(result, version) }, undefined, 4);
}

/**
 * Read a result of any supported version from a JSON value.
 *
 * Its own cniVersion says which shape it has; without one it has the shape of `configVersion`. Unknown keys are
 * tolerated, keys match in any case. `path` names the result in errors.
 *
 * Throws FieldError when the version is not supported or something is not what it must be.
 */
export function decodeResult(value: unknown, configVersion: string, path = 'result'): Result {
  const fields = new Fields(value, path);
  const version = fields.string('cniVersion') || configVersion || DEFAULT_VERSION;
  if (!isSupportedVersion(version))
    throw new FieldError(
      fields.at('cniVersion'),
      `must be one of ${SUPPORTED_VERSIONS.join(', ')}, is ${describeValue(version)}`,
    );
  return SHAPES[version].decode(fields);
}
