// Broken answers of nf_tables from a fixed seed: whatever is asked, NetlinkError comes out or a value, and soon.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../netlink/error.ts';
import { decodeMessages, type Message } from '../netlink/message.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { message, received, s32 } from '../testing/bytes.ts';
import { SeededRandom } from '../testing/random.ts';
import { ScriptedTransport } from '../testing/scripted-transport.ts';
import { decodeBaseChain, listBaseChains } from './base-chain.ts';
import { type Chain, encodeChain } from './chain.ts';
import { NftablesConnection } from './connection.ts';
import * as nft from './constants.ts';
import { decodeElement, encodeElement, findElement, listElements } from './element.ts';
import { giveVerdict } from './expressions/immediate.ts';
import { INET_SERVICE, IPV4_ADDR } from './key.ts';
import { nftType, writeHeader } from './message.ts';
import { encodeRule } from './rule.ts';
import { checkRuleset, hasAllRules, repairRuleset, replaceRulesets, type Ruleset } from './ruleset.ts';
import { encodeSet } from './set.ts';
import { encodeTable } from './table.ts';
import { decodeComment, ELEMENT_COMMENT, encodeComment } from './userdata.ts';

const test = suite('nftables fuzz');

const ROUNDS = 1500;
/** No answer is longer than this: whoever asks for more is in a loop. */
const MAX_DATAGRAMS = 1000;

const table = { family: nft.NFPROTO_INET, name: 't' };
const set = { table, name: 's', key: [IPV4_ADDR], data: [IPV4_ADDR, INET_SERVICE], interval: false, comment: 'c' };
const chain: Chain = { table, name: 'out', hook: { type: 'filter', number: 1, priority: 0, policy: 1 } };
const rules = ['first', 'second'].map((comment) => ({ expressions: [giveVerdict(nft.NFT_RETURN)], comment }));
const RULESET: Ruleset = { table, name: 'feature', version: 1, sets: [set], chains: [{ chain, rules }] };
const element = { set, key: Uint8Array.of(10, 0, 0, 5), data: new Uint8Array(8), comment: 'pods/c1/eth0' };

/** What the kernel answers to a question in which all is well. */
const OBJECTS: ReadonlyMap<number, readonly [number, readonly Uint8Array[]]> = new Map([
  [nft.NFT_MSG_GETGEN, [nft.NFT_MSG_NEWGEN, [writeHeader(0).attributeBe32(nft.NFTA_GEN_ID, 7).finish()]]],
  [nft.NFT_MSG_GETTABLE, [nft.NFT_MSG_NEWTABLE, [encodeTable(table)]]],
  [nft.NFT_MSG_GETSET, [nft.NFT_MSG_NEWSET, [encodeSet(set)]]],
  [nft.NFT_MSG_GETCHAIN, [nft.NFT_MSG_NEWCHAIN, [encodeChain(chain)]]],
  [nft.NFT_MSG_GETRULE, [nft.NFT_MSG_NEWRULE, rules.map((rule) => encodeRule(chain, rule))]],
  [nft.NFT_MSG_GETSETELEM, [nft.NFT_MSG_NEWSETELEM, [encodeElement(element)]]],
]);

function answersTo({ type, flags, sequence }: Message): Uint8Array[] {
  const [reply, payloads] = OBJECTS.get(type & 0xff) ?? [0, []];
  const isDump = (flags & 0x300) === 0x300;
  const end = isDump
    ? message({ type: 3, flags: 2, sequence }, s32(0))
    : message({ type: 2, flags: 0x100, sequence }, s32(0), new Uint8Array(16));
  const refusal = message({ type: 2, flags: 0x100, sequence }, s32(-2), new Uint8Array(16));
  if (type === nft.NFNL_MSG_BATCH_BEGIN || type === nft.NFNL_MSG_BATCH_END) return [];
  return [...payloads.map((payload) => message({ type: nftType(reply), flags: 2, sequence }, payload)), end, refusal];
}

