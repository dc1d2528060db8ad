// What CHECK would find wrong with an attachment now, without a runtime that asks: from its record alone.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { describeKey } from '../../attachment/key.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { findProblemsOnRecord } from '../../verbs/check.ts';
import { Context } from '../../verbs/context.ts';

/**
 * Find all that is wrong; empty when all is well, and for one that ADD is still about. Changes nothing.
 *
 * `path`: where foreign IPAM plugins are, which are asked too.
 */
export async function findAttachmentProblems(
  record: AttachmentRecord,
  { env, warn }: Pick<Context, 'env' | 'warn'>,
  path: readonly string[],
): Promise<AttachmentDiagnosis[]> {
  if (record.state === 'adding') return [];
  const context = new Context(env, warn);
  try {
    return await findProblemsOnRecord(record, context, path);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return [diagnose('look-failed', { subject: describeKey(record), found })];
  } finally {
    context.close();
  }
}
