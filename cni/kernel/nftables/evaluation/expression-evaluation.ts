// Expressions of rules, carried out on a packet that only exists in thought. An expression that is not known here makes the
// rule one of which nobody can say whether it matches.
//
// Source: include/uapi/linux/netfilter/nf_tables.h, net/netfilter/nft_*.c (v6.12).

import type { Attributes } from '../../netlink/reader.ts';
import { HOST_IS_LITTLE_ENDIAN } from '../../netlink/writer.ts';
import { NFTA_DATA_VALUE, NFTA_DATA_VERDICT } from '../constants.ts';
import {
  NFTA_BITWISE_DREG,
  NFTA_BITWISE_LEN,
  NFTA_BITWISE_MASK,
  NFTA_BITWISE_SREG,
  NFTA_BITWISE_XOR,
} from '../expressions/bitwise.ts';
import { NFT_CMP_EQ, NFT_CMP_NEQ, NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_CMP_SREG } from '../expressions/cmp.ts';
import { NFT_REG_VERDICT } from '../expressions/expression.ts';
import { NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG } from '../expressions/immediate.ts';
import { NFTA_LOOKUP_DREG, NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG } from '../expressions/lookup.ts';
import { NFT_NAT_DNAT, NFTA_NAT_TYPE } from '../expressions/nat.ts';
import type { EvaluationContext, Registers } from './context.ts';
import { loadConntrack, loadFib, loadMeta, loadPayload } from './load-evaluation.ts';
import type { StoredExpression } from './stored-rule.ts';
import { findStoredElement, findStoredSet } from './stored-set.ts';
import { compareBytes, isEqual, knownBytes, maskedBytes, unknownBytes, type Value } from './value.ts';
import { decodeVerdict, type Step, stepOf } from './verdict.ts';
import { evaluateMatch, evaluateTarget } from './xtables-evaluation.ts';

// enum nft_cmp_ops, after NFT_CMP_EQ and NFT_CMP_NEQ
const NFT_CMP_LT = 2;
const NFT_CMP_LTE = 3;
const NFT_CMP_GT = 4;
const NFT_CMP_GTE = 5;
// enum nft_range_attributes, nft_range_ops
const NFTA_RANGE_SREG = 1;
const NFTA_RANGE_OP = 2;
const NFTA_RANGE_FROM_DATA = 3;
const NFTA_RANGE_TO_DATA = 4;
const NFT_RANGE_NEQ = 1;
// enum nft_lookup_attributes, nft_lookup_flags
const NFTA_LOOKUP_FLAGS = 5;
const NFT_LOOKUP_F_INV = 1;
// enum nft_bitwise_attributes
const NFTA_BITWISE_OP = 6;
// enum nft_byteorder_attributes
const NFTA_BYTEORDER_SREG = 1;
const NFTA_BYTEORDER_DREG = 2;
const NFTA_BYTEORDER_LEN = 4;
const NFTA_BYTEORDER_SIZE = 5;
// enum nft_exthdr_attributes, nft_exthdr_op, nft_exthdr_flags
const NFTA_EXTHDR_DREG = 1;
const NFTA_EXTHDR_FLAGS = 5;
const NFTA_EXTHDR_OP = 6;
const NFT_EXTHDR_OP_TCPOPT = 1;
const NFT_EXTHDR_F_PRESENT = 1 << 0;
// enum nft_objref_attributes; include/uapi/linux/netfilter/nf_tables.h, NFT_OBJECT_*: of those only these never end a rule
const NFTA_OBJREF_IMM_TYPE = 1;
const HARMLESS_OBJECTS = [1, 3, 5, 7, 9];

type Evaluate = (attributes: Attributes, registers: Registers, context: EvaluationContext) => Step;

const goOn: Evaluate = () => 'yes';
const redirect: Evaluate = () => ({ kind: 'redirect' });

const EVALUATIONS: Readonly<Record<string, Evaluate>> = {
  // They count, tell or prepare something, and let the rule go on.
  counter: goOn,
  log: goOn,
  notrack: goOn,
  flow_offload: goOn,
  last: goOn,
  meta: loadMeta,
  ct: loadConntrack,
  fib: loadFib,
  payload: loadPayload,
  exthdr,
  cmp: compare,
  range,
  bitwise,
  byteorder,
  lookup,
  immediate,
  reject: () => ({ kind: 'reject' }),
  masq: () => ({ kind: 'accept' }),
  redir: redirect,
  nat: (attributes) => ({ kind: attributes.be32(NFTA_NAT_TYPE) === NFT_NAT_DNAT ? 'redirect' : 'accept' }),
  objref: (attributes) => (HARMLESS_OBJECTS.includes(attributes.be32(NFTA_OBJREF_IMM_TYPE) ?? 0) ? 'yes' : 'perhaps'),
  queue: () => ({ kind: 'unknown' }),
  tproxy: () => ({ kind: 'unknown' }),
  synproxy: () => ({ kind: 'unknown' }),
  match: evaluateMatch,
  target: evaluateTarget,
};

/** Carry out one expression. Throws NetlinkError, MalformedMessageError. */
export function evaluateExpression(
  { name, attributes }: StoredExpression,
  registers: Registers,
  context: EvaluationContext,
): Step {
  const evaluate = Object.hasOwn(EVALUATIONS, name) ? EVALUATIONS[name] : undefined;
  if (evaluate) return evaluate(attributes, registers, context);
  registers.forget();
  return 'perhaps';
}

