// A kernel without nf_tables, or without a part of it that the rules of a feature need: built without it, or its module is
// not on the node. Found out before anything changes, as far as that costs little.

import { type AttachmentDiagnosis, diagnose, sentenceOf } from '../diagnosis/attachment-diagnosis.ts';
import { PORTMAP_RULESET } from '../features/portmap/portmap-ruleset.ts';
import { guardOfLocalnet } from '../features/portmap/route-localnet.ts';
import type { AttachedInterface } from '../attachment/attachment.ts';
import type { Feature, NftablesState } from '../features/feature.ts';
import type { KernelPart } from '../kernel/nftables/kernel-part.ts';
import { findMissingParts } from '../kernel/nftables/ruleset.ts';
import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import { CniError, ERR_KERNEL_REFUSED } from '../protocol/errors.ts';
import type { Context } from './context.ts';

/** Refuse features whose rules the kernel cannot hold. Changes nothing. Throws CniError 100. */
export function refuseMissingParts(context: Context, features: readonly Feature[]): void {
  const withRules = features.filter(({ rulesets }) => rulesets.length > 0);
  if (withRules.length === 0) return;
  if (findMissingParts(context.nft, rulesetsOf(withRules)).length === 0) return;
  for (const { name, rulesets } of withRules) {
    const parts = findMissingParts(context.nft, rulesets);
    if (parts.length === 0) continue;
    throw new CniError(
      ERR_KERNEL_REFUSED,
      `${sentenceOf(diagnoseMissing(parts))}, which the rules for ${name} need: nothing was changed`,
      'podlink doctor lists what the kernel lacks',
    );
  }
}

/** State which parts rulesets lack; nothing when all are there. */
export function diagnoseMissingParts(context: Context, rulesets: readonly Ruleset[]): AttachmentDiagnosis[] {
  const parts = findMissingParts(context.nft, rulesets);
  return parts.length > 0 ? [diagnoseMissing(parts)] : [];
}

/** The guard of 127.0.0.1 where an attachment publishes nothing itself: a kernel that cannot hold it has no published port. */
export function possibleGuard(context: Context, attachment: AttachedInterface): NftablesState | undefined {
  const guard = guardOfLocalnet(attachment);
  if (!guard || findMissingParts(context.nft, [PORTMAP_RULESET]).length === 0) return guard;
  return undefined;
}

function rulesetsOf(features: readonly Feature[]): Ruleset[] {
  return [...new Set(features.flatMap(({ rulesets }) => rulesets))];
}

function diagnoseMissing(parts: readonly KernelPart[]): AttachmentDiagnosis {
  return diagnose('kernel-part-missing', { found: parts.map(({ name, option }) => `${name} (${option})`) });
}
