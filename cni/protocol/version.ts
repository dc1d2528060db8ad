// Versions of the CNI specification: the ones spoken, how they are written, how they compare.
//
// A version is up to three dot-separated whole numbers, missing ones are 0, and none at all is 0.1.0, as in
// the reference library's pkg/version. ADD and DEL ask for exact membership: "1.1" is not "1.1.0".

import { CniError, ERR_DECODING_FAILURE } from './errors.ts';

/** The versions spoken, oldest first. */
export const SUPPORTED_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type SupportedVersion = (typeof SUPPORTED_VERSIONS)[number];

/** The newest version: what is answered when the asker's is not known. */
export const LATEST_VERSION: SupportedVersion = '1.1.0';

/** What a configuration without a cniVersion is read as. */
export const DEFAULT_VERSION: SupportedVersion = '0.1.0';

export type VersionNumbers = readonly [major: number, minor: number, micro: number];

const PART_NAMES = ['major', 'minor', 'micro'] as const;

/** Whether a text is exactly one of SUPPORTED_VERSIONS. */
export function isSupportedVersion(text: string): text is SupportedVersion {
  return SUPPORTED_VERSIONS.some((version) => version === text);
}

/**
 * Parse a version into its three numbers.
 *
 * Throws CniError 6 when there are more than three parts or one is not a whole number.
 */
export function parseVersion(text: string): VersionNumbers {
  const parts = (text === '' ? DEFAULT_VERSION : text).split('.');
  if (parts.length > PART_NAMES.length)
    throw new CniError(ERR_DECODING_FAILURE, `invalid version "${text}": too many parts`);
  const [major = 0, minor = 0, micro = 0] = parts.map((part, i) => {
    if (!/^\d{1,9}$/.test(part))
      throw new CniError(
        ERR_DECODING_FAILURE,
        `invalid version "${text}": failed to convert ${PART_NAMES[i]} version part "${part}" to a whole number`,
      );
    return Number(part);
  });
  return [major, minor, micro];
}

/** Compare two versions by their numbers: negative when `left` is the older. Throws as parseVersion(). */
export function compareVersions(left: string, right: string): number {
  const a = parseVersion(left);
  const b = parseVersion(right);
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