/** The packet has no extension headers of IPv6 and no options of IPv4; which options of TCP it has is not known. */
function exthdr(attributes: Attributes, registers: Registers): Step {
  if (attributes.be32(NFTA_EXTHDR_OP) === NFT_EXTHDR_OP_TCPOPT) {
    registers.forget();
    return 'perhaps';
  }
  if (((attributes.be32(NFTA_EXTHDR_FLAGS) ?? 0) & NFT_EXTHDR_F_PRESENT) === 0) return 'no';
  registers.store(attributes.be32(NFTA_EXTHDR_DREG), [0]);
  return 'yes';
}

function compare(attributes: Attributes, registers: Registers): Step {
  const wanted = attributes.nested(NFTA_CMP_DATA)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array();
  const value = registers.load(attributes.be32(NFTA_CMP_SREG), wanted.length);
  const op = attributes.be32(NFTA_CMP_OP);
  if (op === NFT_CMP_EQ) return stepOf(isEqual(value, wanted));
  if (op === NFT_CMP_NEQ) return stepOf(negated(isEqual(value, wanted)));
  const order = compareBytes(value, wanted);
  if (order === undefined) return 'perhaps';
  switch (op) {
    case NFT_CMP_LT:
      return stepOf(order < 0);
    case NFT_CMP_LTE:
      return stepOf(order <= 0);
    case NFT_CMP_GT:
      return stepOf(order > 0);
    case NFT_CMP_GTE:
      return stepOf(order >= 0);
    default:
      return 'perhaps';
  }
}

function negated(answer: boolean | undefined): boolean | undefined {
  return answer === undefined ? undefined : !answer;
}

function range(attributes: Attributes, registers: Registers): Step {
  const [from, to] = [NFTA_RANGE_FROM_DATA, NFTA_RANGE_TO_DATA].map(
    (type) => attributes.nested(type)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array(),
  );
  if (!from || !to) return 'perhaps';
  const value = registers.load(attributes.be32(NFTA_RANGE_SREG), from.length);
  const [first, last] = [compareBytes(value, from), compareBytes(value, to)];
  if (first === undefined || last === undefined) return 'perhaps';
  const isInside = first >= 0 && last <= 0;
  return stepOf(attributes.be32(NFTA_RANGE_OP) === NFT_RANGE_NEQ ? !isInside : isInside);
}

function bitwise(attributes: Attributes, registers: Registers): Step {
  const length = attributes.be32(NFTA_BITWISE_LEN) ?? 0;
  const value = registers.load(attributes.be32(NFTA_BITWISE_SREG), length);
  const [mask, flip] = [NFTA_BITWISE_MASK, NFTA_BITWISE_XOR].map((type) =>
    attributes.nested(type)?.bytes(NFTA_DATA_VALUE),
  );
  const isMask = (attributes.be32(NFTA_BITWISE_OP) ?? 0) === 0;
  const result: Value = isMask && mask && flip ? maskedBytes(value, mask, flip) : unknownBytes(length);
  registers.store(attributes.be32(NFTA_BITWISE_DREG), result);
  return 'yes';
}

function byteorder(attributes: Attributes, registers: Registers): Step {
  const [length, size] = [attributes.be32(NFTA_BYTEORDER_LEN) ?? 0, attributes.be32(NFTA_BYTEORDER_SIZE) ?? 1];
  const value = registers.load(attributes.be32(NFTA_BYTEORDER_SREG), length);
  const groups = Array.from({ length: Math.ceil(length / size) }, (_, i) => value.slice(i * size, (i + 1) * size));
  const swapped = groups.flatMap((group) => (HOST_IS_LITTLE_ENDIAN ? group.toReversed() : group));
  registers.store(attributes.be32(NFTA_BYTEORDER_DREG), swapped);
  return 'yes';
}

function lookup(attributes: Attributes, registers: Registers, { nft, table }: EvaluationContext): Step {
  const target = attributes.be32(NFTA_LOOKUP_DREG);
  const set = findStoredSet(nft, table, attributes.string(NFTA_LOOKUP_SET) ?? '');
  const value = set && registers.load(attributes.be32(NFTA_LOOKUP_SREG), set.keyBytes);
  const key = value && knownBytes(value);
  if (!set || !key) return unclear(target, registers);
  const element = findStoredElement(nft, set, key);
  if (target === undefined) {
    const isInverted = ((attributes.be32(NFTA_LOOKUP_FLAGS) ?? 0) & NFT_LOOKUP_F_INV) !== 0;
    return stepOf((element !== undefined) !== isInverted);
  }
  if (!element) return 'no';
  if (target === NFT_REG_VERDICT) {
    const verdict = element.data?.nested(NFTA_DATA_VERDICT);
    return (verdict && decodeVerdict(verdict)) ?? 'yes';
  }
  const found = element.data?.bytes(NFTA_DATA_VALUE);
  if (found) registers.store(target, [...found]);
  else registers.forget();
  return 'yes';
}

/** A key that is not known may lead to any verdict of the map. */
function unclear(target: number | undefined, registers: Registers): Step {
  if (target === NFT_REG_VERDICT) return { kind: 'unknown' };
  if (target !== undefined) registers.forget();
  return 'perhaps';
}

function immediate(attributes: Attributes, registers: Registers): Step {
  const data = attributes.nested(NFTA_IMMEDIATE_DATA);
  const register = attributes.be32(NFTA_IMMEDIATE_DREG);
  if (register !== NFT_REG_VERDICT) {
    registers.store(register, [...(data?.bytes(NFTA_DATA_VALUE) ?? [])]);
    return 'yes';
  }
  const verdict = data?.nested(NFTA_DATA_VERDICT);
  return (verdict && decodeVerdict(verdict)) ?? 'yes';
}
