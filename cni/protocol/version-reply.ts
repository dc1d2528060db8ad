// The answer to VERSION ("VERSION: probe plugin version support", SPEC.md).

import { SUPPORTED_VERSIONS, type SupportedVersion } from './version.ts';

/** Format the answer to VERSION: one line of compact JSON with its newline, as the reference library prints it. */
export function formatVersionReply(cniVersion: SupportedVersion): string {
  return `${JSON.stringify({ cniVersion, supportedVersions: SUPPORTED_VERSIONS })}\n`;
}