/** A kernel whose answers are broken, lost, doubled or in another order, some of them. */
function brokenKernel(random: SeededRandom): NftablesConnection {
  const transport = new ScriptedTransport((_, sent) => {
    const answers = decodeMessages(sent).flatMap((request) => {
      const healthy = answersTo(request);
      return random.below(4) === 0 ? healthy : healthy.slice(0, -1);
    });
    const datagrams = answers.map((answer) => (random.below(3) === 0 ? random.mutate(answer) : answer));
    const disturbed = datagrams.flatMap((datagram) =>
      random.pick([[datagram], [datagram], [datagram], [datagram, datagram], []]),
    );
    return random.below(8) === 0 ? disturbed.reverse() : disturbed;
  });
  let received = 0;
  const receive = transport.receive.bind(transport);
  transport.receive = () => {
    if (++received > MAX_DATAGRAMS) throw new TypeError('it goes on reading for ever');
    return receive();
  };
  return new NftablesConnection(transport);
}

const QUESTIONS: Readonly<Record<string, (connection: NftablesConnection) => unknown>> = {
  commit: (connection) => connection.commit(replaceRulesets([RULESET])),
  getGeneration: (connection) => connection.getGeneration(),
  findElement: (connection) => findElement(connection, set, element.key),
  listElements: (connection) => listElements(connection, set, 'pods/'),
  listBaseChains: (connection) => listBaseChains(connection),
  hasAllRules: (connection) => hasAllRules(connection, [RULESET]),
  checkRuleset: (connection) => checkRuleset(connection, RULESET),
  repairRuleset: (connection) => repairRuleset(connection, RULESET),
};

Object.entries(QUESTIONS).forEach(([name, ask], i) => {
  test(`${name}() throws NetlinkError or nothing, whatever the kernel answers`, () => {
    const random = new SeededRandom(300 + i);
    const outcomes = { answered: 0, refused: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      try {
        ask(brokenKernel(random));
        outcomes.answered++;
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        assert.match(error.message, /^Cannot /);
        assert.ok(error.errno > 0, error.message);
        outcomes.refused++;
      }
    }
    assert.ok(outcomes.answered > ROUNDS / 100 && outcomes.refused > ROUNDS / 20, JSON.stringify(outcomes));
    console.log(`\ninputs tried: ${ROUNDS} answers to ${name}()`);
  });
});

test('one connection survives broken answers: a healthy one afterwards is understood', () => {
  const random = new SeededRandom(400);
  let isBroken = true;
  let recovered = 0;
  for (let round = 0; round < ROUNDS; round++) {
    isBroken = true;
    const transport = new ScriptedTransport((_, sent) => {
      const answers = decodeMessages(sent).flatMap((request) => answersTo(request).slice(0, -1));
      return isBroken ? answers.map((answer) => (random.below(8) === 0 ? random.mutate(answer) : answer)) : answers;
    });
    const connection = new NftablesConnection(transport);
    try {
      connection.commit(replaceRulesets([RULESET]));
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
    }
    isBroken = false;
    try {
      assert.is(connection.getGeneration(), 7);
      recovered++;
    } catch (error) {
      // What is left of the broken answer comes first, and may be what cannot be read.
      if (!(error instanceof NetlinkError)) throw error;
      assert.is(error.code, 'EBADMSG');
    }
  }
  assert.ok(recovered > ROUNDS / 4 && recovered < ROUNDS, `${recovered} recovered`);
});

test('decodeElement(), decodeBaseChain() and decodeComment() throw MalformedMessageError or nothing', () => {
  const random = new SeededRandom(401);
  const comment = encodeComment(ELEMENT_COMMENT, 'pods/c1/eth0');
  const decoders: readonly (readonly [Uint8Array, (broken: Uint8Array) => unknown])[] = [
    [encodeElement(element), (broken) => decodeElement(set, received(broken))],
    [encodeChain(chain), (broken) => decodeBaseChain(received(broken))],
    [comment, (broken) => decodeComment(ELEMENT_COMMENT, broken)],
  ];
  const outcomes = { understood: 0, refused: 0 };
  for (let round = 0; round < 10 * ROUNDS; round++) {
    const [healthy, decode] = random.pick(decoders);
    const broken = round % 8 === 0 ? random.bytes(random.below(60)) : random.mutate(healthy);
    try {
      decode(broken);
      outcomes.understood++;
    } catch (error) {
      if (!(error instanceof MalformedMessageError)) throw error;
      outcomes.refused++;
    }
  }
  assert.ok(outcomes.understood > ROUNDS && outcomes.refused > ROUNDS, JSON.stringify(outcomes));
  console.log(`\ninputs tried: ${10 * ROUNDS} objects`);
});

test.run();
